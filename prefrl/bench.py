"""`prefrl bench SUITE.toml`: train a grid of cells that can be stopped and gone on with, and report on it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from prefrl.bench_cost import Costs
from prefrl.bench_jobs import Ended, train_cells
from prefrl.bench_progress import BenchView, duration
from prefrl.bench_report import write_report
from prefrl.bench_rerun import differences, find_cell, train_again
from prefrl.cell import Cell
from prefrl.cell_folder import CellFolder, read_outcomes, write_outcomes
from prefrl.errors import UserError
from prefrl.outcome import Outcome, Row
from prefrl.suite import Suite, read_suite


@dataclass(frozen=True)
class BenchArgs:
    """Train a grid of agents from a suite file, several at a time; what is done is not done again."""

    suite: Annotated[Path, tyro.conf.Positional]
    """TOML file that names worlds, numbers of labels, teachers, query strategies, seeds and variants."""
    jobs: Annotated[int, tyro.conf.arg(aliases=("-j",))] = 1
    """Trainings at a time; each wants a core of its own."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Say what would be trained and what it would cost; train nothing."""
    report: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write the report of what there is; train nothing."""
    rerun: str = ""
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
    options = tyro.cli(BenchArgs, prog="prefrl bench", args=args)
    if options.jobs < 1:
        raise UserError(f"expected --jobs to be at least 1, got {options.jobs}")
    if options.report + options.dry_run + bool(options.rerun) > 1:
        raise UserError("expected one of --report, --dry-run and --rerun, got several")
    suite = read_suite(options.suite)
    bench = _Bench(suite, options)
    if options.rerun:
        return bench.rerun(options.rerun)
    if options.dry_run:
        return bench.say_cost()
    return bench.write() if options.report else bench.train()


class _Bench:
    """A suite, and what is known of its cells."""

    def __init__(self, suite: Suite, options: BenchArgs) -> None:
        self.suite = suite
        self.options = options
        self.out = options.out or Path("runs/results") / suite.name
        self.kept = {} if options.fresh else read_outcomes(self.out / "outcomes.jsonl")
        self.outcomes: dict[str, Outcome] = {}
        for cell in suite.cells:
            outcome = CellFolder(options.cells / cell.key).read() or self.kept.get(cell.key)
            if outcome is not None:
                self.outcomes[cell.key] = outcome

    def missing(self) -> list[Cell]:
        """Cells to be trained, each once."""
        return [c for c in {cell.key: cell for cell in self.suite.cells}.values() if c.key not in self.outcomes]

    def say_cost(self) -> int:
        """What would be trained, and how long it would take."""
        missing, costs = self.missing(), Costs(self.outcomes.values())
        say = Console(highlight=False, soft_wrap=True).print
        for cell in missing:
            say(f"{cell.key}  about {duration(costs.of(cell)):>9}  {cell.name}", markup=False)
        n_cells = len({cell.key for cell in self.suite.cells})
        seconds = sum(costs.of(cell) for cell in missing)
        n_guessed = sum(not costs.is_measured(cell) for cell in missing)
        say(f"{n_cells} cells, {n_cells - len(missing)} done, {len(missing)} to train.")
        if missing:
            say(
                f"About {duration(seconds)} of one core, {duration(seconds / self.options.jobs)} with --jobs "
                f"{self.options.jobs} where every job has a core of its own."
            )
        if n_guessed:
            say(f"Guessed for {n_guessed} of them: no run of their world is done yet.")
        return 0

    def train(self) -> int:
        """Train what is missing, then report."""
        missing, options = self.missing(), self.options
        n_here = sum((options.cells / key / "outcome.json").is_file() for key in self.outcomes)
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(
            f"{len(missing)} cells to train, {options.jobs} at a time; {n_here} done in {options.cells}, "
            f"{len(self.outcomes) - n_here} kept in {self.out / 'outcomes.jsonl'}",
            markup=False,
        )
        failed: list[Ended] = []
        with BenchView(missing, Costs(self.outcomes.values()), options.jobs, console) as view:

            def on_end(ended: Ended) -> None:
                outcome = CellFolder(options.cells / ended.cell.key).read()
                if outcome is None:
                    failed.append(ended)
                else:
                    self.outcomes[ended.cell.key] = outcome
                view.ended(ended, outcome)

            begin = time.monotonic()
            try:
                train_cells(missing, options.cells, options.jobs, on_end)
            except KeyboardInterrupt:
                console.print("stopped; the same command goes on with the cells that are not done", markup=False)
                raise
        if missing:
            console.print(f"trained in {duration(time.monotonic() - begin)}", markup=False)
        code = self.write() if self.outcomes else 0
        return 1 if failed else code

    def write(self) -> int:
        """Write the report, and keep the outcomes beside it."""
        rows = [_row(cell, self.outcomes[cell.key]) for cell in self.suite.cells if cell.key in self.outcomes]
        if not rows:
            raise UserError(f"expected at least one cell of {self.suite.path} to be done, found none; train first")
        notes = [self.suite.about] if self.suite.about else []
        missing = self.missing()
        if missing:
            notes.append(f"{len(missing)} of {len({c.key for c in self.suite.cells})} cells are not trained yet.")
        write_outcomes(self.out / "outcomes.jsonl", {row.outcome.cell: row.outcome for row in rows}.values())
        files = write_report(self.out, self.suite.name, rows, f"prefrl bench {self.suite.path}", notes)
        sys.stdout.write(f"report: {files[0]}\n")
        return 0

    def rerun(self, key: str) -> int:
        """Train one cell again beside what is known of it."""
        cell = find_cell(self.suite.cells, key)
        before = self.outcomes.get(cell.key)
        if before is None:
            raise UserError(
                f"expected an outcome of {cell.key} ({cell.name}) to compare with, found none; train it first"
            )
        now = train_again(cell)
        lines = differences(before, now)
        sys.stdout.write(f"{cell.key} ({cell.name}): " + ("the same, bit for bit\n" if not lines else "not the same\n"))
        sys.stdout.write("".join(f"  {line}\n" for line in lines))
        return 1 if lines else 0


def _row(cell: Cell, outcome: Outcome) -> Row:
    on_score = cell.config.reward == "score"
    return Row(
        env_id=cell.config.env_id,
        labels=0 if on_score else cell.config.total_labels,
        teacher=cell.teacher,
        strategy=cell.strategy,
        variant=cell.variant,
        seed=cell.config.seed,
        outcome=outcome,
    )
