"""Whether what the settings ask for fits into this machine's memory: said before the system ends the process."""

from __future__ import annotations

import math
import os
from itertools import pairwise

from prefrl.config import Config, RewardModelConfig
from prefrl.errors import UserError
from prefrl.families import PEOPLE
from prefrl.pool import Layout
from prefrl.reward_model import Inputs

_GIB = 2**30
_LABEL_BYTES = 4096
"""What a label and its two clips take beside their arrays, in Python and as rows on their way to the store."""
_WEIGHT_BYTES = 16
"""Of a weight, its gradient and the two moments that Adam keeps of it."""
_SCORED_STEPS = 4096
"""Most steps that the reward model is given at once."""


def machine_bytes() -> float:
    """Memory of this machine; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf


def check_labels_fit(config: Config, layout: Layout, clip_steps: int) -> None:
    """Make sure that the clips of all labels fit; people answer as many as they answer, and are asked a few at a time.

    Raises:
        UserError: They do not.
    """
    if config.labeler in PEOPLE:
        return
    pair_bytes = 2 * (clip_steps + layout.n_stack - 1) * layout.step_bytes
    # Cut out of the clip memory, put side by side, and kept in arrays of up to twice their size.
    needed = config.total_labels * (4 * pair_bytes + _LABEL_BYTES)
    there = machine_bytes()
    if needed > there:
        most = math.floor(config.total_labels * there / needed)
        raise UserError(
            f"expected --total-labels whose clips fit into the {there / _GIB:,.0f} GiB of memory here, got "
            f"{config.total_labels:,}, which take {needed / _GIB:,.0f} GiB; lower it to {most:,} or less"
        )


def check_model_fits(config: RewardModelConfig, inputs: Inputs) -> None:
    """Make sure that the ensemble fits: its weights as a fit needs them, and its units on what it is given at once.

    Raises:
        UserError: It does not.
    """
    weights, units = _size_on_frames(config, inputs) if inputs.is_image else _size_on_vectors(config, inputs)
    steps = min(_SCORED_STEPS, max(1, 2**24 // math.prod(inputs.obs_shape)))
    needed, there = config.members * (_WEIGHT_BYTES * weights + 4 * steps * units), machine_bytes()
    if needed > there:
        hidden = "" if inputs.is_image else f" of --reward-model.hidden {' '.join(map(str, config.hidden))}"
        raise UserError(
            f"expected a reward model that fits into the {there / _GIB:,.0f} GiB of memory here, got "
            f"--reward-model.members {config.members:,}{hidden}, which take {needed / _GIB:,.0f} GiB; lower them"
        )


def _size_on_vectors(config: RewardModelConfig, inputs: Inputs) -> tuple[int, int]:
    """Weights and units of one member."""
    sizes = [math.prod(inputs.obs_shape) + inputs.action_size, *config.hidden, 1]
    return sum((a + 1) * b for a, b in pairwise(sizes)), sum(sizes)


def _size_on_frames(config: RewardModelConfig, inputs: Inputs) -> tuple[int, int]:
    """Weights and units of one member, most of them of its last and its first layer."""
    _, height, width = inputs.obs_shape
    pixels = (height // config.pool_pixels) * (width // config.pool_pixels)
    return 64 * 16 * pixels // 36, 16 * pixels // 9
