"""Whether a fit came to a reward model that can be learned from, told from numbers that the fit measures anyway.

The bounds are meant to be far from whatever a fit that works comes to, with few answers or bad ones too: a model that
is taken back changes how the run comes out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ENOUGH_LABELS = 50
"""Decisive labels that some member never saw; with fewer nothing is said of accuracy."""
LEAST_STD = 1e-6
"""A member whose reward varies less than this over the labeled clips says one number."""
WORST_LOSS = 1.4 * math.log(2)
"""Mean loss on labels never seen; who says "I can't tell" to each has log 2."""
BARELY = 0.55
"""Accuracy on labels never seen below which the answers can hardly be told from guesses."""


@dataclass(frozen=True, slots=True)
class Health:
    """What tells a sick reward model."""

    val_loss: float
    """Mean loss on labels a member never saw; nan where there are none."""
    val_accuracy: float
    """Share of them, the decisive ones, that are predicted; nan where there are none."""
    n_held_out: int
    """Different decisive labels that some member never saw."""
    least_std: float
    """Smallest standard deviation of a member's reward over the labeled clips."""
    agreement: float
    """Mean correlation of two members' returns of the labeled clips; nan for one member."""
    is_finite: bool
    """Whether weights, rewards and losses all are."""

    def sickness(self) -> str:
        """Why the model cannot be learned from, in words; empty where it can."""
        if not self.is_finite:
            return "its numbers are not finite"
        if self.least_std <= LEAST_STD:
            return "a member says one number for everything"
        if self.n_held_out < ENOUGH_LABELS:
            return ""
        if self.val_loss > WORST_LOSS:
            return f"its loss on answers it never saw is {self.val_loss:.2f}, where guessing has {math.log(2):.2f}"
        if self.val_accuracy < 0.5 - 1.0 / math.sqrt(self.n_held_out):  # two standard errors
            return f"it predicts {self.val_accuracy:.0%} of the answers it never saw, where guessing does 50%"
        if self.agreement <= 0.0:
            return f"its members agree on nothing (correlation {self.agreement:.2f})"
        return ""

    def doubt(self) -> str:
        """What a person should know of a model that is kept, in words; empty where there is nothing."""
        if self.n_held_out >= ENOUGH_LABELS and self.val_accuracy < BARELY:
            return (
                f"the reward model predicts {self.val_accuracy:.0%} of the answers it never saw: they can hardly be "
                "told from guesses"
            )
        return ""


def agreement_of(rewards: Tensor) -> float:
    """Mean correlation of two members' clip returns; rewards (K, B, 2, T)."""
    members = rewards.shape[0]
    if members < 2:
        return float("nan")
    correlations = torch.corrcoef(rewards.sum(-1).reshape(members, -1).double())
    apart = ~torch.eye(members, dtype=torch.bool, device=rewards.device)
    return float(correlations[apart].mean())
