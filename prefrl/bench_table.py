"""Gather the runs of a benchmark into settings, put their returns on a scale, and sum them up.

A setting is what a line of the table stands for: what PPO was trained on, the variant, teacher, strategy and number of
labels. Here are numbers only: `bench_text` words them, `bench_plots` draws them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from prefrl.bench_statistics import iqm, normalized, probability_of_improvement, stratified_bootstrap
from prefrl.errors import UserError
from prefrl.outcome import Row


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """Everything that runs of one line have in common but the task and the seed."""

    is_preferences: bool
    """False on the score, which so stands first."""
    variant: str
    teacher: str
    strategy: str
    labels: int
    """Asked for; 0 on the score."""

    @property
    def reward(self) -> str:
        """What PPO was trained on."""
        return "preferences" if self.is_preferences else "score"

    @property
    def line(self) -> tuple[bool, str, str, str]:
        """What a curve over numbers of labels stands for."""
        return self.is_preferences, self.variant, self.teacher, self.strategy


@dataclass(frozen=True, slots=True)
class Run:
    """One seed of a setting on a task."""

    setting: Setting
    row: Row
    normalized: float | None
    """Env return, 0 as at random and 1 as trained on the score; None without a score-trained run of that seed."""
    baseline: Row | None
    """The score-trained run of the same task and seed; a score-trained run is its own."""

    @property
    def env_return(self) -> float:
        """Mean over the evaluation's episodes."""
        return self.row.outcome.env_return


@dataclass(frozen=True, slots=True)
class Summary:
    """What some runs came to, of one task or of all."""

    n_runs: int
    seeds: tuple[int, ...]
    mean: float | None
    """Env return over the seeds of one task; None over several tasks, whose returns have no common scale."""
    std: float | None
    """Standard deviation between those seeds (n - 1); None of one seed."""
    n_normalized: int
    normalized_mean: float | None
    iqm: float | None
    interval: tuple[float, float] | None
    """None where a task has fewer than two seeds: one seed says nothing of how far others may fall."""
    better_than_score: float | None
    """How probable it is that a run beats a score-trained one of the same task; None on the score."""
    val_accuracy: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of a setting, by task and then by seed, and what they came to."""

    setting: Setting
    runs: tuple[Run, ...]
    by_task: dict[str, Summary]
    overall: Summary

    def of(self, task: str) -> tuple[Run, ...]:
        """Its runs of one task, by seed."""
        return tuple(run for run in self.runs if run.row.env_id == task)


@dataclass(frozen=True, slots=True)
class Table:
    """A benchmark's runs, summed up; the same whatever order they came in."""

    tasks: tuple[str, ...]
    groups: tuple[Group, ...]
    not_normalized: tuple[str, ...]
    """A line for each task whose runs could not be put on the scale, saying why and which."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """All of them, in the table's order."""
        return tuple(run for group in self.groups for run in group.runs)

    def varying(self) -> tuple[str, ...]:
        """Names of the Setting's fields that tell its lines apart."""
        settings = [group.setting for group in self.groups]
        own = [setting for setting in settings if setting.is_preferences]
        scored = [setting for setting in settings if not setting.is_preferences]
        names = [
            name
            for name in ("variant", "teacher", "strategy", "labels")
            if len({getattr(s, name) for s in own}) > 1 or len({getattr(s, name) for s in scored}) > 1
        ]
        return tuple((["reward"] if own and scored else []) + names)


def make_table(rows: Sequence[Row]) -> Table:
    """Sum up a benchmark.

    Raises:
        UserError: there are no rows, or two different runs of the same setting, task and seed.
    """
    gathered = _gather(rows)
    scored = {(s.variant, task, seed): row for (s, task, seed), row in gathered.items() if not s.is_preferences}
    by_cell = {row.outcome.cell: row for row in scored.values()}
    runs: dict[Setting, list[Run]] = {}
    reasons: dict[str, list[Setting]] = {}
    for setting, task in sorted({(setting, task) for setting, task, _ in gathered}):
        seeds = {seed: row for (s, t, seed), row in gathered.items() if (s, t) == (setting, task)}
        same = {seed: by_cell[row.score_cell] for seed, row in seeds.items() if row.score_cell in by_cell}
        if not same and not any(row.score_cell for row in seeds.values()):  # which PPO is theirs is not known
            measure = _baseline_variant(setting.variant, task, scored)
            same = {seed: scored[measure, task, seed] for seed in seeds if (measure, task, seed) in scored}
        scale = _scale(seeds, same)
        if scale.reason:
            reasons.setdefault(f"{task}: {scale.reason}", []).append(setting)
        runs.setdefault(setting, []).extend(
            Run(setting, row, scale.of(row.outcome.env_return, seed), same.get(seed)) for seed, row in seeds.items()
        )
    groups = tuple(_group(setting, runs[setting]) for setting in sorted(runs))
    tasks = tuple(sorted({row.env_id for row in rows}))
    bare = Table(tasks, groups, ())
    return Table(tasks, groups, tuple(_reasons(reasons, bare)))


def setting_name(setting: Setting, varying: Iterable[str]) -> str:
    """What a legend or a sentence calls it: only what tells it apart."""
    if not setting.is_preferences:
        return f"score ({setting.variant})" if "variant" in varying and setting.variant else "score"
    parts = []
    for name in varying:
        value = getattr(setting, name)
        if name == "labels":
            parts.append(f"{value:,} labels")
        elif name != "reward":
            parts.append(value or f"no {name}")
    return ", ".join(parts) or "preferences"


