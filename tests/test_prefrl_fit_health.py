"""A reward model that cannot be learned from is taken back; a fit that does not fit the GPU is done in parts."""

import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stable_baselines3 import PPO
from test_prefrl_fit import fitter, linear_answers
from torch import Tensor

import prefrl
from labeling.store import Store
from prefrl.checkpoint import load_newest
from prefrl.errors import LearnerFault
from prefrl.finite import check_finite, check_rewards
from prefrl.fit import Fitter
from prefrl.fit_data import LabelTensors
from prefrl.fit_health import Health, agreement_of

ROOT = Path(__file__).parent.parent
WELL = Health(
    val_loss=0.6, val_accuracy=0.7, n_held_out=60, least_std=0.1, agreement=0.5, is_finite=True
)  # what a fit to few noisy answers comes to


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"n_held_out": 3, "val_loss": 9.0, "val_accuracy": 0.0, "agreement": -1.0}, ""),  # too few to tell
        ({"val_loss": math.nan, "val_accuracy": math.nan, "n_held_out": 0, "agreement": math.nan}, ""),
        ({"val_loss": 0.9}, ""),
        ({"val_accuracy": 0.45}, ""),
        ({"val_loss": 1.0}, "its loss on answers it never saw is 1.00, where guessing has 0.69"),
        ({"val_accuracy": 0.3}, "it predicts 30% of the answers it never saw"),
        ({"agreement": -0.01}, "its members agree on nothing"),
        ({"least_std": 1e-7, "n_held_out": 0}, "a member says one number for everything"),
        ({"is_finite": False, "n_held_out": 0}, "its numbers are not finite"),
    ],
)
def test_what_is_sick(changes: dict[str, Any], words: str) -> None:
    assert replace(WELL, **changes).sickness().startswith(words)
    assert bool(replace(WELL, **changes).sickness()) == bool(words)


def test_agreement_is_the_mean_correlation_of_clip_returns() -> None:
    one = torch.randn(1, 40, 2, 5, generator=torch.Generator().manual_seed(0))
    assert agreement_of(torch.cat([one, 2 * one + 1])) == pytest.approx(1.0)
    assert agreement_of(torch.cat([one, -one])) == pytest.approx(-1.0)
    assert agreement_of(torch.cat([one, one, -one])) == pytest.approx(-1 / 3)
    assert math.isnan(agreement_of(one))


def test_a_learning_rate_a_hundred_times_too_high_is_found_out_in_the_first_fit_and_the_last_good_model_stays() -> None:
    fit = fitter(learning_rate=1e-3)
    good = fit.fit(linear_answers(200))
    assert (good.sickness, good.doubt, fit.n_fits) == ("", "", 1)
    kept = {name: tensor.clone() for name, tensor in fit.model.state_dict().items()}
    l2 = fit.l2.clone()
    fit.config = replace(fit.config, learning_rate=100.0, epochs=3)
    bad = fit.fit(linear_answers(200))
    assert bad.sickness
    assert fit.n_fits == 1
    assert torch.equal(fit.l2, l2)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in fit.model.state_dict().items())
    fit.config = replace(fit.config, learning_rate=1e-3)
    assert fit.fit(linear_answers(200)).val_accuracy > 0.9  # and it goes on from there
    assert fit.n_fits == 2


def test_answers_half_of_which_are_flipped_are_doubted_in_the_first_fit() -> None:
    report = fitter().fit(linear_answers(300, flip=0.5))
    assert report.sickness or "they can hardly be told from guesses" in report.doubt
    assert not fitter().fit(linear_answers(300, flip=0.2)).doubt


def test_a_fit_that_comes_to_no_number_is_taken_back() -> None:
    fit = fitter()
    before = {name: tensor.clone() for name, tensor in fit.model.state_dict().items()}
    answered = linear_answers(60)
    report = fit.fit(replace(answered, prob_left=np.full(60, np.nan, np.float32)))
    assert report.sickness == "its numbers are not finite"
    assert fit.n_fits == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in fit.model.state_dict().items())


# --- out of memory ---


class Small(LabelTensors):
    """Labels of which no more than 16 fit in memory at once."""

    def rewards(self, model: Any, batch: Tensor) -> Tensor:
        """As they are, or `torch.OutOfMemoryError`, the error that CUDA raises."""
        if len(batch) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().rewards(model, batch)


def one_step(kind: type[LabelTensors]) -> tuple[Tensor, list[Tensor], Fitter]:
    """What is lost in a step on 64 labels, and the gradients of it."""
    fit = fitter(batch_size=64)
    answered = linear_answers(64)
    data = LabelTensors.of(answered, fit._bootstrap(answered.label_ids), fit.model)
    data = kind(data.obs, data.actions, data.rows, data.prob_left, data.weights)
    fit.model.freeze_input_statistics(data.obs, data.actions)
    optimizer = torch.optim.SGD(fit.model.net.parameters(), lr=0.0)
    sums = fit._step.take(data, torch.randperm(64, generator=fit.generator), optimizer, fit.l2)
    return sums, [p.grad for p in fit.model.net.parameters() if p.grad is not None], fit


