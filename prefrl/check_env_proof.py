"""The proof that a game's score is not used: the same training with noise for a score gives the same bits."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from stable_baselines3 import PPO

from labeling.choice import Choice
from labeling.clip import Clip
from prefrl import custom
from prefrl.check_env_calls import call
from prefrl.check_env_finding import Finding
from prefrl.check_env_game import Copy, Game, Play, difference, name_of, play
from prefrl.config import Config
from prefrl.custom_env import Env, image_shape
from prefrl.training import Interrupted, train

NAME = "proof"
NOISE_ID = "check-env/Noise-v0"
"""Registered for as long as the proof takes."""
_STEPS, _SLOW_STEPS = 512, 256
_SLOW_STEP_SECONDS, _TOO_SLOW_STEP_SECONDS = 0.01, 0.07
_LABELS = 12
_LARGEST_SIDE = 160
"""Pixels; a network on larger pictures takes longer than a check may."""
_TRAIN_SECONDS = 120.0


def proof(game: Game) -> Iterator[Finding]:
    """Play, then train, once with the score and once with noise in its place."""
    base = game.base
    assert base is not None
    suspect = score_in_obs(base)
    if suspect:
        remedy = "take the score out of the observation, or the agent can read it there"
        yield Finding("score", "warn", suspect, remedy)
    elif len(set(base.rewards)) == 1:
        yield Finding("score", "ok", f"always {base.rewards[0]:g}: nothing is lost, it is never used")
    else:
        detail = f"{min(base.rewards):.3g} to {max(base.rewards):.3g} a step: shown by prefrl eval, never to the agent"
        yield Finding("score", "ok", detail)
    if not game.is_alike:
        detail = (
            "the score is not used, but that cannot be proved with this game: under the same seed it is another each "
            "time, so two trainings differ with the same score already"
        )
        yield Finding(NAME, "warn", detail, "see same seed, above")
        return
    with _noise(game):
        noisy = Copy(call("making it", custom.gym_make, NOISE_ID, dict(game.kwargs)))
        space, sides = noisy.env.action_space, image_shape(noisy.env.observation_space)
        apart = difference(base, play(noisy, game.actions(space, len(base.rewards)), seed=0))
        noisy.close()
        if apart is not None:
            yield Finding(
                NAME, "bad", f"the score leaks through the observations: with noise in its place, {apart}", _LEAK
            )
            return
        if game.step_seconds > _TOO_SLOW_STEP_SECONDS or max(sides or (0,)) > _LARGEST_SIDE:
            why = "pictures as large" if max(sides or (0,)) > _LARGEST_SIDE else "a game as slow"
            detail = f"the game plays the same with noise for a score; training twice on {why} takes too long here"
            yield Finding(NAME, "warn", detail, "see what is said of them above, and check again")
            return
        yield _trained(game)


_LEAK = "a wrapper puts the score into the observation, or ends the game by it: take that out"


@dataclass(frozen=True, slots=True)
class _Trained:
    """What a training came to."""

    tensors: dict[str, torch.Tensor]
    """Of policy and reward model."""
    score: float
    n_labels: int
    learn_seconds: float
    """Per step, with as many passes over it as the config of the game says."""


def _trained(game: Game) -> Finding:
    with tempfile.TemporaryDirectory(prefix="prefrl-check-") as folder:
        one = _train(game, game.env_id, Path(folder) / "score")
        two = _train(game, NOISE_ID, Path(folder) / "noise")
        game.learn_seconds = two.learn_seconds
        other = _unlike(one, two)
        if other and _unlike(one, _train(game, game.env_id, Path(folder) / "again")):
            detail = (
                "the score is not used, but that cannot be proved with this game: training twice with the same score "
                f"gives other bits, too ({other[0]})"
            )
            return Finding(NAME, "warn", detail, "it is not the same under the same seed after some hundred steps")
    if other:
        detail = f"the score leaks: with noise in its place, {len(other)} tensors come out others ({other[0]})"
        return Finding(NAME, "bad", detail, _LEAK)
    detail = (
        f"the score is not used: two trainings with the same {one.n_labels} labels, one with noise for a score, gave "
        f"the same policy and reward model bit for bit ({len(one.tensors)} tensors, {_steps(game)} steps)"
    )
    return Finding(NAME, "ok", detail)


def _unlike(one: _Trained, two: _Trained) -> list[str]:
    return [name for name, tensor in one.tensors.items() if not torch.equal(tensor, two.tensors[name])]


def _train(game: Game, env_id: str, folder: Path) -> _Trained:
    config = _config(game, env_id, folder)
    try:
        result = call("training", train, config, labeler=by_their_bytes, limit=_TRAIN_SECONDS)
    except Interrupted as e:
        raise KeyboardInterrupt from e
    policy = PPO.load(result.run.policy, device="cpu").policy.state_dict()
    passes = game.config.ppo.n_epochs / config.ppo.n_epochs
    return _Trained(
        tensors={**{f"policy {k}": v for k, v in policy.items()}, **load_file(result.run.reward)},
        score=float(result.summary["env_return"]),
        n_labels=int(result.summary["labels"]),
        learn_seconds=float(result.summary["seconds"]["learn"]) * passes / config.total_timesteps,
    )


def by_their_bytes(left: Clip, right: Clip) -> Choice:
    """Prefer one of two clips for no reason but its observations: any change in them changes the answers."""
    a, b = (zlib.crc32(np.ascontiguousarray(clip.obs).tobytes()) for clip in (left, right))
    return Choice.EQUAL if a == b else Choice.LEFT if a > b else Choice.RIGHT


def _steps(game: Game) -> int:
    is_quick = game.step_seconds < _SLOW_STEP_SECONDS and game.base is not None and game.base.obs[0].dtype != np.uint8
    return _STEPS if is_quick else _SLOW_STEPS


def _config(game: Game, env_id: str, folder: Path) -> Config:
    """A training of four rollouts, in each of which labels are asked."""
    config, base, n_steps = game.config, game.base, _steps(game)
    assert base is not None
    longest = max([*base.lengths, len(base.ends) - sum(base.lengths)])
    clip_steps = max(1, min(15, game.horizon // 2, longest // 2))
    n_envs = min(2, config.world.n_envs)
    rollout = n_steps // 4
    return replace(
        config,
        env_id=env_id,
        total_labels=_LABELS,
        total_timesteps=n_steps,
        run_dir=str(folder),
        device="cpu",
        progress=False,
        world=replace(config.world, n_envs=n_envs, record_views="never", own_process=False),
        clips=replace(config.clips, clip_seconds=1e-6, min_clip_steps=clip_steps, max_clip_steps=clip_steps),
        queries=replace(config.queries, round_steps=rollout, label_window=1.0),
        reward_model=replace(config.reward_model, initial_epochs=5, epochs=2),
        ppo=replace(config.ppo, n_steps=rollout // n_envs, n_epochs=2),
        eval=replace(config.eval, episodes=1, max_steps=50),
    )


@contextmanager
def _noise(game: Game) -> Iterator[None]:
    """Register the game with noise for a score: below all its wrappers, and above them."""

    def make(**kwargs: Any) -> Env:
        env = custom.gym_make(game.env_id, kwargs)
        _make_noisy(env.unwrapped)
        return _NoiseAbove(env)

    gym.register(NOISE_ID, make, max_episode_steps=game.registered_steps)
    try:
        yield
    finally:
        del gym.registry[NOISE_ID]


def _make_noisy(env: Env) -> None:
    """Have the game itself return noise, so that wrappers that look at the score see it."""
    rng, step = np.random.default_rng(12345), env.step

    def noisy(action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, _, terminated, truncated, info = step(action)
        return obs, float(rng.normal() * 100), terminated, truncated, info

    env.step = noisy  # type: ignore[method-assign]  # of this one copy, for the length of the proof


class _NoiseAbove(gym.Wrapper[Any, Any, Any, Any]):
    """Noise for whatever score the wrappers return."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._rng = np.random.default_rng(54321)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step."""
        obs, _, terminated, truncated, info = self.env.step(action)
        return obs, float(self._rng.normal() * 100), terminated, truncated, info


