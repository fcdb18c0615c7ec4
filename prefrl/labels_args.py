"""What `prefrl labels` takes; imports nothing heavy, so that `--help` stays quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from prefrl.arguments import parse
from prefrl.errors import UserError
from prefrl.spelling import nearest


@dataclass(frozen=True)
class ListArgs:
    """List the labels, newest last."""

    json: bool = False
    """Print one JSON object per label, in the columns of an export, instead of a table."""
    labeler: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Only labels of this labeler."""
    last: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Only this many newest."""


@dataclass(frozen=True)
class PlayArgs:
    """Write a video of labels: both clips side by side as the labeler saw them, and the answer."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE.webm")]
    """Where to: a .webm file."""
    query: Annotated[str | None, tyro.conf.arg(metavar="ID")] = None
    """The labels of this query, or, if it has none, its clips alone."""
    last: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """This many newest labels that count, where no query is named."""


@dataclass(frozen=True)
class ExportArgs:
    """Write all labels and their clips to a folder: JSON lines, Parquet, clip files, and a README."""

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """The folder; it must not exist."""


@dataclass(frozen=True)
class ImportArgs:
    """Take in the labels of another run, or of an export."""

    source: Annotated[Path, tyro.conf.arg(name="from", metavar="FOLDER")]
    """Folder of the run or of the export."""
    any_env: bool = False
    """Take labels given on another environment too, if observations and actions have the same shape."""


@dataclass(frozen=True)
class CheckArgs:
    """Read the label store, its backups and every clip, and say what is damaged or missing; changes nothing."""


@dataclass(frozen=True)
class RecoverArgs:
    """Recover a damaged label store: the newest good backup, and all that can still be read of the damaged file."""


@dataclass(frozen=True)
class LabelsArgs:
    """List, play back, export, import, check or recover the labels of a run."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    action: (
        Annotated[ListArgs, tyro.conf.subcommand("list", prefix_name=False)]
        | Annotated[PlayArgs, tyro.conf.subcommand("play", prefix_name=False)]
        | Annotated[ExportArgs, tyro.conf.subcommand("export", prefix_name=False)]
        | Annotated[ImportArgs, tyro.conf.subcommand("import", prefix_name=False)]
        | Annotated[CheckArgs, tyro.conf.subcommand("check", prefix_name=False)]
        | Annotated[RecoverArgs, tyro.conf.subcommand("recover", prefix_name=False)]
    ) = field(default_factory=ListArgs)


_ACTIONS = ("list", "play", "export", "import", "check", "recover")


def parse_labels(args: list[str]) -> LabelsArgs:
    """The command line of `prefrl labels`, without those two words; the run stands before the action or right after.

    Raises:
        UserError: As `parse`; or an action that there is not.
    """
    if len(args) > 1 and args[0] in _ACTIONS and not args[1].startswith("-"):
        args = [args[1], args[0], *args[2:]]
    if len(args) > 1 and args[1].startswith("--") and args[1] != "--help":
        args = [args[0], "list", *args[1:]]
    if len(args) > 1 and not args[1].startswith("-") and args[1] not in _ACTIONS:
        raise UserError(f"expected one of {', '.join(_ACTIONS)}, got {args[1]!r}{nearest(args[1], list(_ACTIONS))}")
    return parse(LabelsArgs, "prefrl labels", args, config=(tyro.conf.OmitArgPrefixes,))
