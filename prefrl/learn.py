"""Stock PPO, trained on the learned reward through public seams only.

The recorder gives PPO a reward of 0. When a rollout is full, Stable-Baselines3 asks its rollout buffer for returns and
advantages; ours first asks for the learned reward of the whole rollout and adds it to what is there. What is there is
exactly the value that PPO has put in for episodes cut by their time limit, so bootstrapping stays right.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from prefrl.config import PPOConfig
from prefrl.finite import check_rewards
from prefrl.return_scale import ReturnScale

ScoreRollout = Callable[[int], NDArray[np.float32] | None]
"""Gives the learned reward (n_steps, n_envs) of the newest n_steps of every environment; None while there is none."""


class LearnedRewardBuffer(RolloutBuffer):
    """A rollout buffer that has its rewards filled in when the rollout is complete."""

    def __init__(
        self, *args: Any, score_rollout: ScoreRollout, return_scale: ReturnScale | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.score_rollout = score_rollout
        self.return_scale = return_scale

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: NDArray[Any]) -> None:
        """Score the rollout in one go, then compute returns as ever.

        Without a reward the advantages are exactly 0: PPO, which scales advantages to a deviation of 1, would else make
        a gradient of the noise in its own values.
        """
        rewards = self.score_rollout(self.buffer_size)
        if rewards is None:
            self.advantages[:] = 0.0
            self.returns[:] = self.values
            return
        check_rewards(rewards)
        if self.return_scale is not None:
            rewards = self.return_scale.scaled(rewards, self.episode_starts)
        self.rewards += rewards
        super().compute_returns_and_advantage(last_values, dones)


class RolloutHooks(BaseCallback):
    """Calls `before` when PPO is about to collect a rollout, its parameters at rest, and `after` before it learns."""

    def __init__(self, before: Callable[[], None], after: Callable[[], None]) -> None:
        super().__init__()
        self._before = before
        self._after = after

    def _on_rollout_start(self) -> None:
        self._before()

    def _on_rollout_end(self) -> None:
        self._after()

    def _on_step(self) -> bool:
        return True


def make_ppo(
    venv: VecEnv,
    config: PPOConfig,
    *,
    seed: int,
    device: str,
    normalize_reward: bool,
    score_rollout: ScoreRollout | None,
) -> PPO:
    """PPO on `venv`, with observations normalised where they are vectors.

    Args:
        venv: The recorder, or the guarded world itself to train on the env reward.
        config: PPO's settings.
        seed: Of weights and of the actions drawn.
        device: Where the policy is computed.
        normalize_reward: Scale the reward, be it learned or the env's, by a running standard deviation of its return.
        score_rollout: Where the learned reward comes from; None trains on the reward that `venv` gives.
    """
    is_image = is_image_space(venv.observation_space)
    normalize_obs = config.normalize_obs and not is_image
    normalize_venv = normalize_reward and score_rollout is None
    if normalize_obs or normalize_venv:
        venv = VecNormalize(venv, norm_obs=normalize_obs, norm_reward=normalize_venv, gamma=config.gamma)
    buffer: dict[str, Any] = {}
    if score_rollout is not None:
        buffer["rollout_buffer_class"] = LearnedRewardBuffer
        scale = ReturnScale(venv.num_envs, config.gamma) if normalize_reward else None
        buffer["rollout_buffer_kwargs"] = {"score_rollout": score_rollout, "return_scale": scale}
    return PPO(
        "CnnPolicy" if is_image else "MlpPolicy",
        venv,
        seed=seed,
        device=device if is_image else "cpu",
        **_settings(config),
        **buffer,
    )


def is_image_space(space: spaces.Space[Any]) -> bool:
    """Whether observations are frames, for a convolutional network."""
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3


def plain_ppo(
    obs_space: spaces.Space[Any], action_space: spaces.Space[Any], config: PPOConfig, n_envs: int, device: str
) -> PPO:
    """PPO with nothing of ours in it, for a world of these spaces; its weights are yet to be set."""
    return PPO(
        "CnnPolicy" if is_image_space(obs_space) else "MlpPolicy",
        DummyVecEnv([lambda: _Spaces(obs_space, action_space)] * n_envs),
        device=device if is_image_space(obs_space) else "cpu",
        **_settings(config),
    )


def export_policy(agent: PPO, config: PPOConfig, path: Path) -> None:
    """Write the policy as a plain Stable-Baselines3 zip that takes the world's own observations.

    Observation normalisation is folded into the first layers, x -> W (x - mean) / std + b, so that no second file and
    no class of ours is needed: `PPO.load(path)` works without prefrl. (The clipping of normalised observations at 10
    standard deviations, there to protect training, is not part of the policy.)
    """
    plain = plain_ppo(agent.observation_space, agent.action_space, config, agent.n_envs, "cpu")
    state = {k: v.detach().cpu().clone() for k, v in agent.policy.state_dict().items()}
    normalizer = obs_normalizer(agent)
    if normalizer is not None:
        mean, std = (torch.as_tensor(x, dtype=torch.float64).reshape(-1) for x in normalizer)
        for layer in ("mlp_extractor.policy_net.0", "mlp_extractor.value_net.0"):
            weight = state[f"{layer}.weight"].double() / std
            state[f"{layer}.bias"] = (state[f"{layer}.bias"].double() - weight @ mean).float()
            state[f"{layer}.weight"] = weight.float()
    plain.policy.load_state_dict(state)
    plain.num_timesteps = agent.num_timesteps
    beside = path.with_name(f".tmp-{path.name}")
    plain.save(beside)
    beside.replace(path)


def obs_normalizer(agent: PPO) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Mean and standard deviation by which observations are normalised; None where they aren't."""
    normalizer = agent.get_vec_normalize_env()
    if normalizer is None or not normalizer.norm_obs:
        return None
    rms = normalizer.obs_rms
    assert not isinstance(rms, dict)
    return rms.mean, np.sqrt(rms.var + normalizer.epsilon)


def _settings(config: PPOConfig) -> dict[str, Any]:
    """PPO's keyword arguments; nothing in them is ours, so that a saved policy needs no class of ours."""
    rate, clip = config.learning_rate, config.clip_range
    return {
        "n_steps": config.n_steps,
        "batch_size": config.batch_size,
        "n_epochs": config.n_epochs,
        "learning_rate": LinearSchedule(rate, 0.0, 1.0) if config.linear_decay else rate,
        "gamma": config.gamma,
        "gae_lambda": config.gae_lambda,
        "clip_range": LinearSchedule(clip, 0.0, 1.0) if config.linear_decay else clip,
        "ent_coef": config.ent_coef,
        "vf_coef": config.vf_coef,
        "max_grad_norm": config.max_grad_norm,
    }


class _Spaces(gym.Env[Any, Any]):
    """The spaces of a world and nothing else: what a policy is built from."""

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space = obs_space
        self.action_space = action_space
