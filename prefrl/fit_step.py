"""One gradient step of the ensemble on a minibatch of labels; in parts, where the whole does not fit the GPU."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from prefrl.config import RewardModelConfig
from prefrl.errors import LearnerFault
from prefrl.fit_data import LabelTensors
from prefrl.loss import preference_logits, preference_loss
from prefrl.reward_model import RewardModel


class FitStep:
    """Takes gradient steps, and remembers how many labels fit in memory at once.

    Args:
        model: The ensemble.
        config: Its settings.
    """

    def __init__(self, model: RewardModel, config: RewardModelConfig) -> None:
        self.model = model
        self.config = config
        self.labels_at_once = config.batch_size

    def take(self, data: LabelTensors, batch: Tensor, optimizer: torch.optim.Optimizer, l2: Tensor) -> Tensor:
        """Step on the labels with these indices, (b,); what was lost, each (K,), stacked to (4, K).

        That is: the summed loss on the labels a member is trained on, their weights, the summed loss on those that it
        is not trained on, and their number. Where memory runs out, the gradients of halves are added up, and the step
        is the same but for rounding (for networks on frames also but for their normalisation, each part's own).

        Raises:
            LearnerFault: Not even one label fits.
        """
        while True:
            optimizer.zero_grad(set_to_none=True)
            try:
                sums = self._add_gradients(data, batch, l2)
            except torch.OutOfMemoryError as e:
                self._halve(len(batch), e)
                continue
            optimizer.step()
            return sums

    def _halve(self, n_labels: int, error: torch.OutOfMemoryError) -> None:
        tried = min(self.labels_at_once, n_labels)
        if tried < 2:
            raise LearnerFault(
                "expected GPU memory for one label of the reward model, got too little; train it by --device cpu, or "
                f"lower --clip-seconds ({str(error).splitlines()[0][:120] if str(error) else 'out of memory'})"
            ) from error
        self.labels_at_once = tried // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warnings.warn(
            f"the GPU's memory does not hold {tried} labels at once: the reward model is fitted to "
            f"{self.labels_at_once} at a time from now on, their gradients added up to the same steps",
            stacklevel=2,
        )

    def _add_gradients(self, data: LabelTensors, batch: Tensor, l2: Tensor) -> Tensor:
        n_labels = len(batch)
        total = data.weights[:, batch].sum(1)
        sums = torch.zeros(4, self.model.members, device=self.model.device)
        for first in range(0, n_labels, self.labels_at_once):
            # The penalty on the weights is the step's, and not each part's.
            own_l2 = l2 if first == 0 else torch.zeros_like(l2)
            sums += self._part(data, batch[first : first + self.labels_at_once], total, own_l2)
        return sums

    def _part(self, data: LabelTensors, batch: Tensor, total: Tensor, l2: Tensor) -> Tensor:
        """Add the gradients of a part of a step whose labels weigh `total` (K,)."""
        rewards = data.rewards(self.model, batch)  # (K, b, 2, T)
        losses = preference_loss(preference_logits(rewards), data.prob_left[batch], self.config.error_rate)
        weights = data.weights[:, batch]  # (K, b)
        trained = (losses * weights).sum(1)
        loss = trained / total.clamp(min=1.0) + l2 * self._squares()
        loss.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        left_out = (weights == 0).float()
        with torch.no_grad():
            return torch.stack([trained, weights.sum(1), (losses * left_out).sum(1), left_out.sum(1)])

    def _squares(self) -> Tensor:
        """Sum of squared weights of each member, biases left alone; (K,)."""
        members = self.model.members
        squares = [
            p.square().reshape(members, -1).sum(1)
            for name, p in self.model.net.named_parameters()
            if name.endswith("weight") and "norms" not in name
        ]
        return torch.stack(squares).sum(0)
