"""Flags of several values that are given several times: their values add up.

argparse, and tyro on it, keeps the last alone: with `--mask A --mask B` the learner would see A, and nobody be told.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

_FLAGS = (
    ("--env-kwargs", "--env_kwargs", "--world.env-kwargs", "--world.env_kwargs"),
    ("--mask", "--world.masks"),
    ("--invite", "--people.invite"),
    ("--allowed-host", "--allowed_host", "--people.allowed-hosts", "--people.allowed_hosts"),
    ("--reward-model.hidden", "--reward_model.hidden"),
    ("--teacher.reliabilities",),
)
"""The names of each."""


def gather(args: list[str]) -> list[str]:
    """The arguments, with all values of such a flag behind the first of its names that was typed.

    `--mask A --seed 1 --mask B` becomes `--seed 1 --mask A B`. What argparse itself would refuse is returned as it is.
    """
    for names in _FLAGS:
        typed = [arg.partition("=")[0] for arg in args if arg.partition("=")[0] in names]
        if len(typed) < 2:
            continue
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        parser.add_argument(*names, dest="values", action="extend", nargs="+")
        try:
            known, others = parser.parse_known_args(list(_apart(args, names)))
        except argparse.ArgumentError:
            continue
        args = [*others, typed[0], *known.values]
    return args


def _apart(args: list[str], names: tuple[str, ...]) -> Iterator[str]:
    """The arguments, `--mask=A B` as `--mask A B`: argparse would take A alone."""
    for arg in args:
        name, equals, value = arg.partition("=")
        yield from (name, value) if equals and name in names else (arg,)
