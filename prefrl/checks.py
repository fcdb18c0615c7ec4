"""Settings that name a function or have a range, checked before anything is written."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_type_hints

import torch

from labeling.teachers import TEACHERS
from prefrl.config import Config
from prefrl.configfile import check_readable
from prefrl.errors import UserError
from prefrl.families import PEOPLE, names_of
from prefrl.queries import STRATEGIES
from prefrl.schedules import SCHEDULES
from prefrl.spelling import nearest


def check_names(config: Config, *, own_labeler: bool, is_here: bool = True) -> None:
    """Every setting that names a function or has a range, before anything is written.

    Args:
        config: The settings.
        own_labeler: Whether a function of the user's own answers, under a name of its own.
        is_here: Whether this machine is to train; else it may lack the device.

    Raises:
        UserError: The first that is wrong.
    """
    if is_here or config.device != "cuda":
        resolve_device(config.device)
    for flag, name, known in (
        ("--labeler", config.labeler, [config.labeler] if own_labeler else [*PEOPLE, *TEACHERS]),
        ("--queries.strategy", config.queries.strategy, list(STRATEGIES)),
        ("--queries.schedule", config.queries.schedule, list(SCHEDULES)),
    ):
        if name not in known:
            raise UserError(f"expected {flag} to be one of {', '.join(known)}, got {name!r}{nearest(name, known)}")
    _check_people(config)
    if not config.teacher.reliabilities:
        raise UserError("expected --teacher.reliabilities to give one number for each person of the crowd, got none")
    if config.labels_from and config.reward == "score":
        raise UserError("expected no --labels-from with --reward score, which learns from no label; leave one out")
    _check_ranges(config)
    check_readable(config)
    fewest, most = config.reward_model.min_batches, config.reward_model.max_batches
    if 0 < most < fewest:
        raise UserError(
            f"expected --reward-model.min-batches to be at most --reward-model.max-batches {most:,} (0: no limit), got "
            f"{fewest:,}; raise the one or lower the other"
        )
    if config.ppo.n_steps * config.world.n_envs < 2:
        raise UserError("expected a rollout of at least 2 steps, got --ppo.n-steps 1 of --world.n-envs 1; raise one")


def _check_ranges(config: Config) -> None:
    for path, (low, high) in _RANGES.items():
        value: Any = config
        for part in path.split("."):
            value = getattr(value, part)
        for number in value if isinstance(value, tuple) else (value,):
            if not low <= number <= high:
                bound = f"at least {_said(low)}" if high == math.inf else f"between {_said(low)} and {_said(high)}"
                raise UserError(f"expected {_flag(path)} to be {bound}, got {_said(number)}")


def _said(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _flag(path: str) -> str:
    """How a setting is typed: by its short flag, where it has one beside the name that says whose it is."""
    table, _, name = path.rpartition(".")
    flag = "--" + path.replace("_", "-")
    if not table:
        return flag
    hints = get_type_hints(get_type_hints(Config)[table], include_extras=True)
    short = [alias for mark in getattr(hints[name], "__metadata__", ()) for alias in mark.aliases or ()]
    return f"{short[0]} ({flag})" if short else flag


def _check_people(config: Config) -> None:
    wanted, names = config.people.answers_per_query, names_of(config.people.invite)
    n_people = 1 if config.labeler == "window" else max(1, len(names))
    if config.labeler in PEOPLE and wanted > n_people:
        raise UserError(
            f"expected at least {wanted} people for --answers-per-query {wanted}, got {n_people}; name them by "
            "--invite (on the page, --labeler web), or ask fewer"
        )


_MAY_CHANGE = {"run_dir", "total_timesteps", "total_labels", "device", "torch_threads", "checkpoint_steps", "progress"}
_MAY_CHANGE |= {"eval", "people"}
_NO_OTHER_WORLD: dict[str, Any] = {"own_process": True, "step_timeout": 60.0, "restarts": 3}
"""Settings of the world that change nothing of what happens in it."""


def check_resumable(old: Config, new: Config) -> None:
    """Refuse to go on with a run under settings that would make it another run.

    Raises:
        UserError: The first such setting.
    """
    old, new = (replace(c, world=replace(c.world, **_NO_OTHER_WORLD)) for c in (old, new))
    for f in fields(old):
        before, now = getattr(old, f.name), getattr(new, f.name)
        if f.name == "labeler" and {before, now} <= set(PEOPLE):
            continue
        if f.name not in _MAY_CHANGE and before != now:
            inner = (
                [g.name for g in fields(before) if getattr(before, g.name) != getattr(now, g.name)]
                if is_dataclass(before)
                else []
            )
            name = ".".join([f.name, *inner[:1]])
            raise UserError(
                f"expected {name} to stay as it is in a run that is resumed (its settings are in its config.toml); "
                "begin another run to change it"
            )


_ABOVE_0 = (1e-12, math.inf)
_FROM_1 = (1, math.inf)
_SHARE = (0, 1)
_RANGES: dict[str, tuple[float, float]] = {
    "total_labels": _FROM_1,
    "total_timesteps": _FROM_1,
    "seed": (0, 2**32 - 1),
    "torch_threads": _FROM_1,
    "checkpoint_steps": _FROM_1,
    "world.n_envs": _FROM_1,
    "world.horizon": _FROM_1,
    "world.frame_size": (36, 160),
    "clips.memory_mib": _FROM_1,
    "queries.candidate_factor": _FROM_1,
    "queries.random_share": _SHARE,
    "queries.recent_steps": _FROM_1,
    "queries.hyperbolic_steps": _FROM_1,
    "queries.initial_share": _SHARE,
    "queries.label_window": _SHARE,
    "queries.round_steps": _FROM_1,
    "queries.first_round_steps": (0, math.inf),
    "reward_model.members": _FROM_1,
    "reward_model.hidden": _FROM_1,
    "reward_model.dropout": (0, 0.99),
    "reward_model.pool_pixels": (1, 8),
    "reward_model.error_rate": (0, 0.99),
    "reward_model.learning_rate": _ABOVE_0,
    "reward_model.batch_size": _FROM_1,
    "reward_model.initial_epochs": _FROM_1,
    "reward_model.epochs": _FROM_1,
    "reward_model.min_batches": (0, math.inf),
    "reward_model.max_batches": (0, math.inf),
    "reward_model.shrink": _SHARE,
    "reward_model.pseudo_labels": (0, math.inf),
    "reward_model.pseudo_confidence": (0.5, 1),
    "reward_model.pseudo_weight": _ABOVE_0,
    "reward_model.patience": _FROM_1,
    "reward_model.l2": (0, math.inf),
    "reward_model.l2_rate": (0, 1),
    "reward_model.last_labels": (0, math.inf),
    "reward_model.reward_std": _ABOVE_0,
    "ppo.n_steps": _FROM_1,
    "ppo.batch_size": (2, math.inf),
    "ppo.n_epochs": _FROM_1,
    "ppo.learning_rate": _ABOVE_0,
    "ppo.gamma": _SHARE,
    "ppo.gae_lambda": _SHARE,
    "ppo.clip_range": _ABOVE_0,
    "ppo.max_grad_norm": _ABOVE_0,
    "teacher.beta": (0, math.inf),
    "teacher.mistake_rate": _SHARE,
    "teacher.equal_share": _SHARE,
    "teacher.skip_share": _SHARE,
    "teacher.gamma": _SHARE,
    "teacher.lapse_rate": _SHARE,
    "teacher.fatigue_answers": _FROM_1,
    "teacher.drift_answers": _FROM_1,
    "teacher.position_bias": _SHARE,
    "teacher.reliabilities": _SHARE,
    "people.answers_per_query": _FROM_1,
    "people.queue_size": _FROM_1,
    "people.ahead": (0, math.inf),
    "people.stale_steps": _FROM_1,
    "people.fit_share": (0.001, 1),
    "people.repeat_share": (0, 0.5),
    "people.lease_seconds": (60, 3600),
    "people.port": (0, 65_535),
    "eval.episodes": _FROM_1,
    "eval.max_steps": _FROM_1,
}
"""Smallest and largest value of every setting that has one."""


def resolve_device(device: str) -> str:
    """Cpu or cuda; auto takes a GPU when there is one.

    Raises:
        UserError: Cuda was asked for and is not there, or the word is none of the three.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("expected a CUDA GPU for --device cuda, found none; use --device cpu or auto")
    if device not in ("cpu", "cuda"):
        raise UserError(f"expected --device to be auto, cpu or cuda, got {device!r}")
    return device
