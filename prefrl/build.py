"""The composition root: turns a config into the objects that learn."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from gymnasium import spaces
from stable_baselines3 import PPO

from labeling.clip import ClipFiles
from labeling.store import Store
from labeling.teachers import TEACHERS
from labeling.teaching import Faults
from prefrl.answers import Answers
from prefrl.asking import Asker, ClipFacts
from prefrl.checks import resolve_device
from prefrl.config import Config, QueryConfig
from prefrl.errors import UserError
from prefrl.families import PEOPLE, family
from prefrl.fit import Fitter
from prefrl.guard import Guard
from prefrl.labelers import FunctionLabeler, Labeler, LabelFunction, PeopleLabeler, TeacherLabeler
from prefrl.learn import make_ppo
from prefrl.loop import LabelBudget, PreferenceLoop
from prefrl.machine_memory import check_labels_fit, check_model_fits
from prefrl.queue import PeopleQueue
from prefrl.recorder import Recorder
from prefrl.reward_model import Inputs, RewardModel
from prefrl.rundir import RunDir
from prefrl.schedules import SCHEDULES
from prefrl.stopwatch import Stopwatch
from prefrl.world import World
from prefrl.worlds import clip_steps


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


def check_memory(config: Config, world: World, clip_steps: int) -> None:
    """Make sure that the clip memory holds a rollout and a clip, by looking at one step of the world, and that the
    labels' clips fit into the machine.

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
    check_labels_fit(config, recorder.pool.layout, clip_steps)


def check_model_memory(config: Config, world: World) -> None:
    """Make sure that the reward model that is asked for fits into memory.

    Raises:
        UserError: It does not.
    """
    space = world.venv.observation_space
    assert isinstance(space, spaces.Box)  # worlds give arrays; others were refused as they were made
    check_model_fits(config.reward_model, Inputs.of(space, world.venv.action_space, world.n_stack))


def make_labeler(config: Config, function: LabelFunction | None, seed: int) -> Labeler:
    """The labeler that the config names, or the user's own function."""
    if function is not None:
        return FunctionLabeler(function)
    if config.labeler in PEOPLE:
        return PeopleLabeler(config.labeler, config.people.answers_per_query)
    return TeacherLabeler(config.labeler, TEACHERS[config.labeler], Faults(**asdict(config.teacher)), seed)


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
    guard = Guard(world.venv, note_ends=True)
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
        _people_queue(config, store),
        config.people.fit_share,
    )
    loop.agent = make_ppo(
        recorder,
        config.ppo,
        seed=seeds.policy,
        device=device,
        normalize_reward=config.ppo.normalize_learned,
        score_rollout=loop.after_rollout,
    )
    return loop


def _people_queue(config: Config, store: Store) -> PeopleQueue | None:
    if config.labeler not in PEOPLE:
        return None
    people = config.people
    return PeopleQueue(
        store,
        size=people.queue_size,
        ahead=people.ahead,
        stale_steps=people.stale_steps,
        answers_per_query=people.answers_per_query,
        pauses=people.when_starved == "pause",
    )


def _label_budget(config: Config) -> LabelBudget:
    queries = config.queries
    rollout_steps = config.ppo.n_steps * config.world.n_envs
    first_round, last_round = _rounds(
        config.total_timesteps, rollout_steps, queries, with_people=config.labeler in PEOPLE
    )
    initial = min(config.total_labels, max(1, round(config.total_labels * queries.initial_share)))
    return LabelBudget(
        schedule=SCHEDULES[queries.schedule],
        total_labels=config.total_labels,
        # Where there is but one round, everything is asked in it.
        initial_labels=config.total_labels if last_round == first_round else initial,
        window_steps=min(queries.label_window * config.total_timesteps, last_round),
        hyperbolic_steps=queries.hyperbolic_steps,
        round_steps=queries.round_steps,
        end_steps=math.ceil(config.total_timesteps / rollout_steps) * rollout_steps,
        first_round_steps=first_round,
    )


def _rounds(total_steps: int, rollout_steps: int, queries: QueryConfig, *, with_people: bool) -> tuple[int, int]:
    """Agent steps at the first and at the last round of a run: rounds come at the ends of rollouts.

    Of people every rollout is one: they are asked as soon as there is a clip, and whenever they have answered.
    """
    n_rollouts = math.ceil(total_steps / rollout_steps)
    wait = 0 if with_people else queries.first_round_steps
    first = min(n_rollouts, max(1, math.ceil(wait / rollout_steps)))
    between = 1 if with_people else math.ceil(queries.round_steps / rollout_steps)
    last = first + (n_rollouts - first) // between * between
    return first * rollout_steps, last * rollout_steps
