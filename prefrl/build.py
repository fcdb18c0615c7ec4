"""The composition root: turns a config into objects. The one module that knows `envs`, and only when asked for."""

from __future__ import annotations

import importlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

from labeling.clip import ClipFiles
from labeling.store import Store
from labeling.teachers import TEACHERS
from prefrl import custom
from prefrl.answers import Answers
from prefrl.asking import Asker, ClipFacts
from prefrl.config import Config
from prefrl.configfile import nearest
from prefrl.errors import UserError
from prefrl.families import family
from prefrl.fit import Fitter
from prefrl.labelers import FunctionLabeler, Labeler, LabelFunction, TeacherLabeler
from prefrl.learn import make_ppo
from prefrl.loop import LabelBudget, PreferenceLoop
from prefrl.queries import STRATEGIES
from prefrl.recorder import Guard, Recorder
from prefrl.reward_model import Inputs, RewardModel
from prefrl.rundir import RunDir
from prefrl.schedules import SCHEDULES
from prefrl.stopwatch import Stopwatch
from prefrl.world import World

_EXTRAS = {"ale_py": "atari", "mujoco": "mujoco", "cv2": "window"}


@dataclass(frozen=True, slots=True)
class Seeds:
    """Seeds of the parts of a run, each its own stream of the run's one seed."""

    policy: int
    """Of the policy's weights and actions, and of the environments: Stable-Baselines3 seeds all three at once."""
    networks: int
    fit: int
    queries: int
    labeler: int
    evaluation: int

    @classmethod
    def of(cls, seed: int) -> Seeds:
        """Spawn them."""
        states = np.random.SeedSequence(seed).generate_state(7)[1:] >> 2  # 30 bits: ALE wants an int32
        return cls(*(int(s) for s in states))


def make_world(config: Config, *, n_envs: int, seed: int, views: bool) -> World:
    """The world that the config names, `n_envs` copies of it.

    Raises:
        UserError: There is no such world, an extra is missing, or its options are wrong.
    """
    kind, options = family(config.env_id), config.world
    common: dict[str, Any] = {
        "n_envs": n_envs,
        "seed": seed,
        "views": views,
        "env_kwargs": parse_env_kwargs(options.env_kwargs),
    }
    masks = tuple(parse_mask(m) for m in options.masks)
    if kind == "custom":
        return custom.make(config.env_id, **common, horizon=options.horizon, masks=masks)
    if kind == "atari":
        common["frame_size"] = options.frame_size
        common["masks"] = masks
        common["default_masks"] = options.default_masks
    elif masks:
        raise UserError(f"expected no --mask for {config.env_id}, whose observations are no pictures")
    world: World = _envs_call(kind, config.env_id, common)
    return world


def _envs_call(kind: str, env_id: str, common: dict[str, Any]) -> World:
    module = _import_envs(kind)
    world_error: type[ValueError] = importlib.import_module("envs").WorldError
    try:
        world: World = module.make(env_id, **common)
    except ModuleNotFoundError as e:
        raise _missing_extra(e) from e
    except world_error as e:
        raise UserError(str(e)) from e
    return world


def _import_envs(kind: str) -> ModuleType:
    """Our own `envs`, or one clear line where the user's project hides it behind a package of the same name."""
    package = importlib.import_module("envs")
    place = Path(package.__file__ or "").parent
    if place != Path(__file__).parent.parent / "envs":
        raise UserError(
            f"expected prefrl's own package envs for this world, got another of that name at {place}; run from another "
            "folder, or give yours another name"
        )
    try:
        return importlib.import_module(f"envs.{kind}")
    except ModuleNotFoundError as e:
        raise _missing_extra(e) from e


def _missing_extra(e: ModuleNotFoundError) -> UserError:
    extra = _EXTRAS.get((e.name or "").split(".")[0])
    remedy = f"pip install 'prefrl[{extra}]'" if extra else f"pip install {e.name}"
    return UserError(f"expected the package {e.name} to be installed for this; {remedy}")


