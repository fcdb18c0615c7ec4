"""A benchmark suite: a TOML file that spans a grid of trainings, read into cells.

about = "What 100 answers are worth."
env_ids = ["HalfCheetah-v5", "Hopper-v5"]
labels = [700, 100]
seeds = [0, 1, 2]
teachers = ["oracle"]                                  # or a table, as below
strategies = ["disagreement"]                          # default: the preset's
score = true                                           # the same PPO on the env reward beside them

[settings]                                             # laid over the preset of every env
total_timesteps = 300_000

[teachers."mistake 30%"]                               # a teacher under a name of your own
labeler = "mistake"
mistake_rate = 0.3

[variants.preset]                                      # a row each, settings laid over those above
[variants.shrink]
reward_model.shrink = 0.5
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from labeling.teachers import TEACHERS
from prefrl import checks, configfile
from prefrl.cell import Cell
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.families import preset_for
from prefrl.flags import under_preset
from prefrl.queries import STRATEGIES
from prefrl.spelling import nearest, nearest_or_all

_KEYS = ("about", "env_ids", "labels", "seeds", "teachers", "strategies", "score", "preset", "settings", "variants")
_AXES = {"env_id": "env_ids", "seed": "seeds", "total_labels": "labels", "labeler": "teachers", "reward": "score"}
"""Settings that the grid sets, by its key for them."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A grid of trainings."""

    path: Path
    about: str
    """A sentence or two for the top of its report."""
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """What its results are called."""
        return self.path.stem


def read_suite(path: Path) -> Suite:
    """The suite in a TOML file, every cell's settings checked; its device may be another machine's.

    Raises:
        UserError: A file, key, name or value that is not what it should be.
    """
    grid = configfile.read_toml(path)
    for key in grid:
        if key not in _KEYS:
            raise UserError(f"unknown key {key!r} in {path}{nearest_or_all(key, list(_KEYS))}")
    axes = _Axes(path, grid)
    cells = [cell for env_id in axes.env_ids for cell in _cells_of(env_id, axes)]
    cells.sort(key=lambda cell: axes.seeds.index(cell.config.seed))  # a bench that is stopped early has whole seeds
    for cell in cells:
        try:
            checks.check_names(cell.config, own_labeler=False, is_here=False)
        except UserError as e:
            raise UserError(f"{e} (in {path}, cell {cell.name})") from e
    return Suite(path, axes.about, tuple(cells))


class _Axes:
    """What the file says, each value of the type it must be."""

    def __init__(self, path: Path, grid: dict[str, Any]) -> None:
        self.path, self.given = path, frozenset(grid)
        self.about = _one(path, grid, "about", str, "")
        self.env_ids = _many(path, grid, "env_ids", str, [])
        self.labels = _many(path, grid, "labels", int, [700])
        self.seeds = _many(path, grid, "seeds", int, [0])
        self.strategies = _many(path, grid, "strategies", str, [""])
        self.with_score = _one(path, grid, "score", bool, True)
        self.preset = _one(path, grid, "preset", str, "")
        self.settings = _table(path, grid, "settings")
        self.variants = _table(path, grid, "variants") or {"": {}}
        teachers = grid.get("teachers", ["oracle"])
        if isinstance(teachers, list):
            teachers = {name: {"labeler": name} for name in _many(path, grid, "teachers", str, ["oracle"])}
        self.teachers = _table(path, {"teachers": teachers}, "teachers")
        self._check()
        self._check_strategies()

    def _check_strategies(self) -> None:
        path = self.path
        for name, table in self.variants.items():
            queries = table.get("queries")
            if "strategies" in self.given and isinstance(queries, dict) and "strategy" in queries:
                raise UserError(
                    f"expected strategies or the strategy of variant {name!r} in {path}, got both; leave one out"
                )

    def _check(self) -> None:
        path = self.path
        for name, table in [*self.variants.items(), *self.teachers.items()]:
            if not isinstance(table, dict):
                raise UserError(f"expected a table of settings for {name!r} in {path}, got {table!r}")
        for table in (self.settings, *self.variants.values()):
            for name in set(table) & set(_AXES):
                raise UserError(f"expected no setting {name!r} in {path}: {_AXES[name]} says what it is")
        if not self.teachers:
            raise UserError(f"expected at least one of teachers in {path}, got none")
        for name, table in self.teachers.items():
            _known(path, "teachers", table.get("labeler", name), list(TEACHERS))
        for name in filter(None, self.strategies):
            _known(path, "strategies", name, list(STRATEGIES))
        if self.preset:
            _known(path, "preset", self.preset, configfile.preset_names())


