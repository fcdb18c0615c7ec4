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
        self._n_steps = 0
        self._recent: deque[tuple[float, float]] = deque(maxlen=_WINDOW)

    def add_rollout(self, rewards: NDArray[np.float32], ends: list[EpisodeEnd]) -> None:
        """Take in a rollout's learned rewards (n_steps, N) and the episodes that ended in it."""
        begin = np.zeros(len(self._running), int)
        for end in sorted(ends, key=lambda e: e.step):
            last = end.step - self._n_steps + 1
            total = self._running[end.env] + rewards[begin[end.env] : last, end.env].sum()
            if end.env_return is not None:
                self._recent.append((end.env_return, float(total)))
            self._running[end.env] = 0.0
            begin[end.env] = last
        for env, first in enumerate(begin):
            self._running[env] += rewards[first:, env].sum()
        self._n_steps += len(rewards)

    def state(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {"running": self._running, "n_steps": self._n_steps, "recent": list(self._recent)}

    def put_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave in another process."""
        self._running, self._n_steps = state["running"], state["n_steps"]
        self._recent = deque(state["recent"], maxlen=_WINDOW)

    def recent_means(self) -> tuple[float, float] | None:
        """Mean env return and mean learned return of the last 100 episodes; None before the first has ended."""
        if not self._recent:
            return None
        means = np.mean(self._recent, axis=0)
        return float(means[0]), float(means[1])
