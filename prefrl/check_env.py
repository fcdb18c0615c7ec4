"""`prefrl check-env`: say in plain words whether a game of one's own can be trained, and what to do if not.

The checks are in `check_env_*.py`, imported when they are used so that the command line stays quick.
"""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from prefrl.arguments import parse
from prefrl.check_env_apart import check_apart
from prefrl.check_env_finding import Finding, Status
from prefrl.errors import UserError
from prefrl.repeated import gather

_STYLES: dict[Status, str] = {"ok": "green", "warn": "yellow", "bad": "bold red"}
_REMEDY_STYLE = "bold"
_NAME_WIDTH = 13
_INDENT = 6 + _NAME_WIDTH + 1
_WIDEST = 110
_CANNOT = 2


@dataclass(frozen=True)
class CheckEnvArgs:
    """Say whether a game of your own can be trained, and what is wrong if not; prove that its score is not used."""

    env_id: Annotated[str, tyro.conf.Positional] = ""
    """Its Gymnasium id, or module:id, as in my_game:MyGame-v0."""
    env_kwargs: tuple[str, ...] = ()
    """Arguments for the game as key:value, values in JSON; give train the same."""
    mask: tuple[str, ...] = ()
    """Areas blacked out for learner and people alike, as x,y,w,h in pixels; give train the same."""
    steps: int = 300
    """Steps of each game that is played; fewer where the game is slow."""
    num_envs: int = 8
    """Copies that training will make; 1 for a game of which there can be but one."""
    horizon: int = 1000
    """Steps of an episode where the game is registered without max_episode_steps."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object instead of a table."""
    traceback: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the whole traceback of what the game raised."""
    replay: Path | None = None
    """Instead of checking: play again what a run left in its crash.npz when a game crashed, hung or gave no numbers; 1
    where that happens again, 0 where it does not. With --traceback in this very process, as a debugger wants it."""


def main_check(args: list[str]) -> int:
    """Run the command; returns 0 where the game can be trained, else 2.

    Raises:
        UserError: An option is not what it should be.
    """
    options = parse(CheckEnvArgs, "prefrl check-env", gather(args))
    if bool(options.env_id) == (options.replay is not None):
        raise UserError(
            f"expected the id of a game to check, or --replay and a file, got {'both' if options.env_id else 'neither'}"
            + ("; put the id before --mask and --env-kwargs" if options.mask or options.env_kwargs else "")
        )
    if options.replay is not None:
        from prefrl.check_env_replay import replay

        return replay(options.replay, in_this_process=options.traceback)
    findings = check_apart(lambda: _check(options)) if sys.platform.startswith("linux") else _check(options)
    rows = list(findings) if options.json else _print_each(findings)
    is_trainable = not any(f.status == "bad" for f in rows)
    if options.json:
        said = {"env_id": options.env_id, "trainable": is_trainable, "findings": [_as_json(f, options) for f in rows]}
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
    else:
        _print_end(options, rows, is_trainable)
    return 0 if is_trainable else _CANNOT


def _check(options: CheckEnvArgs) -> Iterator[Finding]:
    from prefrl.check_env_run import check

    return check(
        options.env_id,
        env_kwargs=options.env_kwargs,
        masks=options.mask,
        n_steps=options.steps,
        n_envs=options.num_envs,
        horizon=options.horizon,
    )


def _as_json(finding: Finding, options: CheckEnvArgs) -> dict[str, str]:
    row = asdict(finding)
    if not options.traceback:
        del row["trace"]
    return row


def _print_each(findings: Iterator[Finding]) -> list[Finding]:
    """Print rows as they come; what they say is never read as console markup."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)  # now: the checks hide stdout from the game
    rows = []
    for finding in findings:
        rows.append(finding)
        for line, style in lines(finding, min(console.width, _WIDEST)):
            text = Text(line)
            text.stylize(style, 0, None if style == _REMEDY_STYLE else _INDENT - _NAME_WIDTH - 1)
            console.print(text)
    return rows


def lines(finding: Finding, width: int) -> Iterator[tuple[str, str]]:
    """A row as lines of at most `width`, each with its style: status, name and what was found, then what to do."""
    room = max(20, width - _INDENT)
    found = textwrap.wrap(_plain(finding.detail), room) or [""]
    head = f"{finding.status:<5} {finding.name:<{_NAME_WIDTH}} "
    for i, line in enumerate(found):
        yield (head if i == 0 else " " * _INDENT) + line, _STYLES[finding.status] if i == 0 else ""
    remedy = textwrap.wrap(_plain(finding.remedy), room - 2, break_on_hyphens=False)
    for i, line in enumerate(remedy):
        yield " " * _INDENT + ("→ " if i == 0 else "  ") + line, _REMEDY_STYLE


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() or c == " " else " " for c in text)


def _print_end(options: CheckEnvArgs, rows: list[Finding], is_trainable: bool) -> None:
    traces = dict.fromkeys(f.trace for f in rows if f.trace)
    if options.traceback:
        sys.stdout.writelines(f"\n{trace}" for trace in traces)
    n_warn = sum(f.status == "warn" for f in rows)
    n_bad = sum(f.status == "bad" for f in rows)
    if is_trainable:
        look = f" ({n_warn} to look at)" if n_warn else ""
        more = "".join(f" --env-kwargs {shlex.quote(k)}" for k in options.env_kwargs)
        more += "".join(f" --mask {shlex.quote(m)}" for m in options.mask)
        more += f" --num-envs {options.num_envs}" if options.num_envs != 8 else ""
        more += f" --world.horizon {options.horizon}" if options.horizon != 1000 else ""
        more += "".join(f" {f.flags}" for f in rows if f.flags)
        command = (
            f'prefrl train --env-id {shlex.quote(options.env_id)}{more} --labeler window --task "what you like to see"'
        )
        sys.stdout.write(f"\n{options.env_id} can be trained{look}. Go on with:\n  {command}\n")
    else:
        hint = " --traceback shows where it failed." if traces and not options.traceback else ""
        sys.stdout.write(f"\n{options.env_id} cannot be trained yet: {n_bad} to put right.{hint}\n")
