"""What result.json says of a finished run."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from stable_baselines3 import PPO

from prefrl.config import Config
from prefrl.evaluate_run import evaluate_run
from prefrl.loop import PreferenceLoop
from prefrl.rundir import RunDir

_PACKAGES = ("prefrl", "torch", "stable-baselines3", "gymnasium", "numpy", "mujoco", "ale-py")
_PARTS = ("collect", "learn", "fit", "query", "score", "save", "wait")


def summarize(
    config: Config, run: RunDir, agent: PPO, loop: PreferenceLoop | None, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Evaluate the saved policy, and a random one, and put everything together.

    Args:
        config: Of the run.
        run: Its folder, with the policy in it.
        agent: For the steps it took.
        loop: None for a run on the score.
        seconds: Wall clock of each part of the training; evaluation is counted beside them, not in the total.
    """
    begin = time.perf_counter()
    trained, chance = evaluate_run(run, config, with_random=True)
    summary: dict[str, Any] = {
        "env_id": config.env_id,
        "seed": config.seed,
        "reward": config.reward,
        "labels": 0,
        "timesteps": agent.num_timesteps,
        "env_return": trained["env_return"],
        "env_return_std": trained["env_return_std"],
        "random_return": chance,
        "eval_episodes": config.eval.episodes,
        "seconds": {
            "total": round(sum(seconds.values()), 3),
            **{name: round(seconds.get(name, 0.0), 3) for name in _PARTS},
            "evaluate": round(time.perf_counter() - begin, 3),
        },
        "reward_model": None,
        "versions": versions(),
    }
    if loop is not None:
        fit = loop.last_fit
        summary["labels"] = loop.answers.n_labels
        summary["imported_labels"] = loop.answers.n_imported
        summary["choices"] = loop.answers.counts()
        summary["reward_model"] = {
            "val_accuracy": fit.val_accuracy if fit is not None else None,
            "train_accuracy": fit.accuracy if fit is not None else None,
            "members": config.reward_model.members,
        }
    return summary


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
