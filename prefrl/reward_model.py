"""The reward model: an ensemble that turns what the agent saw and did into the learned reward.

Fitting lives in `fit`; this file is what is left when the fit is done: networks, the statistics that normalise their
input and output (both frozen between fits), and scoring, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from prefrl.config import RewardModelConfig
from prefrl.networks import EnsembleCNN, EnsembleMLP

_INPUT_CLIP = 10.0
"""Normalised inputs are kept within this many standard deviations, as Stable-Baselines3's VecNormalize does."""
_MIN_INPUT_STD = 1e-2
"""An input that hardly varies among the labeled clips must not explode when it later does."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the networks read: facts of the spaces."""

    obs_shape: tuple[int, ...]
    n_actions: int | None
    """Number of discrete actions; None where actions are vectors."""
    action_size: int
    """Length of an action as the network reads it (one-hot where discrete)."""
    is_image: bool
    n_stack: int

    @classmethod
    def of(cls, obs_space: spaces.Box, action_space: spaces.Space[Any], n_stack: int) -> Inputs:
        """Read them off a world's spaces."""
        is_image = obs_space.dtype == np.uint8 and len(obs_space.shape) == 3
        if isinstance(action_space, spaces.Discrete):
            n_actions, size = int(action_space.n), int(action_space.n)
        else:
            n_actions, size = None, int(np.prod(action_space.shape or ()))
        return cls(obs_space.shape, n_actions, size, is_image, n_stack)


