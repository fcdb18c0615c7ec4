"""The words typed behind a command, as a dataclass: tyro reads them, and what it refuses is one line, as everywhere."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, TypeVar, get_args

import tyro
from tyro import _errors as refusals  # tyro's public way to say what it refuses is a box of many lines
from tyro._arguments import ArgumentDefinition

from prefrl.errors import UserError
from prefrl.spelling import nearest

T = TypeVar("T")

_KINDS = {"int": "a whole number", "float": "a number"}
"""What types are to whoever types a value."""


def parse(what: type[T], prog: str, args: list[str], default: T | None = None, config: Sequence[Any] = ()) -> T:
    """Read what is typed behind a command, or show its help.

    Args:
        what: The dataclass to read it as.
        prog: The command: prefrl train.
        args: The words behind it.
        default: What holds where nothing is typed.
        config: tyro's settings of how flags are named.

    Raises:
        UserError: A word that is no argument, or an argument that is missing or of a value that it cannot have.
        SystemExit: The help has been shown (0), or tyro has said what is wrong in its own words (2).
    """

    def read(words: list[str]) -> T:
        if default is None:
            return tyro.cli(what, prog=prog, args=words, config=config)
        return tyro.cli(what, prog=prog, args=words, config=config, default=default)

    def refuse(refused: refusals.ParseErrorEvent) -> None:
        said = _said(refused, prog, args, lambda: _flags(read, args))
        if said is not None:
            raise UserError(said)

    with refusals.on_parse_error(refuse):
        return read(args)


def _said(refused: refusals.ParseErrorEvent, prog: str, args: list[str], flags: Callable[[], list[str]]) -> str | None:
    """What is wrong; None for what tyro has to say itself."""
    match refused:
        case refusals.UnrecognizedArgs(tokens=[_, *_] as unknown):
            return _unknown(unknown, prog, flags)
        case refusals.MissingArgs(unrecognized_tokens=[_, *_] as unknown):
            return _unknown(unknown, prog, flags)
        case refusals.MissingArgs(missing_arguments=[first, *_]):
            return f"expected {_name(first.arg)} ({_help(first.arg)}), got nothing; see {prog} --help"
        case refusals.BadValue(argument=argument):
            unknown_flag = _unknown_flag(args, flags())
            if unknown_flag and argument.is_positional():  # what came behind the flag was read as its value
                return _unknown([unknown_flag], prog, flags)
            dash = "; a value that begins with a dash comes as --flag=-value" if unknown_flag else ""
            return f"expected a value of {_name(argument)} ({_help(argument)}), got none; see {prog} --help{dash}"
        case refusals.InvalidChoice(argument=argument, value=value, choices=choices):
            near = nearest(value, list(choices))
            return f"expected {_name(argument)} to be one of {', '.join(choices)}, got {value!r}{near}"
        case refusals.InstantiationFailure(argument=ArgumentDefinition() as argument):
            return f"expected {_name(argument)} to be {_kind(argument)}, got {_typed(argument, args)}"
    return None


def _unknown(words: list[str], prog: str, flags: Callable[[], list[str]]) -> str:
    flag = next((word for word in words if word.startswith("-")), None)
    if flag is None:
        return f"expected a flag of {prog} (see {prog} --help), got the word {words[0]!r}"
    return f"expected a flag of {prog} (see {prog} --help), got {flag}{nearest(flag, flags())}"


def _name(argument: ArgumentDefinition) -> str:
    """A flag by the longest of its names; else the word that the usage line has for it."""
    return argument.lowered.metavar or "" if argument.is_positional() else max(argument.lowered.name_or_flags, key=len)


def _help(argument: ArgumentDefinition) -> str:
    """The first sentence of its help."""
    text = argument.field.helptext
    return ((text() if callable(text) else text) or "").partition(". ")[0].partition("\n")[0].rstrip(".")


def _kind(argument: ArgumentDefinition) -> str:
    """What its value has to be, in words."""
    metavar = argument.lowered.metavar or ""
    hint = argument.field.type_stripped
    names = {kind.__name__ for kind in (hint, *get_args(hint)) if isinstance(kind, type)}
    kind = next((kind for name, kind in _KINDS.items() if name in names), metavar)
    return kind.removeprefix("a ") + "s" if metavar.startswith("[") and kind != metavar else kind


def _typed(argument: ArgumentDefinition, args: list[str]) -> str:
    """The words that were typed for a flag, which counts for the last time that it stands there."""
    most = argument.lowered.nargs if isinstance(argument.lowered.nargs, int) else None
    names = argument.lowered.name_or_flags
    for i, word in reversed(list(enumerate(args))):
        flag, equals, value = word.partition("=")
        if flag.replace("_", "-") in names:
            words = [value] if equals else list(takewhile(lambda w: not _is_flag(w), args[i + 1 :]))[:most]
            return " ".join(map(repr, words))
        if not word.startswith("--") and word[:2] in names:
            return repr(word[2:])
    return "another"


def _is_flag(word: str) -> bool:
    """Whether a word begins with a dash and is no number."""
    return re.match(r"-(?![\d.])", word) is not None


def _unknown_flag(args: list[str], known: list[str]) -> str | None:
    flags = [word.partition("=")[0] for word in args if _is_flag(word)]
    return next((flag for flag in flags if flag.replace("_", "-") not in [*known, "-h"] and len(flag) > 2), None)


def _flags(read: Callable[[list[str]], object], args: list[str]) -> list[str]:
    """All flags of the command, from its help."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        read([*takewhile(lambda word: not word.startswith("-"), args), "--help"])
    return sorted(set(re.findall(r"(?<!\S)--[\w.-]+", shown.getvalue())))
