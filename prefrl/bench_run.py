"""A benchmark at work: what is missing is trained, what it will cost is said, what there is is reported."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from prefrl.bench_cost import Costs
from prefrl.bench_jobs import Ended, train_cells
from prefrl.bench_progress import BenchView, duration
from prefrl.bench_report import write_report
from prefrl.bench_rerun import differences, find_cell, train_again
from prefrl.cell import Cell, command
from prefrl.cell_folder import CellFolder, read_outcomes, write_outcomes
from prefrl.checks import resolve_device
from prefrl.errors import UserError, WorldFault
from prefrl.game_errors import place, said
from prefrl.outcome import Outcome, Row
from prefrl.suite import Suite
from prefrl.worlds import make_world


class Bench:
    """A suite, and what is known of its cells.

    Args:
        suite: What is to be known.
        cells: Folder in which each cell has a folder.
        out: Folder of the report and of the outcomes.
        n_jobs: Trainings at a time.
        fresh: Do not count as done what only has an outcome beside the report.
    """

    def __init__(self, suite: Suite, *, cells: Path, out: Path, n_jobs: int, fresh: bool) -> None:
        self.suite, self.folder, self.out, self.n_jobs = suite, cells, out, n_jobs
        kept = read_outcomes(out / "outcomes.jsonl")
        self.cells = {cell.key: cell for cell in suite.cells}
        """By key, each once."""
        self.outcomes: dict[str, Outcome] = {}
        self._others = {key: outcome for key, outcome in kept.items() if key not in self.cells}
        """Kept outcomes that are none of the suite's any more, or not yet: nowhere else may there be any."""
        self._older: dict[str, Outcome] = {}
        """Of cells that are to be trained again: they stand until they are."""
        for key in self.cells:
            outcome = CellFolder(cells / key).read()
            if outcome is not None:
                self.outcomes[key] = outcome
            elif key in kept:
                (self._older if fresh else self.outcomes)[key] = kept[key]

    def missing(self) -> list[Cell]:
        """Cells to be trained, each once."""
        return [cell for key, cell in self.cells.items() if key not in self.outcomes]

    def say_cost(self) -> int:
        """What would be trained, and how long it would take.

        Raises:
            UserError: There is no such world here; the device may be another machine's.
        """
        missing, costs = self.missing(), Costs(self.outcomes.values())
        _check_worlds(missing)
        say = Console(highlight=False, soft_wrap=True).print
        for cell in missing:
            say(f"{cell.key}  about {duration(costs.of(cell)):>9}  {cell.name}", markup=False)
        seconds = sum(costs.of(cell) for cell in missing)
        n_guessed = sum(not costs.is_measured(cell) for cell in missing)
        say(f"{len(self.cells)} cells, {len(self.cells) - len(missing)} done, {len(missing)} to train.")
        if missing:
            say(
                f"About {duration(seconds)} of one core, {duration(seconds / self.n_jobs)} with --jobs "
                f"{self.n_jobs} where every job has a core of its own."
            )
        if n_guessed:
            say(f"Guessed for {n_guessed} of them: no run of their world is done yet.")
        return 0

    def train(self) -> int:
        """Train what is missing, then report.

        Raises:
            UserError: This machine lacks a device or a world of what is missing; nothing was trained.
        """
        missing = self.missing()
        _check_here(missing)
        n_here = sum((self.folder / key / "outcome.json").is_file() for key in self.outcomes)
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(
            f"{len(missing)} cells to train, {self.n_jobs} at a time; {n_here} done in {self.folder}, "
            f"{len(self.outcomes) - n_here} kept in {self.out / 'outcomes.jsonl'}",
            markup=False,
        )
        failed: list[Ended] = []
        with BenchView(missing, Costs(self.outcomes.values()), self.n_jobs, console) as view:

            def on_end(ended: Ended) -> None:
                outcome = CellFolder(self.folder / ended.cell.key).read()
                if outcome is None:
                    failed.append(ended)
                else:
                    self.outcomes[ended.cell.key] = outcome
                view.ended(ended, outcome)

            begin = time.monotonic()
            try:
                train_cells(missing, self.folder, self.n_jobs, on_end)
            except KeyboardInterrupt:
                console.print("stopped; the same command goes on with the cells that are not done", markup=False)
                raise
        if missing:
            console.print(f"trained in {duration(time.monotonic() - begin)}", markup=False)
        code = self.write() if self.outcomes else 0
        return 1 if failed else code

    def write(self) -> int:
        """Write the report, and keep the outcomes beside it."""
        known = self._older | self.outcomes
        rows = [_row(cell, known[cell.key]) for cell in self.suite.cells if cell.key in known]
        if not rows:
            raise UserError(f"expected at least one cell of {self.suite.path} to be done, found none; train first")
        notes = [self.suite.about] if self.suite.about else []
        n_missing = sum(key not in known for key in self.cells)
        if n_missing:
            notes.append(f"{n_missing} of {len(self.cells)} cells are not trained yet.")
        n_older = sum(key not in self.outcomes for key in self._older)
        if n_older:
            share = f"{n_older} of {len(self.cells)} cells"
            sys.stderr.write(f"{share} not trained again; the report has their kept outcomes\n")
        kept = {**self._others, **{row.outcome.cell: row.outcome for row in rows}}
        write_outcomes(self.out / "outcomes.jsonl", kept.values())
        if self._others:
            sys.stderr.write(
                f"{len(self._others)} outcomes in {self.out / 'outcomes.jsonl'} are of cells that the suite does not "
                "have; they are kept, and not in the report\n"
            )
        files = write_report(
            self.out, self.suite.name, rows, f"prefrl bench {shlex.quote(str(self.suite.path))}", notes
        )
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
        _check_here([cell])
        now = train_again(cell)
        lines = differences(before, now)
        sys.stdout.write(f"{cell.key} ({cell.name}): " + ("the same, bit for bit\n" if not lines else "not the same\n"))
        sys.stdout.write("".join(f"  {line}\n" for line in lines))
        return 1 if lines else 0


def _check_here(cells: list[Cell]) -> None:
    """Look for each device, and make each world once."""
    on_gpu = [cell for cell in cells if cell.config.device == "cuda"]
    if on_gpu and resolve_device("auto") != "cuda":
        raise UserError(
            f"expected a CUDA GPU for {len(on_gpu)} cells that are not trained yet ({on_gpu[0].name}, ...), found "
            "none; train where there is one, or set device under [settings] to cpu, which is another benchmark"
        )
    _check_worlds(cells)


def _check_worlds(cells: list[Cell]) -> None:
    """Make each world once: sooner than every cell of it fails."""
    for cell in {(cell.config.env_id, repr(cell.config.world)): cell for cell in cells}.values():
        try:
            make_world(cell.config, n_envs=1, seed=0, views=False).venv.close()
        except Exception as e:  # whatever a game of the user's raises
            known = isinstance(e, (UserError, WorldFault))
            why = str(e) if known else f"{cell.config.env_id} raised {said(e)}{place(e)} as it was made"
            raise UserError(f"{why} (in cell {cell.name})") from e


def _row(cell: Cell, outcome: Outcome) -> Row:
    on_score = cell.config.reward == "score"
    return Row(
        env_id=cell.config.env_id,
        labels=0 if on_score else cell.config.total_labels,
        teacher=cell.teacher,
        strategy=cell.strategy,
        variant=cell.variant,
        seed=cell.config.seed,
        # As the cell was trained under the presets of its day, the words that it took may mean another cell now.
        outcome=replace(outcome, command=command(cell.config)),
        score_cell=cell.score_key,
    )