@dataclass(frozen=True, slots=True)
class _Scale:
    random: float
    score: float
    seeds: frozenset[int]
    """Of the runs that it holds for."""
    reason: str
    """Why it does not hold for others."""

    def of(self, env_return: float, seed: int) -> float | None:
        return normalized(env_return, self.random, self.score) if seed in self.seeds else None


def _gather(rows: Sequence[Row]) -> dict[tuple[Setting, str, int], Row]:
    """Rows by setting, task and seed, sorted."""
    if not rows:
        raise UserError("expected at least one finished run to report, got none; run the benchmark first")
    found: dict[tuple[Setting, str, int], Row] = {}
    for row in rows:
        setting = Setting(row.outcome.reward != "score", row.variant, row.teacher, row.strategy, row.labels)
        other = found.setdefault((setting, row.env_id, row.seed), row)
        if other.outcome.cell != row.outcome.cell:
            raise UserError(
                f"expected one run of {row.env_id}, seed {row.seed}, {setting_name(setting, _ALL)}, got two: "
                f"cells {min(other.outcome.cell, row.outcome.cell)} and {max(other.outcome.cell, row.outcome.cell)}; "
                "give their settings names of their own"
            )
    return dict(sorted(found.items(), key=lambda item: item[0]))


_ALL = ("variant", "teacher", "strategy", "labels")


def _baseline_variant(variant: str, task: str, scored: Iterable[tuple[str, str, int]]) -> str:
    """The variant that is the measure where no run has the same PPO: its own, else the plain one, else the only one."""
    there = {v for v, t, _ in scored if t == task}
    if variant in there or not there:
        return variant
    return there.pop() if len(there) == 1 else ""


def _scale(seeds: Iterable[int], same: dict[int, Row]) -> _Scale:
    """Where 0 and 1 are for the runs of those seeds: means over the score-trained runs of the same seeds."""
    if not same:
        return _Scale(0, 0, frozenset(), "no score-trained run of the same PPO and seeds")
    random = fmean(row.outcome.random_return for row in same.values())
    score = fmean(row.outcome.env_return for row in same.values())
    if not score > random:
        reason = f"training on the score ({score:.4g}) did no better than acting at random ({random:.4g})"
        return _Scale(random, score, frozenset(), reason)
    missing = sorted(set(seeds) - set(same))
    words = "seed" if len(missing) == 1 else "seeds"
    reason = f"no score-trained run of {words} {', '.join(map(str, missing))}" if missing else ""
    return _Scale(random, score, frozenset(same), reason)


def _reasons(reasons: dict[str, list[Setting]], table: Table) -> list[str]:
    """The lines under a table; which settings are meant is said where not all are."""
    n_own = sum(group.setting.is_preferences for group in table.groups)
    lines = []
    for reason, settings in sorted(reasons.items()):
        names = [setting_name(setting, table.varying()) for setting in settings]
        all_are_meant = sum(setting.is_preferences for setting in settings) == n_own
        lines.append(reason if all_are_meant else f"{reason} ({'; '.join(names)})")
    return lines


def _group(setting: Setting, runs: list[Run]) -> Group:
    tasks = {run.row.env_id: [r for r in runs if r.row.env_id == run.row.env_id] for run in runs}
    by_task = {task: _summary([found]) for task, found in tasks.items()}
    return Group(setting, tuple(runs), by_task, _summary(list(tasks.values())))


def _summary(strata: Sequence[Sequence[Run]]) -> Summary:
    """Of runs by task."""
    runs = [run for stratum in strata for run in stratum]
    returns = [run.env_return for run in runs]
    scaled = [[run.normalized for run in stratum if run.normalized is not None] for stratum in strata]
    scaled = [values for values in scaled if values]
    flat = [value for values in scaled for value in values]
    accuracies = [accuracy for run in runs if (accuracy := run.row.outcome.val_accuracy) is not None]
    has_interval = bool(scaled) and all(len(values) > 1 for values in scaled)
    ends = stratified_bootstrap(scaled) if has_interval else None
    return Summary(
        n_runs=len(runs),
        seeds=tuple(sorted({run.row.seed for run in runs})),
        mean=fmean(returns) if len(strata) == 1 else None,
        std=stdev(returns) if len(strata) == 1 and len(returns) > 1 else None,
        n_normalized=len(flat),
        normalized_mean=fmean(flat) if flat else None,
        iqm=iqm(flat) if flat else None,
        interval=(float(ends[0]), float(ends[1])) if ends is not None else None,
        better_than_score=_better(strata),
        val_accuracy=fmean(accuracies) if accuracies else None,
    )


def _better(strata: Sequence[Sequence[Run]]) -> float | None:
    """Over the tasks and seeds that have a score-trained run."""
    pairs = [[(run, run.baseline.outcome) for run in stratum if run.baseline is not None] for stratum in strata]
    pairs = [stratum for stratum in pairs if stratum]
    if not pairs or not pairs[0][0][0].setting.is_preferences:
        return None
    own = [[run.env_return for run, _ in stratum] for stratum in pairs]
    return probability_of_improvement(own, [[outcome.env_return for _, outcome in stratum] for stratum in pairs])