def score_in_obs(base: Play) -> str:
    """Say which number of the observation is the score of the step, or follows the running score; empty for none.

    No noise from outside can show this where the game puts it there itself.
    """
    rewards = np.array(base.rewards)
    if len(rewards) < 20 or base.obs[0].dtype == np.uint8 or rewards.std() == 0:
        return ""
    obs = np.stack(base.obs[1:]).reshape(len(rewards), -1).astype(np.float64)
    shape = base.obs[0].shape
    playing = ~np.array(base.ends)  # where it ended, the observation is the next episode's first
    for i in range(min(obs.shape[1], 1000)):
        column = obs[playing, i]
        index = tuple(int(n) for n in np.unravel_index(i, shape)) if shape else ()
        if column.std() == 0:
            continue
        if np.array_equal(column.astype(np.float32), rewards[playing].astype(np.float32)):
            return f"{name_of(index)} is the score of the step"
        if _follows(column, _running(rewards, base.ends)[playing]):
            return f"{name_of(index)} follows the running score"
    return ""


def _running(rewards: NDArray[np.float64], ends: list[bool]) -> NDArray[np.float64]:
    """The score of the episode so far, after each step."""
    total, totals = 0.0, np.empty(len(rewards))
    for i, (reward, ended) in enumerate(zip(rewards, ends, strict=True)):
        total += reward
        totals[i] = total
        total = 0.0 if ended else total
    return totals


def _follows(column: NDArray[np.float64], totals: NDArray[np.float64]) -> bool:
    if totals.std() == 0:
        return False
    return bool(abs(np.corrcoef(column, totals)[0, 1]) > 1 - 1e-9)
