"""What a run records of each rollout, in metrics.csv and, where it is installed, for TensorBoard."""

from __future__ import annotations

import math
from importlib import util

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.logger import KVWriter, Logger

from prefrl.loop import PreferenceLoop
from prefrl.metrics import MetricsCsv
from prefrl.rundir import RunDir


def make_logger(run: RunDir, start_steps: int) -> Logger:
    """Stable-Baselines3's logger into the run folder; rows of metrics.csv after `start_steps` go, to be done again."""
    writers: list[KVWriter] = [MetricsCsv(run.metrics, start_steps)]
    if util.find_spec("tensorboard") is not None:
        from prefrl.tensorboard_events import TensorBoardEvents  # an optional dependency of ours

        writers.append(TensorBoardEvents(run.tensorboard))
    return Logger(str(run.path), writers)


def record_rollout(agent: PPO, loop: PreferenceLoop | None, run_seconds: float) -> float | None:
    """Record a rollout in the agent's logger; returns the recent mean env return, None before an episode ended."""
    record = agent.logger.record
    record("time/seconds", run_seconds)
    if loop is None:
        # SB3's own rollout/ep_rew_mean is the env reward here: there is no other.
        recent = [e["r"] for e in agent.ep_info_buffer or ()]
        env_return = float(np.mean(recent)) if recent else None
    else:
        means = loop.episodes.recent_means()
        env_return = None if means is None else means[0]
        if means is not None:
            record("rollout/ep_learned_rew_mean", means[1])
        record("prefs/labels_total", loop.answers.n_labels)
        if loop.n_taken_back:
            record("reward_model/taken_back", loop.n_taken_back)
        _record_fit(agent.logger, loop)
    if env_return is not None:
        record("rollout/ep_env_rew_mean", env_return)
    return env_return


def _record_fit(logger: Logger, loop: PreferenceLoop) -> None:
    fit = loop.last_fit
    if fit is None:
        return
    for name in ("loss", "val_loss", "accuracy", "val_accuracy", "label_entropy", "l2", "epochs"):
        value = getattr(fit, name)
        if not math.isnan(value):
            logger.record(f"reward_model/{name}", value)
    logger.record("reward_model/disagreement", loop.disagreement)
    counts = loop.answers.counts()
    logger.record("prefs/skip_rate", counts["skip"] / max(1, sum(counts.values())))
