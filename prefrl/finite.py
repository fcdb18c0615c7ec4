"""Numbers that are not finite stop a run before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prefrl.errors import LearnerFault

_HOW_ON = "nothing was saved with it; go on from the last checkpoint by --resume, or lower a learning rate"


def check_finite(tensors: Mapping[str, Tensor], when: str) -> None:
    """Look at weights and moments by name.

    Raises:
        LearnerFault: The first that is not finite.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise LearnerFault(f"expected finite numbers in {name} {when}, got some that are not; {_HOW_ON}")


def check_rewards(rewards: NDArray[np.float32]) -> None:
    """Look at a rollout's learned reward, (n_steps, N).

    Raises:
        LearnerFault: It is not finite.
    """
    if not np.isfinite(rewards).all():
        step, env = (int(i[0]) for i in np.nonzero(~np.isfinite(rewards)))
        raise LearnerFault(
            f"expected a finite learned reward, got {rewards[step, env]} for environment {env} at step {step} of the "
            f"rollout; the policy has not seen it, {_HOW_ON}"
        )
