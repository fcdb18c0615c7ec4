"""The Bradley-Terry model of answers: pure, batched mathematics on tensors, knowing no networks and no files."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def preference_logits(rewards: Tensor) -> Tensor:
    """Log-odds that the left clip is preferred; rewards (..., B, 2, T) -> (..., B).

    The undiscounted sum of rewards decides: Christiano et al. 2017, section 2.2.3, equation 1.
    """
    returns = rewards.sum(dim=-1)  # (..., B, 2)
    return returns[..., 0] - returns[..., 1]


def preference_loss(logits: Tensor, prob_left: Tensor, error_rate: float) -> Tensor:
    """Cross-entropy of each answer; logits (..., B), prob_left (B,) -> (..., B).

    With probability `error_rate` the answer is taken to be uniformly random, so that the model's probability is
    (1 - e) * sigmoid(logit) + e / 2: Christiano et al. 2017, section 2.2.3; Ibarz et al. 2018, appendix A.3. Computed
    in logarithms, so that no logit overflows or loses its gradient to rounding.
    """
    log_left = _log_floored_sigmoid(logits, error_rate)
    log_right = _log_floored_sigmoid(-logits, error_rate)
    return -(prob_left * log_left + (1.0 - prob_left) * log_right)


def label_entropy(prob_left: Tensor) -> Tensor:
    """Mean entropy of the answers themselves, (B,) -> (): no model's loss can be below it.

    A tie costs log 2 however good the model: Ibarz et al. 2018, appendix C.
    """
    return (-(torch.xlogy(prob_left, prob_left) + torch.xlogy(1 - prob_left, 1 - prob_left))).mean()


def decisive_accuracy(logits: Tensor, prob_left: Tensor) -> Tensor:
    """Which decisive answers are predicted; logits (..., B), prob_left (B,) -> (..., B) of 0, 1, or nan for ties."""
    right = ((logits > 0) == (prob_left > 0.5)).to(logits.dtype)
    right = torch.where(logits == 0, torch.full_like(right, 0.5), right)
    return torch.where(prob_left == 0.5, torch.full_like(right, math.nan), right)


def _log_floored_sigmoid(logits: Tensor, error_rate: float) -> Tensor:
    if error_rate == 0.0:
        return functional.logsigmoid(logits)
    floor = torch.full_like(logits, math.log(error_rate / 2))
    return torch.logaddexp(math.log1p(-error_rate) + functional.logsigmoid(logits), floor)
