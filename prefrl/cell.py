"""A cell of a benchmark: one training, told from every other by whatever decides how it comes out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from dataclasses import dataclass, replace
from typing import Any

from prefrl.config import Config
from prefrl.flags import default_config

_NO_MATTER = frozenset({"run_dir", "progress", "checkpoint_steps", "people"})
"""Settings that change nothing of how a run comes out."""
_LEARNING_ONLY = frozenset({"labeler", "total_labels", "labels_from", "clips", "queries", "reward_model", "teacher"})
_LEARNING_ONLY_INNER = frozenset({"ppo.normalize_learned"})
"""Settings that a run on the score does not read, whole tables and single ones."""
_OFF: dict[str, Any] = {
    "world.own_process": True,
    "world.step_timeout": 60.0,
    "world.restarts": 3,
    "queries.first_round_steps": 0,
    "reward_model.min_batches": 0,
    "reward_model.pseudo_labels": 0.0,
    "reward_model.pseudo_confidence": 0.99,
    "reward_model.pseudo_weight": 1.0,
    "reward_model.warm_start": True,
    "reward_model.shrink": 1.0,
    "ppo.normalize_learned": False,
}
"""Settings that leave everything as it was before there was such a setting: with it a cell is still the same one."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A training, and what its suite calls it."""

    config: Config
    variant: str
    teacher: str
    """Empty on the score, as is the strategy."""
    strategy: str

    @property
    def key(self) -> str:
        """Twelve hex digits, the same for whatever comes out the same."""
        return cell_key(self.config)

    @property
    def score_key(self) -> str:
        """The key of the same PPO in the same world, trained on the score: what this cell is measured by."""
        return cell_key(replace(self.config, reward="score"))

    @property
    def name(self) -> str:
        """For people: what is trained, in a few words."""
        config = self.config
        how = [f"{config.total_labels} labels", self.teacher, self.strategy]
        if config.reward == "score":
            how = ["score"]
        return ", ".join([config.env_id, *how, *([self.variant] if self.variant else []), f"seed {config.seed}"])


def essence(config: Config) -> dict[str, Any]:
    """Every setting that decides how a run comes out, by its dotted name."""
    left_out = _NO_MATTER | (_LEARNING_ONLY if config.reward == "score" else frozenset())
    if config.labeler == "oracle":
        left_out |= {"teacher"}
    found: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        if f.name in left_out:
            continue
        value = getattr(config, f.name)
        inner = dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else None
        found |= {f.name: value} if inner is None else {f"{f.name}.{key}": x for key, x in inner.items()}
    unread = _LEARNING_ONLY_INNER if config.reward == "score" else frozenset()
    found = {name: value for name, value in found.items() if name not in unread}
    return {name: value for name, value in found.items() if name not in _OFF or _OFF[name] != value}


def cell_key(config: Config) -> str:
    """What names a cell's folder: the hash of its essence."""
    return hashlib.sha256(json.dumps(essence(config), sort_keys=True).encode()).hexdigest()[:12]


def command(config: Config) -> str:
    """The `prefrl train` that trains this cell alone, as one would type it."""
    decide = {name: getattr(config, name) for name in ("device", "total_labels", "labels_from")}
    plain = Config(env_id=config.env_id)
    base = replace(default_config(config.env_id, **decide), **{name: getattr(plain, name) for name in decide})
    words = ["prefrl", "train", "--env-id", config.env_id]
    for f in dataclasses.fields(config):
        value, default = getattr(config, f.name), getattr(base, f.name)
        if f.name in {"env_id", "run_dir", "progress", "checkpoint_steps", "people"}:
            continue
        if not dataclasses.is_dataclass(value) or isinstance(value, type):
            # The device decides on Atari's preset, and hangs on the machine: it is always said.
            words += _flag(f.name, value) if value != default or f.name in {"device", "seed"} else []
            continue
        for g in dataclasses.fields(value):
            inner = getattr(value, g.name)
            if inner != getattr(default, g.name):
                words += _flag(f"{f.name}.{g.name}", inner)
    return shlex.join(words)


def _flag(name: str, value: Any) -> list[str]:
    *path, last = name.replace("_", "-").split(".")
    if isinstance(value, bool):
        last = last if value else f"no-{last}"
        return ["--" + ".".join([*path, last])]
    values = value if isinstance(value, tuple) else (value,)
    return ["--" + ".".join([*path, last]), *map(str, values)]
