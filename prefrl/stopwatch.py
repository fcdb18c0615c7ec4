"""A stopwatch that is always running for exactly one part of the work."""

from __future__ import annotations

import time


class Stopwatch:
    """Adds up wall-clock seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name: str | None = None
        self._since = 0.0

    def switch(self, name: str | None) -> None:
        """From now on time counts for `name`; None stops."""
        now = time.perf_counter()
        if self._name is not None:
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._since
        self._name, self._since = name, now

    def total(self) -> float:
        """Seconds of all parts."""
        running = time.perf_counter() - self._since if self._name is not None else 0.0
        return sum(self.seconds.values()) + running
