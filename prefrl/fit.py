"""Fitting the ensemble to the labels, all members in one batched pass over the same minibatches.

Every member has its own bootstrap: a label weighs Poisson(1) for it, drawn from the label's id, so that the split never
changes however often the model is refitted. A weight of 0 (probability 1/e) leaves the label out of the member's
training and makes it one of its validation labels: Christiano et al. 2017, section 2.2.3.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labeling.failpoints import failpoint
from prefrl.config import RewardModelConfig
from prefrl.fit_data import Answered, LabelTensors, Unlabeled
from prefrl.fit_health import LEAST_STD, Health, agreement_of
from prefrl.fit_step import FitStep
from prefrl.loss import decisive_accuracy, label_entropy, preference_logits, preference_loss
from prefrl.networks import EnsembleCNN
from prefrl.reward_model import RewardModel


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit came to; losses and accuracies are means over members, nan where nothing was there to measure."""

    loss: float
    val_loss: float
    accuracy: float
    """Share of decisive training labels predicted."""
    val_accuracy: float
    """The same on the labels a member never saw."""
    label_entropy: float
    """No loss can be below it."""
    l2: float
    epochs: int
    n_labels: int
    sickness: str = ""
    """Why the model could not be learned from and was taken back, in words; empty where it was kept."""
    doubt: str = ""
    """What a person should know of it, in words."""