def test_a_step_in_parts_is_the_same_step() -> None:
    whole, gradients, _ = one_step(LabelTensors)
    with pytest.warns(UserWarning, match="does not hold") as said:
        parts, added, fit = one_step(Small)
    assert [re.findall(r"\d+", str(w.message)) for w in said] == [["64", "32"], ["32", "16"]]
    assert fit._step.labels_at_once == 16
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)
    assert len(added) == len(gradients) > 0
    for a, b in zip(added, gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_fit_goes_on_in_parts_and_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitter(initial_epochs=3).fit(linear_answers(100))
    ours = LabelTensors.rewards

    def small(self: LabelTensors, model: Any, batch: Tensor) -> Tensor:
        if len(batch) > 16 and model.training:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return ours(self, model, batch)

    monkeypatch.setattr(LabelTensors, "rewards", small)
    with pytest.warns(UserWarning, match="a time from now on"):
        parts = fitter(initial_epochs=3).fit(linear_answers(100))
    assert parts.loss == pytest.approx(whole.loss, abs=1e-5)
    assert parts.val_loss == pytest.approx(whole.val_loss, abs=1e-5)


def test_where_not_even_one_label_fits_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: LabelTensors, model: Any, batch: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(LabelTensors, "rewards", never)
    with (
        pytest.warns(UserWarning, match="at a time"),
        pytest.raises(LearnerFault, match="expected GPU memory for one label"),
    ):
        fitter().fit(linear_answers(10))


# --- numbers that are not finite ---


def test_a_weight_or_a_reward_that_is_not_finite_stops() -> None:
    check_finite({"a": torch.ones(3), "b": torch.zeros(2, dtype=torch.uint8)}, "now")
    with pytest.raises(LearnerFault, match=r"expected finite numbers in b\.bias now"):
        check_finite({"a": torch.ones(3), "b.bias": torch.tensor([1.0, math.inf])}, "now")
    check_rewards(np.zeros((4, 2), np.float32))
    rewards = np.zeros((4, 2), np.float32)
    rewards[3, 1] = np.nan
    with pytest.raises(LearnerFault, match="got nan for environment 1 at step 3 of the rollout"):
        check_rewards(rewards)


def toy(folder: Path, **changes: object) -> prefrl.Config:
    settings: dict[str, object] = {"total_labels": 300, "total_timesteps": 2600, "run_dir": str(folder)}
    settings |= {"progress": False, "eval": {"episodes": 2}, "device": "cpu", "queries": {"initial_share": 0.5}}
    return prefrl.default_config("prefrl/Dot-v0", **{**settings, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"labeler": "mistake", "teacher": {"mistake_rate": 0.5}},
                                     {"reward_model": {"learning_rate": 0.3}}])  # fmt: skip
def test_bad_answers_and_bad_settings_are_said_and_leave_a_finite_policy(
    changes: dict[str, object], tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="was taken back, as|can hardly be told from guesses") as said:
        result = prefrl.train(toy(tmp_path / "run", **changes))
    assert str(said[0].message).count("\n") == 0
    check_finite(load_file(tmp_path / "run" / "reward.safetensors"), "in the run")
    assert math.isfinite(result.summary["env_return"])
    checkpoint = load_newest(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None
    check_finite(checkpoint.tensors, "in the checkpoint")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["reward", "weights", "weights in the midst of an update"])
def test_what_is_not_finite_stops_before_the_policy_and_no_checkpoint_holds_it(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefrl import loop as loops

    if where == "reward":
        monkeypatch.setattr(
            loops, "score_rollout", lambda model, pool, n: (np.full((n, pool.n_envs), np.nan, np.float32), 0.0)
        )
        words = "expected a finite learned reward"
    else:
        learn = PPO.train

        def poisoned(self: PPO) -> None:
            if where == "weights":
                learn(self)
            if self.num_timesteps > 1500:
                with torch.no_grad():
                    next(self.policy.parameters())[0] = math.nan
            if where != "weights":
                learn(self)

        monkeypatch.setattr(PPO, "train", poisoned)
        words = r"expected finite numbers in .* after 1,536 steps"
    with pytest.raises(LearnerFault, match=words):
        prefrl.train(toy(tmp_path / "run", checkpoint_steps=1))
    checkpoint = load_newest(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None
    check_finite(checkpoint.tensors, "in the checkpoint")
    assert checkpoint.state["steps"] == (0 if where == "reward" else 1024)


@pytest.mark.slow
def test_a_run_that_is_killed_in_a_fit_loses_no_answer(tmp_path: Path) -> None:
    args = ["--env-id", "prefrl/Dot-v0", "--total-labels", "40", "--total-timesteps", "1100", "--run-dir", "run"]
    base = [sys.executable, "-m", "prefrl.cli", "train"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = {**env, "PREFRL_FAIL": "reward.fit:kill"}
    done = subprocess.run([*base, *args, "--no-progress"], cwd=tmp_path, env=killed, check=False)
    assert done.returncode == -signal.SIGKILL
    with Store.open_read_only(tmp_path / "run" / "labels.sqlite") as store:
        before = store.labels_after(0)
    assert len(before) == 10  # a quarter, about the untrained policy
    done = subprocess.run([*base, "--run-dir", "run", "--resume", "--no-progress"], cwd=tmp_path, env=env, check=False)
    assert done.returncode == 0
    with Store.open_read_only(tmp_path / "run" / "labels.sqlite") as store:
        assert store.labels_after(0)[:10] == before
