"""`prefrl bench SUITE.toml`: its command line; what it does is in `bench_run`, imported when it is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from prefrl.arguments import parse
from prefrl.errors import UserError


@dataclass(frozen=True)
class BenchArgs:
    """Train a grid of agents from a suite file, several at a time; what is done is not done again."""

    suite: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SUITE")]
    """TOML file that names worlds, numbers of labels, teachers, query strategies, seeds and variants."""
    jobs: Annotated[int, tyro.conf.arg(aliases=("-j",))] = 1
    """Trainings at a time; each wants a core of its own."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Say what would be trained and what it would cost; train nothing."""
    report: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write the report of what there is; train nothing."""
    rerun: str | None = None
    """Train this cell again (its key, or how that begins) and say whether it comes out the same."""
    fresh: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Train everything here, also what has an outcome kept beside the report."""
    cells: Path = Path("runs/cells")
    """Folder in which each cell has a folder; suites share it, and so the cells that they have in common."""
    out: Path | None = None
    """Folder of the report and of the outcomes; default: runs/results/ and the suite's name."""


def main(args: list[str]) -> int:
    """Do what the command line says; returns 0, or 1 where a cell could not be trained or came out otherwise.

    Raises:
        UserError: Bad input; nothing was trained.
    """
    options = parse(BenchArgs, "prefrl bench", args)
    if options.jobs < 1:
        raise UserError(f"expected --jobs to be at least 1, got {options.jobs}")
    if options.report + options.dry_run + (options.rerun is not None) > 1:
        raise UserError("expected one of --report, --dry-run and --rerun, got several")
    if options.rerun == "":
        raise UserError("expected --rerun to be a cell's key, or how one begins, got nothing")
    from prefrl.bench_run import Bench
    from prefrl.outputs import check_out_folder
    from prefrl.suite import read_suite

    out = options.out or Path("runs/results") / options.suite.stem
    suite = read_suite(options.suite)
    if options.rerun is None and not options.dry_run:
        check_out_folder(out, "--out")
        if not options.report:
            check_out_folder(options.cells, "--cells")
    bench = Bench(suite, cells=options.cells, out=out, n_jobs=options.jobs, fresh=options.fresh)
    if options.rerun is not None:
        return bench.rerun(options.rerun)
    if options.dry_run:
        return bench.say_cost()
    return bench.write() if options.report else bench.train()