def parse_env_kwargs(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`key:value` pairs with values in JSON, or plain words."""
    kwargs: dict[str, Any] = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon or not key.isidentifier():
            raise UserError(f"expected --env-kwargs as key:value, got {pair!r}")
        try:
            kwargs[key] = json.loads(value)
        except ValueError:
            kwargs[key] = value
    return kwargs


def parse_mask(mask: str) -> tuple[int, int, int, int]:
    """`x,y,w,h` as four whole numbers."""
    parts = mask.split(",")
    if len(parts) != 4 or not all(p.strip().isdigit() for p in parts):
        raise UserError(f"expected --mask as x,y,w,h in whole pixels, got {mask!r}")
    x, y, w, h = (int(p) for p in parts)
    return x, y, w, h


def clip_steps(config: Config, world: World) -> int:
    """Steps of a clip at the world's real speed, within the config's bounds.

    Raises:
        UserError: The clip would be longer than an episode, or have no step.
    """
    clips = config.clips
    if clips.clip_seconds <= 0 or not 1 <= clips.min_clip_steps <= clips.max_clip_steps:
        raise UserError(
            "expected --clip-seconds above 0 and 1 <= min-clip-steps <= max-clip-steps, got "
            f"{clips.clip_seconds:g}, {clips.min_clip_steps} and {clips.max_clip_steps}"
        )
    wanted = round(clips.clip_seconds * world.frame_rate)
    steps = min(max(wanted, clips.min_clip_steps), clips.max_clip_steps)
    longest = max(wanted, steps)
    if world.horizon is not None and longest > world.horizon:
        flag = "--clip-seconds" if wanted >= clips.min_clip_steps else "--clips.min-clip-steps"
        raise UserError(
            f"expected clips no longer than an episode, which is {world.horizon} steps of {1 / world.frame_rate:.3g} s "
            f"in {config.env_id}, got {longest} steps ({longest / world.frame_rate:.3g} s); lower {flag}"
        )
    return steps


def check_memory(config: Config, world: World, clip_steps: int) -> None:
    """Make sure that the clip memory holds a rollout and a clip, by looking at one step of the world.

    Raises:
        UserError: It does not.
    """
    recorder = Recorder(world, Guard(world.venv), config.clips.memory_mib)
    recorder.reset()
    needed = max(config.ppo.n_steps, clip_steps) + world.n_stack - 1
    if recorder.pool.capacity < needed:
        step_kib = recorder.pool.layout.step_bytes * world.venv.num_envs / 1024
        wanted = math.ceil(needed * step_kib / 1024)
        raise UserError(
            f"expected clip memory for {needed} steps of {world.venv.num_envs} environments ({step_kib:,.0f} KiB a "
            f"step), got room for {recorder.pool.capacity}; raise --clip-memory to {wanted} MiB or more"
        )


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


def make_labeler(config: Config, function: LabelFunction | None, seed: int) -> Labeler:
    """The labeler that the config names, or the user's own function."""
    if function is not None:
        return FunctionLabeler(function)
    return TeacherLabeler(config.labeler, TEACHERS[config.labeler], np.random.default_rng(seed))


def check_names(config: Config, *, own_labeler: bool) -> None:
    """Every setting that names a function or has a range, before anything is written.

    Raises:
        UserError: The first that is wrong.
    """
    resolve_device(config.device)
    for flag, name, known in (
        ("--labeler", config.labeler, [config.labeler] if own_labeler else list(TEACHERS)),
        ("--queries.strategy", config.queries.strategy, list(STRATEGIES)),
        ("--queries.schedule", config.queries.schedule, list(SCHEDULES)),
    ):
        if name not in known:
            raise UserError(f"expected {flag} to be one of {', '.join(known)}, got {name!r}{nearest(name, known)}")
    for path, (low, high) in _RANGES.items():
        value: Any = config
        for part in path.split("."):
            value = getattr(value, part)
        for number in value if isinstance(value, tuple) else (value,):
            if not low <= number <= high:
                flag = "--" + path.replace("_", "-")
                bound = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
                raise UserError(f"expected {flag} to be {bound}, got {number:g}")
    if config.ppo.n_steps * config.world.n_envs < 2:
        raise UserError("expected a rollout of at least 2 steps, got --ppo.n-steps 1 of --world.n-envs 1; raise one")


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
    "world.frame_size": (36, 210),
    "clips.memory_mib": _FROM_1,
    "queries.candidate_factor": _FROM_1,
    "queries.random_share": _SHARE,
    "queries.recent_steps": _FROM_1,
    "queries.hyperbolic_steps": _FROM_1,
    "queries.initial_share": _SHARE,
    "queries.label_window": _SHARE,
    "queries.round_steps": _FROM_1,
    "reward_model.members": _FROM_1,
    "reward_model.hidden": _FROM_1,
    "reward_model.dropout": (0, 0.99),
    "reward_model.pool_pixels": (1, 8),
    "reward_model.error_rate": (0, 0.99),
    "reward_model.learning_rate": _ABOVE_0,
    "reward_model.batch_size": _FROM_1,
    "reward_model.initial_epochs": _FROM_1,
    "reward_model.epochs": _FROM_1,
    "reward_model.max_batches": (0, math.inf),
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
    "eval.episodes": _FROM_1,
    "eval.max_steps": _FROM_1,
}
"""Smallest and largest value of every setting that has one."""


