"""On a CUDA GPU: the rewards of a CPU, memory that really runs out, and whole runs; skipped where there is none."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

import prefrl
from prefrl.checkpoint import load_newest
from prefrl.config import RewardModelConfig
from prefrl.fit import Fitter
from prefrl.fit_data import Answered
from prefrl.reward_model import Inputs, RewardModel

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU"),
]

PONG = Inputs.of(spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(6), n_stack=4)
SETTINGS = RewardModelConfig(batch_size=16, initial_epochs=3, dropout=0.0, bootstrap=False)


def frames(n_pairs: int, seed: int = 0) -> Answered:
    """Pairs of clips of noise, of which the brighter one is liked better."""
    rng = np.random.default_rng(seed)
    light = rng.integers(40, 250, (n_pairs, 2, 1, 1, 1))
    obs = (rng.random((n_pairs, 2, 25 + 3, 84, 84), np.float32) * light).astype(np.uint8)
    return Answered(
        obs=obs,
        actions=rng.integers(6, size=(n_pairs, 2, 25)),
        rows=np.arange(n_pairs),
        prob_left=(light[:, 0] > light[:, 1]).astype(np.float32).reshape(-1),
        label_ids=[f"label {i}" for i in range(n_pairs)],
    )


def fitter(device: str, **changes: Any) -> Fitter:
    settings = replace(SETTINGS, **changes)
    return Fitter(RewardModel(PONG, settings, seed=1).to(device), settings, seed=2)


def test_a_model_scores_on_a_gpu_as_it_does_on_a_cpu() -> None:
    there, here = fitter("cuda").model, fitter("cpu").model
    asked = frames(4)
    clips, actions = asked.obs.reshape(8, 28, 84, 84), asked.actions.reshape(8, 25)
    torch.backends.cudnn.allow_tf32 = False
    try:
        rewards = there.member_rewards(clips, actions)
    finally:
        torch.backends.cudnn.allow_tf32 = True
    np.testing.assert_allclose(rewards, here.member_rewards(clips, actions), rtol=1e-4, atol=1e-5)


def test_frames_are_fitted_on_the_gpu_to_what_they_say() -> None:
    fit = fitter("cuda", initial_epochs=20)
    assert fit.fit(frames(64)).accuracy > 0.95
    assert {p.device.type for p in fit.model.parameters()} == {"cuda"}
    unseen = frames(32, seed=5)
    logits = fit.model.preference_logits(unseen.obs, unseen.actions).mean(0)
    assert ((logits > 0) == (unseen.prob_left == 1)).mean() > 0.9


def test_where_the_gpu_s_memory_runs_out_the_fit_goes_on_in_parts() -> None:
    asked = frames(128)
    fit = fitter("cuda", batch_size=128, initial_epochs=1)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    fit.fit(asked)
    whole = torch.cuda.max_memory_allocated()
    assert fit._step.labels_at_once == 128
    fit = fitter("cuda", batch_size=128, initial_epochs=1)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(0.6 * whole / total)  # and CUDA itself says that it is out of memory
    try:
        with pytest.warns(UserWarning, match="does not hold 128 labels at once") as said:
            report = fit.fit(asked)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert fit._step.labels_at_once in (64, 32, 16)
    assert len(said) == {64: 1, 32: 2, 16: 3}[fit._step.labels_at_once]
    assert not report.sickness
    assert np.isfinite(report.loss)


@pytest.mark.slow
def test_a_run_of_pong_trains_stops_goes_on_and_plays_without_a_gpu(tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = "--world.n-envs 8 --ppo.n-steps 32 --ppo.batch-size 64 --reward-model.initial-epochs 2 --clip-memory 64"
    words = f"train --env-id ALE/Pong-v5 --device cuda --total-labels 20 -n 1024 --run-dir {run} {small}"
    words += " --eval.episodes 2 --eval.max-steps 100 --no-progress"
    words += " --queries.round-steps 256 --queries.first-round-steps 0"
    command = [sys.executable, "-m", "prefrl.cli"]
    subprocess.run([*command, *shlex.split(words)], check=True, timeout=300)
    checkpoint = load_newest(run / "checkpoints")
    assert checkpoint is not None
    assert "cuda_rng" in checkpoint.tensors
    subprocess.run([*command, "train", "--run-dir", str(run), "--resume", "-n", "2048"], check=True, timeout=300)
    agent = PPO.load(run / "policy.zip", device="cpu")
    assert agent.num_timesteps == 2048
    assert agent.observation_space.shape == (4, 84, 84)
    actions, _ = agent.predict(np.zeros((1, 4, 84, 84), np.uint8), deterministic=True)
    assert 0 <= int(actions[0]) < 6


def test_the_doctor_names_the_gpu() -> None:
    said = subprocess.run([sys.executable, "-m", "prefrl.cli", "doctor"], capture_output=True, text=True, timeout=300)
    assert re.search(re.escape(torch.cuda.get_device_name(0)), said.stdout)


def test_a_config_on_a_gpu_takes_the_preset_of_many_copies() -> None:
    config = prefrl.default_config("ALE/Pong-v5")
    assert config.world.n_envs == 128
