"""Episode returns, by the env reward and by the learned reward side by side: for logs, never for learning."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl.guard import EpisodeEnd

_WINDOW = 100
"""Episodes that a logged mean is over, as in Stable-Baselines3."""


class EpisodeReturns:
    """Adds up the learned reward of each environment's episode and pairs it with the env return at its end."""

    def __init__(self, n_envs: int) -> None:
        self._running = np.zeros(n_envs)
        self._begun = np.zeros(n_envs, np.int64)
        """The step that each running episode began with."""
        self._n_steps = 0
        self._recent: deque[tuple[float, float]] = deque(maxlen=_WINDOW)
        self._fit = 0
        self._fit_begun = 0
        """The first step that this fit scored."""
        self._of_fit: deque[float] = deque(maxlen=_WINDOW)
        """Learned returns of the recent episodes that this fit scored from their first step on; none of fit 0."""

    def add_rollout(self, rewards: NDArray[np.float32], ends: list[EpisodeEnd], fit: int) -> None:
        """Take in a rollout.

        Args:
            rewards: Its learned rewards (n_steps, N).
            ends: The episodes that ended in it.
            fit: Which fit of the reward model gave the rewards; 0 where none did.
        """
        if fit != self._fit:
            self._fit, self._fit_begun = fit, self._n_steps
            self._of_fit.clear()
        begin = np.zeros(len(self._running), int)
        for end in sorted(ends, key=lambda e: e.step):
            last = end.step - self._n_steps + 1
            total = self._running[end.env] + rewards[begin[end.env] : last, end.env].sum()
            if end.env_return is not None:
                self._recent.append((end.env_return, float(total)))
                if fit > 0 and self._begun[end.env] >= self._fit_begun:
                    self._of_fit.append(float(total))
            self._running[end.env] = 0.0
            self._begun[end.env] = end.step + 1
            begin[end.env] = last
        for env, first in enumerate(begin):
            self._running[env] += rewards[first:, env].sum()
        self._n_steps += len(rewards)

    def state(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "running": self._running,
            "begun": self._begun,
            "n_steps": self._n_steps,
            "recent": list(self._recent),
            "fit": self._fit,
            "fit_begun": self._fit_begun,
            "of_fit": list(self._of_fit),
        }

    def put_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave in another process."""
        self._running, self._n_steps = state["running"], state["n_steps"]
        self._recent = deque(state["recent"], maxlen=_WINDOW)
        if "of_fit" in state:
            self._begun, self._of_fit = state["begun"], deque(state["of_fit"], maxlen=_WINDOW)
            self._fit, self._fit_begun = state["fit"], state["fit_begun"]
        else:  # older checkpoints do not say which fit scored what: the next rollout's is taken for a new one
            self._begun[:] = -1
            self._fit = -1

    def recent_means(self) -> tuple[float, float] | None:
        """Mean env return and mean learned return of the last 100 episodes; None before the first has ended."""
        if not self._recent:
            return None
        means = np.mean(self._recent, axis=0)
        return float(means[0]), float(means[1])

    def mean_of_fit(self) -> float | None:
        """Mean learned return of the last 100 episodes that the newest fit scored whole; None before one has ended."""
        return float(np.mean(self._of_fit)) if self._of_fit else None
