"""What a fit is given: labels and the clips they are about, as arrays and on the model's device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prefrl.reward_model import RewardModel


@dataclass(frozen=True, slots=True)
class Answered:
    """B labels, oldest first, on Q queries."""

    obs: NDArray[Any]
    """(Q, 2, T, *O), or planes (Q, 2, T + n_stack - 1, H, W)."""
    actions: NDArray[Any]
    """(Q, 2, T, *A)."""
    rows: NDArray[np.int64]
    """Query that each label answers, (B,)."""
    prob_left: NDArray[np.float32]
    """(B,)."""
    label_ids: list[str]
    """What each label's bootstrap is drawn from."""


@dataclass(frozen=True, slots=True)
class Unlabeled:
    """U pairs of clips that nobody has answered."""

    obs: NDArray[Any]
    """(U, 2, T, *O), or planes."""
    actions: NDArray[Any]
    """(U, 2, T, *A)."""


@dataclass(frozen=True, slots=True)
class LabelTensors:
    """The labels on the model's device."""

    obs: Tensor
    """(Q, 2, T, *O), or planes."""
    actions: Tensor
    """(Q, 2, T, *A)."""
    rows: Tensor
    """(B,)."""
    prob_left: Tensor
    """(B,)."""
    weights: Tensor
    """How much each label counts for each member, (K, B); 0: it validates the member."""

    @classmethod
    def of(cls, answered: Answered, weights: NDArray[np.float32], model: RewardModel) -> LabelTensors:
        """Put them there."""
        to = model.device
        return cls(
            torch.as_tensor(answered.obs, device=to),
            torch.as_tensor(answered.actions, device=to),
            torch.as_tensor(answered.rows, device=to),
            torch.as_tensor(answered.prob_left, device=to),
            torch.as_tensor(weights, device=to),
        )

    def __len__(self) -> int:
        """B."""
        return len(self.prob_left)

    def joined_by(self, obs: Tensor, actions: Tensor, prob_left: Tensor, weights: Tensor) -> LabelTensors:
        """These labels, and pairs that count as labels."""
        rows = torch.arange(len(obs), device=obs.device) + len(self.obs)
        return LabelTensors(
            torch.cat([self.obs, obs]),
            torch.cat([self.actions, actions]),
            torch.cat([self.rows, rows]),
            torch.cat([self.prob_left, prob_left]),
            torch.cat([self.weights, weights], dim=1),
        )

    def newest(self, n: int) -> LabelTensors:
        """The newest `n` labels, or all if `n` is 0."""
        return LabelTensors(self.obs, self.actions, self.rows[-n:], self.prob_left[-n:], self.weights[:, -n:])

    def rewards(self, model: RewardModel, batch: Tensor) -> Tensor:
        """Of the labels with these indices, (K, b, 2, T)."""
        rows = self.rows[batch]
        rewards: Tensor = model(model.unfold(self.obs[rows]), self.actions[rows])
        return rewards