def _cells_of(env_id: str, axes: _Axes) -> list[Cell]:
    bases = {labels: _base(env_id, labels, axes) for labels in axes.labels}
    base = bases[axes.labels[0]]
    cells: list[Cell] = []
    scored: set[str] = set()
    for (variant, settings), seed in product(axes.variants.items(), axes.seeds):
        where = f"{axes.path} [variants.{variant}]"
        configs = {n: configfile.overlay(replace(its, seed=seed), settings, where) for n, its in bases.items()}
        if axes.with_score:
            cells += _score_cell(base, configs[axes.labels[0]], variant, scored)
        cells += [
            _cell(configs[labels], variant, teacher, strategy, axes)
            for labels, teacher, strategy in product(axes.labels, axes.teachers, axes.strategies)
        ]
    return cells


def _base(env_id: str, labels: int, axes: _Axes) -> Config:
    """The preset for so many labels, and the suite's settings over it."""
    device = str(axes.settings.get("device", "cpu"))  # it decides on the preset
    given = {"total_labels": labels, "labels_from": axes.settings.get("labels_from")}
    plain = Config(env_id=env_id, device=device, total_labels=labels)
    base = under_preset(axes.preset or preset_for(env_id, device), plain, given)
    return replace(configfile.overlay(base, axes.settings, f"{axes.path} [settings]"), progress=False)


def _score_cell(base: Config, config: Config, variant: str, scored: set[str]) -> list[Cell]:
    """The baseline of a variant: its own where it changes PPO or the world, else one for all."""
    plain = Cell(replace(base, seed=config.seed, reward="score", labels_from=""), "", "", "")
    own = Cell(replace(config, reward="score", labels_from=""), variant, "", "")
    cell = plain if plain.key == own.key else own
    if cell.key in scored:
        return []
    scored.add(cell.key)
    return [cell]


def _cell(config: Config, variant: str, teacher: str, strategy: str, axes: _Axes) -> Cell:
    faults = dict(axes.teachers[teacher])
    config = replace(config, labeler=faults.pop("labeler", teacher))
    if faults:
        where = f"{axes.path} [teachers.{teacher}]"
        config = configfile.overlay(config, {"teacher": faults}, where)
    if strategy:
        config = replace(config, queries=dataclasses.replace(config.queries, strategy=strategy))
    return Cell(config, variant, teacher, config.queries.strategy)


def _one(path: Path, grid: dict[str, Any], key: str, kind: type, default: Any) -> Any:
    value = grid.get(key, default)
    if type(value) is not kind:
        raise UserError(f"expected {key} in {path} to be {_WORDS[kind]}, got {value!r}")
    return value


def _many(path: Path, grid: dict[str, Any], key: str, kind: type, default: list[Any]) -> list[Any]:
    values = grid.get(key, default)
    if not isinstance(values, list) or any(type(x) is not kind for x in values):
        raise UserError(f"expected {key} in {path} to be a list of {_WORDS[kind]}s, got {values!r}")
    if not values:
        raise UserError(f"expected at least one of {key} in {path}, got none")
    if len(set(values)) < len(values):
        raise UserError(f"expected every one of {key} in {path} once, got {values!r}")
    return values


def _known(path: Path, key: str, name: Any, known: list[str]) -> None:
    if name not in known:
        near = nearest(str(name), known)
        raise UserError(f"expected {key} in {path} to be one of {', '.join(known)}, got {name!r}{near}")


def _table(path: Path, grid: dict[str, Any], key: str) -> dict[str, Any]:
    value = grid.get(key, {})
    if not isinstance(value, dict):
        raise UserError(f"expected a table [{key}] in {path}, got {value!r}")
    return value


_WORDS = {int: "whole number", str: "text", bool: "true or false"}