def wants_views(config: Config, labeler: Labeler | None) -> bool:
    """Whether the world should give what draws each step; where that is a rendered frame, only for who looks."""
    if config.world.record_views != "auto":
        return config.world.record_views == "always"
    return family(config.env_id) != "custom" or (labeler is not None and labeler.needs_views)


def build_agent(config: Config, world: World, seeds: Seeds) -> PPO:
    """PPO on the env reward: the baseline, with no part of preference learning in it."""
    return make_ppo(
        Guard(world.venv),
        config.ppo,
        seed=seeds.policy,
        device=resolve_device(config.device),
        normalize_reward=config.ppo.normalize_score,
        score_rollout=None,
    )


def build_loop(
    config: Config, world: World, store: Store, run: RunDir, labeler: Labeler, watch: Stopwatch
) -> PreferenceLoop:
    """Everything that learns from preferences, put together; the agent is in `loop.agent`."""
    seeds, device = Seeds.of(config.seed), resolve_device(config.device)
    guard = Guard(world.venv)
    recorder = Recorder(world, guard, config.clips.memory_mib)
    obs_space = world.venv.observation_space
    assert isinstance(obs_space, spaces.Box)  # worlds give arrays; others were refused as they were made
    inputs = Inputs.of(obs_space, recorder.action_space, world.n_stack)
    model = RewardModel(inputs, config.reward_model, seeds.networks).to(device)
    facts = ClipFacts(clip_steps(config, world), world.frame_rate, world.n_stack, world.pack_view)
    asker = Asker(
        config.queries,
        facts,
        model,
        store,
        ClipFiles(run.clips),
        labeler,
        np.random.default_rng(seeds.queries),
    )
    loop = PreferenceLoop(
        recorder,
        guard,
        asker,
        Answers(),
        Fitter(model, config.reward_model, seeds.fit),
        _label_budget(config),
        watch,
    )
    loop.agent = make_ppo(
        recorder,
        config.ppo,
        seed=seeds.policy,
        device=device,
        normalize_reward=False,
        score_rollout=loop.after_rollout,
    )
    return loop


def _label_budget(config: Config) -> LabelBudget:
    queries = config.queries
    rollout_steps = config.ppo.n_steps * config.world.n_envs
    last_round = _last_round(config.total_timesteps, rollout_steps, queries.round_steps)
    initial = min(config.total_labels, max(1, round(config.total_labels * queries.initial_share)))
    return LabelBudget(
        schedule=SCHEDULES[queries.schedule],
        total_labels=config.total_labels,
        # Where there is but one round, everything is asked in it.
        initial_labels=config.total_labels if last_round == rollout_steps else initial,
        window_steps=min(queries.label_window * config.total_timesteps, last_round),
        hyperbolic_steps=queries.hyperbolic_steps,
        round_steps=queries.round_steps,
    )


def _last_round(total_steps: int, rollout_steps: int, round_steps: int) -> int:
    """Agent steps at the last round of a run: rounds come at the ends of rollouts, the first at the first's."""
    n_rollouts = math.ceil(total_steps / rollout_steps)
    between = math.ceil(round_steps / rollout_steps)
    return (1 + (n_rollouts - 1) // between * between) * rollout_steps
