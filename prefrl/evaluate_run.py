"""Evaluation of a run: its policy, read from the folder without unpickling, against chance."""

from __future__ import annotations

from dataclasses import replace

import torch
from stable_baselines3 import PPO

from prefrl import build, checks, worlds
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.evaluate import evaluate, policy_act, random_act
from prefrl.families import family
from prefrl.guard import Guard
from prefrl.learn import plain_ppo
from prefrl.policy_file import read_weights
from prefrl.rundir import RunDir
from prefrl.world import World

_N_EVAL_ENVS = 8


def evaluate_run(
    run: RunDir,
    config: Config,
    *,
    with_random: bool = False,
    n_episodes: int | None = None,
    trust_pickle: bool = False,
) -> tuple[dict[str, float], float | None]:
    """Env return of a run's policy over whole episodes, and of a random policy over as many.

    Returns:
        `env_return`, `env_return_std` and `episodes`; then the random policy's mean, None where it was not asked for.
    """
    n = n_episodes or config.eval.episodes
    n_envs = min(_N_EVAL_ENVS, n)
    if family(config.env_id) == "custom":  # copies of a game may disturb each other, or there may be but one at a time
        n_envs = min(n_envs, config.world.n_envs)
    seed = build.Seeds.of(config.seed).evaluation
    chance = None
    if with_random:
        world = worlds.make_world(config, n_envs=n_envs, seed=seed, views=False, whole_episodes=True)
        chance = evaluate(Guard(world.venv), random_act(world.venv, seed), n, config.eval.max_steps).mean
        world.venv.close()
    world = worlds.make_world(config, n_envs=n_envs, seed=seed, views=False, whole_episodes=True)
    agent = load_policy(run, config, world, trust_pickle=trust_pickle)
    torch.manual_seed(seed)
    result = evaluate(Guard(world.venv), policy_act(agent, config.eval.deterministic), n, config.eval.max_steps)
    world.venv.close()
    return {"env_return": result.mean, "env_return_std": result.std, "episodes": n}, chance


def load_policy(run: RunDir, config: Config, world: World, *, trust_pickle: bool = False) -> PPO:
    """The policy of a run, its weights alone read from the zip: nothing in it is unpickled.

    With `trust_pickle` it is loaded by Stable-Baselines3 itself, which unpickles what is in it and so runs whatever its
    maker wanted: for networks other than prefrl's, in files of one's own.

    Raises:
        UserError: There is no policy, or it is not one for this world.
    """
    if not run.policy.is_file():
        raise UserError(
            f"expected a trained policy at {run.policy}, found none; the run has not ended, go on with it by --resume"
        )
    venv = world.venv
    # A policy trained on a GPU is read where there is none, too.
    device = "cpu" if config.device == "cpu" else checks.resolve_device("auto")
    if trust_pickle:
        return PPO.load(run.policy, device=device)
    # It only acts: the buffer of a rollout, as large as the config says, is not needed.
    acting = replace(config.ppo, n_steps=2, batch_size=2)
    agent = plain_ppo(venv.observation_space, venv.action_space, acting, 1, device)
    weights = read_weights(run.policy, device)
    try:
        agent.policy.load_state_dict(weights)
    except (RuntimeError, ValueError, KeyError, TypeError) as e:
        first = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise UserError(f"expected a policy for {config.env_id} in {run.policy}, got: {first}") from e
    return agent
