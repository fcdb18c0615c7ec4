"""The composition root: turns a config into objects. The one module that knows `envs`, and only when asked for."""

from __future__ import annotations

import importlib
import json
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

    world: int
    policy: int
    networks: int
    fit: int
    queries: int
    labeler: int
    evaluation: int

    @classmethod
    def of(cls, seed: int) -> Seeds:
        """Spawn them."""
        states = np.random.SeedSequence(seed).generate_state(7) >> 2  # 30 bits: ALE wants an int32
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
        raise UserError(
            f"expected clips no longer than an episode, which is {world.horizon} steps of {1 / world.frame_rate:.3g} s "
            f"in {config.env_id}, got {longest} steps ({longest / world.frame_rate:.3g} s); lower --clip-seconds"
        )
    return steps


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


def check_names(config: Config) -> None:
    """Every setting that names a function or must be positive, before anything is written.

    Raises:
        UserError: The first that is wrong.
    """
    resolve_device(config.device)
    for flag, name, known in (
        ("--labeler", config.labeler, list(TEACHERS)),
        ("--queries.strategy", config.queries.strategy, list(STRATEGIES)),
        ("--queries.schedule", config.queries.schedule, list(SCHEDULES)),
    ):
        if name not in known:
            raise UserError(f"expected {flag} to be one of {', '.join(known)}, got {name!r}{nearest(name, known)}")
    for flag, number in (
        ("--total-labels", config.total_labels),
        ("--total-timesteps", config.total_timesteps),
        ("--world.n-envs", config.world.n_envs),
        ("--clip-memory", config.clips.memory_mib),
        ("--eval.episodes", config.eval.episodes),
        ("--reward-model.members", config.reward_model.members),
        ("--queries.candidate-factor", config.queries.candidate_factor),
        ("--queries.round-steps", config.queries.round_steps),
        ("--checkpoint-steps", config.checkpoint_steps),
        ("--torch-threads", config.torch_threads),
    ):
        if number < 1:
            raise UserError(f"expected {flag} to be at least 1, got {number}")
    for flag, share in (
        ("--queries.random-share", config.queries.random_share),
        ("--queries.initial-share", config.queries.initial_share),
        ("--queries.label-window", config.queries.label_window),
        ("--reward-model.error-rate", config.reward_model.error_rate),
        ("--reward-model.dropout", config.reward_model.dropout),
    ):
        if not 0 <= share <= 1:
            raise UserError(f"expected {flag} to be between 0 and 1, got {share:g}")
    if not 0 <= config.seed < 2**32:
        raise UserError(f"expected --seed to be from 0 to 4294967295, got {config.seed}")


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
    return LabelBudget(
        schedule=SCHEDULES[queries.schedule],
        total_labels=config.total_labels,
        initial_labels=round(config.total_labels * queries.initial_share),
        window_steps=queries.label_window * config.total_timesteps,
        hyperbolic_steps=queries.hyperbolic_steps,
        round_steps=queries.round_steps,
    )