class RewardModel(nn.Module):
    """K reward networks in one batched pass, each normalised on its own, then averaged.

    The network on frames reads no action (Ibarz et al. 2018, appendix A.3: no gain); the one on vectors reads both.

    Args:
        inputs: What the networks read.
        config: Sizes.
        seed: Of the initial weights.
    """

    input_mean: Tensor
    input_std: Tensor
    reward_mean: Tensor
    reward_std: Tensor

    def __init__(self, inputs: Inputs, config: RewardModelConfig, seed: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.members = config.members
        self.target_std = config.reward_std
        generator = torch.Generator().manual_seed(seed)
        n_in = int(np.prod(inputs.obs_shape)) + inputs.action_size
        self.net: EnsembleMLP | EnsembleCNN
        if inputs.is_image:
            c, h, w = inputs.obs_shape
            self.net = EnsembleCNN(config.members, (c, h, w), config.dropout, config.pool_pixels, generator)
            n_in = 1
        else:
            self.net = EnsembleMLP(config.members, n_in, config.hidden, generator)
        self.register_buffer("input_mean", torch.zeros(n_in))
        self.register_buffer("input_std", torch.ones(n_in))
        self.register_buffer("reward_mean", torch.zeros(config.members))
        self.register_buffer("reward_std", torch.ones(config.members))

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.reward_mean.device

    @property
    def chunk_steps(self) -> int:
        """Steps that may be computed at once where there are many: their observations take 64 MiB."""
        return max(1, 2**24 // int(np.prod(self.inputs.obs_shape)))

    def forward(self, obs: Tensor, actions: Tensor) -> Tensor:
        """Rewards as the networks give them; obs (..., T, *O), actions (..., T, *A) -> (K, ..., T)."""
        rewards: Tensor = self.net(self._net_inputs(obs, actions))
        return rewards.reshape(self.members, *self._lead_shape(actions))

    def normalized(self, rewards: Tensor) -> Tensor:
        """Each member to mean 0 and the wanted standard deviation over the labeled clips; (K, ...) -> (K, ...)."""
        shape = (-1,) + (1,) * (rewards.dim() - 1)
        centred = rewards - self.reward_mean.view(shape)
        return centred / self.reward_std.view(shape) * self.target_std

    @torch.no_grad()
    def member_rewards(self, obs: NDArray[Any], actions: NDArray[Any]) -> NDArray[np.float32]:
        """Normalised rewards of every member; obs (M, T, *O), actions (M, T, *A) -> (K, M, T). Changes nothing.

        Observations may come as planes (M, T + n_stack - 1, H, W), as the pool keeps them.
        """
        self.eval()
        parts = [self.normalized(self(o, a)).cpu().numpy() for o, a in self._chunks(obs, actions)]
        return np.concatenate(parts, axis=1)

    def rewards(self, obs: NDArray[Any], actions: NDArray[Any]) -> NDArray[np.float32]:
        """The learned reward of clips: (M, T, ...) -> (M, T). Changes nothing."""
        mean: NDArray[np.float32] = self.member_rewards(obs, actions).mean(axis=0)
        return mean

    @torch.no_grad()
    def preference_logits(self, obs: NDArray[Any], actions: NDArray[Any]) -> NDArray[np.float32]:
        """Every member's log-odds that the left clip wins; obs (M, 2, T, *O) or planes -> (K, M). Changes nothing."""
        n_pairs = len(actions)
        rewards = self.member_rewards(obs.reshape(-1, *obs.shape[2:]), actions.reshape(-1, *actions.shape[2:]))
        returns = rewards.sum(axis=-1).reshape(self.members, n_pairs, 2)
        # Undo the normalisation, which the fit knows nothing of; its offset cancels between equal clips.
        scale = (self.reward_std / self.target_std).cpu().numpy()[:, None]
        logits: NDArray[np.float32] = (returns[..., 0] - returns[..., 1]) * scale
        return logits

    @torch.no_grad()
    def features(self, obs: NDArray[Any], actions: NDArray[Any]) -> NDArray[np.float32]:
        """What the members see in pairs; obs (M, 2, T, *O) or planes, actions (M, 2, T, *A) -> (M, F). Changes nothing.

        The units of the last hidden layer of all members, averaged over a clip's steps; of the two clips then the mean
        and the absolute difference. So pairs are near where members see the same in them, whichever clip is left, and
        F is 2 x members x units.
        """
        self.eval()
        parts = []
        for o, a in self._chunks(obs.reshape(-1, *obs.shape[2:]), actions.reshape(-1, *actions.shape[2:])):
            x = self._net_inputs(o, a)
            units = self.net.units(x)  # (K, clips * T, units); without K where no layer is hidden
            units = units.reshape(-1, *a.shape[:2], units.shape[-1]).mean(dim=2)  # (K, clips, units)
            parts.append(units.transpose(0, 1).flatten(start_dim=1).cpu().numpy())
        left, right = np.concatenate(parts)[0::2], np.concatenate(parts)[1::2]
        return np.concatenate([(left + right) / 2, np.abs(left - right)], axis=1)

    @torch.no_grad()
    def freeze_input_statistics(self, obs: Tensor, actions: Tensor) -> None:
        """Normalise vectors by their mean and deviation in these, (..., T, *O) and (..., T, *A); frames stay."""
        if self.inputs.is_image:
            return
        x = self.vectors(obs, actions)
        n_obs = x.shape[1] - self.inputs.action_size
        if self.inputs.n_actions is not None:  # one-hot actions are at scale, and may be rare
            x = x[:, :n_obs]
        self.input_mean[: x.shape[1]] = x.mean(0)
        self.input_std[: x.shape[1]] = x.std(0).clamp(min=_MIN_INPUT_STD)

    def vectors(self, obs: Tensor, actions: Tensor) -> Tensor:
        """What the network on vectors reads, before normalisation: (..., T, *O), (..., T, *A) -> (N, n_in)."""
        n_obs = int(np.prod(self.inputs.obs_shape))
        if self.inputs.n_actions is not None:
            acted = nn.functional.one_hot(actions.long(), self.inputs.n_actions).float()
        else:
            acted = actions.float()
        return torch.cat([obs.reshape(-1, n_obs).float(), acted.reshape(-1, self.inputs.action_size)], dim=1)

    def _net_inputs(self, obs: Tensor, actions: Tensor) -> Tensor:
        """What the networks read, normalised: (..., T, *O), (..., T, *A) -> (N, n_in) or (N, C, H, W)."""
        if self.inputs.is_image:
            return obs.reshape(-1, *self.inputs.obs_shape).float() / 255.0
        x = (self.vectors(obs, actions) - self.input_mean) / self.input_std
        # Behaviour later leaves what was labeled; a network is not asked far outside it.
        return x.clamp(-_INPUT_CLIP, _INPUT_CLIP)

    def _chunks(self, obs: NDArray[Any], actions: NDArray[Any]) -> Iterator[tuple[Tensor, Tensor]]:
        """Clips (M, T, ...) or planes, as many at a time as may be computed at once."""
        n_clips = max(1, min(4096, self.chunk_steps) // actions.shape[1])
        for i in range(0, len(actions), n_clips):
            o = self.unfold(torch.as_tensor(obs[i : i + n_clips], device=self.device))
            yield o, torch.as_tensor(actions[i : i + n_clips], device=self.device)

    def _lead_shape(self, actions: Tensor) -> torch.Size:
        n_dims = 0 if self.inputs.n_actions is not None else 1
        return actions.shape[: actions.dim() - n_dims]

    def unfold(self, obs: Tensor) -> Tensor:
        """Planes (..., T + S - 1, H, W) to stacks (..., T, S, H, W); observations that are whole already pass."""
        if self.inputs.n_stack == 1 or (obs.shape[-3:] == self.inputs.obs_shape and obs.dim() >= 5):
            return obs
        return obs.unfold(-3, self.inputs.n_stack, 1).movedim(-1, -3)