class Fitter:
    """Keeps what lasts from one fit to the next: each member's L2 coefficient and the order of minibatches.

    Args:
        model: The ensemble; fitted in place.
        config: Its settings.
        seed: Of the bootstrap and of the minibatches.
    """

    def __init__(self, model: RewardModel, config: RewardModelConfig, seed: int) -> None:
        self.model = model
        self.config = config
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)
        self.l2 = torch.full((config.members,), config.l2, device=model.device)
        self.n_fits = 0
        self._step = FitStep(model, config)
        # As they come from the seed: also in a run that is resumed, which puts other weights in later.
        self._initial = [p.detach().clone() for p in model.net.parameters()]

    def fit(self, answered: Answered, unlabeled: Unlabeled | None = None) -> FitReport:
        """Fit to these labels, from the weights that are there; then freeze the output statistics anew.

        Unlabeled pairs of which the ensemble is sure, as it is now, join the labels: Park et al. 2022 (SURF). A model
        that came out sick (see `fit_health`) is taken back: the one before the fit stays, and `n_fits` does not rise.
        """
        failpoint("reward.fit")
        before = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        l2 = self.l2
        report = self._fit(answered, unlabeled)
        if report.sickness:
            self.model.load_state_dict(before)
            self.l2 = l2
        else:
            self.n_fits += 1
        return report

    def _fit(self, answered: Answered, unlabeled: Unlabeled | None) -> FitReport:
        config, model = self.config, self.model
        n_labels = len(answered.label_ids)
        labels = LabelTensors.of(answered, self._bootstrap(answered.label_ids), model)
        data = labels if unlabeled is None else labels.joined_by(*self._sure_of(unlabeled))
        model.freeze_input_statistics(labels.obs, labels.actions)
        self._begin()
        best = _Best(model)
        optimizer = torch.optim.Adam(model.net.parameters(), lr=config.learning_rate)
        epoch, budget = 0, config.max_batches or sys.maxsize
        n_epochs = config.epochs if self.n_fits and config.warm_start else config.initial_epochs
        n_epochs = max(n_epochs, -(-config.min_batches // -(-n_labels // config.batch_size)))
        while epoch < n_epochs and budget > 0:
            n_batches = min(budget, -(-len(data) // config.batch_size))
            train, val = self._epoch(data, optimizer, n_batches)
            epoch, budget = epoch + 1, budget - n_batches
            self._adapt_l2(train, val, n_batches)
            # A member that no label was left out of has nothing to stop it early but its training loss.
            if best.update(torch.where(val.isnan(), train, val), config.patience):
                break
        best.restore()
        return self._finish(labels, epoch, n_labels)

    def _sure_of(self, unlabeled: Unlabeled) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the unlabeled pairs those that the ensemble is sure of: obs, actions, prob_left (S,), weights (K, S)."""
        to = self.model.device
        logits = torch.as_tensor(self.model.preference_logits(unlabeled.obs, unlabeled.actions), device=to)
        probs = torch.sigmoid(logits).mean(0)  # (U,)
        sure = torch.maximum(probs, 1 - probs) >= self.config.pseudo_confidence
        weights = torch.full((self.config.members, int(sure.sum())), self.config.pseudo_weight, device=to)
        obs, actions = (torch.as_tensor(x, device=to)[sure] for x in (unlabeled.obs, unlabeled.actions))
        return obs, actions, (probs[sure] > 0.5).float(), weights

    def _begin(self) -> None:
        """Go on from the weights of the last fit, from those that there were before the first, or between the two.

        Fits that each go on from the one before add up to many passes over the oldest labels, a teacher's mistakes
        among them, however soon each stops: Ash and Adams 2020 (section 4) shrink the weights and add fresh noise, here
        the network's initial weights.
        """
        kept = self.config.shrink if self.config.warm_start else 0.0
        if kept == 1.0 or not self.n_fits:
            return
        with torch.no_grad():
            for param, initial in zip(self.model.net.parameters(), self._initial, strict=True):
                param.mul_(kept).add_(initial, alpha=1.0 - kept)

    def _epoch(self, data: LabelTensors, optimizer: torch.optim.Optimizer, n_batches: int) -> tuple[Tensor, Tensor]:
        """One pass, or its first minibatches: mean training and validation loss of each member, both (K,).

        The validation loss, nan for a member that no label was left out of, costs nothing: a minibatch is computed for
        every member, and those that are not to be trained on a label have their loss on it before any gradient.
        """
        self.model.train()
        sums = torch.zeros(4, self.model.members, device=self.model.device)
        order = torch.randperm(len(data), generator=self.generator)
        for batch in torch.split(order.to(self.model.device), self.config.batch_size)[:n_batches]:
            sums += self._step.take(data, batch, optimizer, self.l2)
        return sums[0] / sums[1].clamp(min=1.0), sums[2] / sums[3]

    def _adapt_l2(self, train: Tensor, val: Tensor, n_batches: int) -> None:
        """Keep the mean validation loss within 1.1 to 1.5 times the mean training loss (DRLHP, section 2.2.3)."""
        change = (1.0 + self.config.l2_rate) ** n_batches
        ratio = val / train.clamp(min=1e-8)  # nan where nothing was left out: neither comparison holds
        self.l2 = torch.where(ratio > self.config.l2_high, self.l2 * change, self.l2)
        self.l2 = torch.where(ratio < self.config.l2_low, self.l2 / change, self.l2)

    def _bootstrap(self, label_ids: list[str]) -> NDArray[np.float32]:
        """How often each label is drawn for each member, (K, B)."""
        members = self.config.members
        if not self.config.bootstrap:
            return np.ones((members, len(label_ids)), np.float32)
        draws = [_poisson_of(label_id, self.seed, members) for label_id in label_ids]
        return np.stack(draws, axis=1).astype(np.float32)

    @torch.no_grad()
    def _finish(self, data: LabelTensors, epochs: int, n_labels: int) -> FitReport:
        model = self.model.eval()
        data = data.newest(self.config.max_batches * self.config.batch_size)
        n_steps = int(np.prod(data.actions.shape[1:3]))
        parts = torch.split(
            torch.arange(len(data), device=model.device), max(1, min(256, model.chunk_steps // n_steps))
        )
        if isinstance(model.net, EnsembleCNN):
            with model.net.measuring():
                for part in parts:
                    data.rewards(model, part)
        rewards = torch.cat([data.rewards(model, part) for part in parts], dim=1)  # (K, B, 2, T)
        flat = rewards.reshape(model.members, -1)
        stds = flat.std(1)
        model.reward_mean.copy_(flat.mean(1))
        model.reward_std.copy_(stds.clamp(min=LEAST_STD))
        logits = preference_logits(rewards)
        losses = preference_loss(logits, data.prob_left, self.config.error_rate)
        right = decisive_accuracy(logits, data.prob_left)
        trained, left_out = data.weights > 0, data.weights == 0
        health = Health(
            val_loss=_mean(losses, left_out),
            val_accuracy=_mean(right, left_out),
            n_held_out=int((left_out & ~right.isnan()).any(0).sum()),
            least_std=float(stds.min()),
            agreement=agreement_of(rewards),
            is_finite=all(bool(t.isfinite().all()) for t in (*model.state_dict().values(), rewards, losses)),
        )
        return FitReport(
            loss=_mean(losses, trained),
            val_loss=health.val_loss,
            accuracy=_mean(right, trained),
            val_accuracy=health.val_accuracy,
            label_entropy=float(label_entropy(data.prob_left)),
            l2=float(self.l2.mean()),
            epochs=epochs,
            n_labels=n_labels,
            sickness=health.sickness(),
            doubt=health.doubt(),
        )


class _Best:
    """Every member's best weights so far, and whether all members have stopped getting better."""

    def __init__(self, model: RewardModel) -> None:
        self._params = [p for p in model.net.parameters()]
        self._members = model.members
        self._kept = [p.detach().clone() for p in self._params]
        self._loss = torch.full((model.members,), torch.inf, device=model.device)
        self._since = torch.zeros(model.members, dtype=torch.long, device=model.device)

    @torch.no_grad()
    def update(self, losses: Tensor, patience: int) -> bool:
        """Keep the weights of the members whose loss (K,) fell; True when none has for `patience` passes."""
        better = losses < self._loss
        self._loss = torch.where(better, losses, self._loss)
        self._since = torch.where(better, torch.zeros_like(self._since), self._since + 1)
        for kept, param in zip(self._kept, self._params, strict=True):
            mine = better.view(-1, *([1] * (param.dim() - 1)))
            mine = mine.repeat_interleave(param.shape[0] // self._members, dim=0)
            torch.where(mine, param, kept, out=kept)
        return bool((self._since >= patience).all())

    @torch.no_grad()
    def restore(self) -> None:
        """Put the kept weights back."""
        for kept, param in zip(self._kept, self._params, strict=True):
            param.copy_(kept)


def _poisson_of(label_id: str, seed: int, members: int) -> NDArray[np.int64]:
    """Poisson(1) draws that depend on nothing but the label's id and the seed; (K,)."""
    digest = hashlib.sha256(label_id.encode()).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
    return rng.poisson(1.0, size=members)


def _mean(values: Tensor, mask: Tensor) -> float:
    """Mean over the masked and measured values; nan where there is none."""
    mask = mask & ~values.isnan()
    return float(values[mask].mean()) if bool(mask.any()) else float("nan")
