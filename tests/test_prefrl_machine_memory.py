"""What the settings ask of this machine's memory is reckoned before anything is allocated."""

from dataclasses import replace

import numpy as np
import pytest

from prefrl import machine_memory
from prefrl.config import Config, RewardModelConfig
from prefrl.errors import UserError
from prefrl.machine_memory import check_labels_fit, check_model_fits, machine_bytes
from prefrl.pool import Layout
from prefrl.reward_model import Inputs

VECTORS = Layout((17,), np.float64, (6,), np.float32, None, np.uint8, 1)
HOPPER = Inputs((11,), None, 3, is_image=False, n_stack=1)
PONG = Inputs((4, 84, 84), 6, 6, is_image=True, n_stack=4)


def of(n_labels: int, labeler: str = "oracle") -> Config:
    return Config(env_id="HalfCheetah-v5", total_labels=n_labels, labeler=labeler)


def test_labels_whose_clips_would_take_more_memory_than_there_is_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_memory, "machine_bytes", lambda: float(2**30))
    each = 4 * 2 * 60 * (17 * 8 + 6 * 4 + 16) + 4096
    most = 2**30 // each
    check_labels_fit(of(most), VECTORS, 60)
    with pytest.raises(UserError, match=rf"into the 1 GiB of memory here, got {most + 1:,}.*; lower it to {most:,} or"):
        check_labels_fit(of(most + 1), VECTORS, 60)


def test_people_may_be_asked_for_as_many_labels_as_anybody_likes() -> None:
    for labeler in ("window", "web"):
        check_labels_fit(of(10**12, labeler), VECTORS, 60)
    with pytest.raises(UserError, match="--total-labels"):
        check_labels_fit(of(10**12), VECTORS, 60)


def test_an_ensemble_that_would_take_more_memory_than_there_is_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_memory, "machine_bytes", lambda: float(2**30))
    each = 16 * (15 * 64 + 65 * 64 + 65) + 4 * 4096 * (14 + 64 + 64 + 1)
    most = 2**30 // each
    check_model_fits(RewardModelConfig(members=most), HOPPER)
    with pytest.raises(UserError, match=rf"--reward-model.members {most + 1} of --reward-model.hidden 64 64"):
        check_model_fits(RewardModelConfig(members=most + 1), HOPPER)
    with pytest.raises(UserError, match=r"--reward-model.hidden 16384 16384"):
        check_model_fits(RewardModelConfig(hidden=(16_384, 16_384)), HOPPER)
    check_model_fits(RewardModelConfig(), PONG)
    with pytest.raises(UserError, match=r"--reward-model.members 100, which take"):
        check_model_fits(replace(RewardModelConfig(), members=100), PONG)


def test_the_memory_of_this_machine_is_known() -> None:
    assert 2**28 < machine_bytes() < 2**60
