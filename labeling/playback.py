"""When which frame of a pair is on the screen: both clips start together, loop in step and rest a moment at the end.

Pure logic on a clock that is handed in; it knows no pictures.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Times the world's real speed."""

REST_SECONDS = 0.6
"""How long the last frames stay before both clips start again, at any speed."""


class Playback:
    """The clock of one pair; it plays from the moment it is made.

    Args:
        n_frames: Of the left clip and of the right one; the shorter waits on its last frame.
        frame_rates: Of either, in frames per second at real speed.
        speed: One of `SPEEDS`.
        clock: Seconds by a clock that is never set.

    Raises:
        ValueError: for a clip without frames, or a frame rate or speed that cannot be.
    """

    def __init__(
        self,
        n_frames: tuple[int, int],
        frame_rates: tuple[float, float],
        *,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if min(n_frames) < 1:
            raise ValueError(f"both clips must have at least one frame, got {n_frames}")
        if not all(0 < rate < math.inf for rate in frame_rates):
            raise ValueError(f"both frame rates must be positive and finite, got {frame_rates}")
        if speed not in SPEEDS:
            raise ValueError(f"expected a speed of {SPEEDS}, got {speed}")
        self._n_frames = n_frames
        self._frame_rates = frame_rates
        self._seconds = max(n / rate for n, rate in zip(n_frames, frame_rates, strict=True))
        self._tick = 1 / max(frame_rates)
        self._clock = clock
        self._speed = speed
        self._is_paused = False
        self._position = 0.0
        """In seconds at real speed, at the time `_since`; a rest counts as time after `_seconds`."""
        self._since = clock()

    @property
    def speed(self) -> float:
        """One of `SPEEDS`."""
        return self._speed

    @property
    def is_paused(self) -> bool:
        """Whether the frames stand still because someone wants it so."""
        return self._is_paused

    def frames(self) -> tuple[int, int]:
        """Index of the frame to be shown now, left and right."""
        at = min(self._now(), self._seconds)
        left, right = (
            min(int(at * rate + 1e-6), n - 1) for n, rate in zip(self._n_frames, self._frame_rates, strict=True)
        )
        return left, right

    def progress(self) -> float:
        """How much of the longer clip has been shown, 0 to 1, as of the frame on the screen."""
        at = min(self._now(), self._seconds)
        n_ticks = max(1, round(self._seconds / self._tick))
        return min(1.0, (int(at / self._tick + 1e-6) + 1) / n_ticks)

    def seconds_to_change(self) -> float:
        """How long the frames of now stay; infinity while paused."""
        if self._is_paused:
            return math.inf
        at = self._now()
        if at >= self._seconds:
            return max(0.0, self._end() - at) / self._speed
        next_tick = (int(at / self._tick + 1e-6) + 1) * self._tick
        return max(0.0, next_tick - at) / self._speed

    def toggle(self) -> None:
        """Pauses; plays on when paused, from the start when at the end."""
        if self._is_paused and self._now() >= self._seconds - self._tick / 2:
            self._position = 0.0
        else:
            self._position = min(self._now(), self._seconds)
        self._since = self._clock()
        self._is_paused = not self._is_paused

    def step(self, n_frames: int) -> None:
        """Pauses and goes that many frames on, or back where negative; around at either end."""
        n_ticks = max(1, round(self._seconds / self._tick))
        tick = min(int(self._now() / self._tick + 1e-6), n_ticks - 1)
        self._position = ((tick + n_frames) % n_ticks) * self._tick
        self._since = self._clock()
        self._is_paused = True

    def change_speed(self, n_steps: int) -> float:
        """Goes that many places along `SPEEDS`, stopping at its ends, and returns the new speed."""
        place = SPEEDS.index(self._speed) + n_steps
        speed = SPEEDS[min(max(place, 0), len(SPEEDS) - 1)]
        at = self._now()
        rested = max(0.0, at - self._seconds) * speed / self._speed
        self._position, self._since, self._speed = min(at, self._seconds) + rested, self._clock(), speed
        return speed

    def _end(self) -> float:
        return self._seconds + REST_SECONDS * self._speed

    def _now(self) -> float:
        """Position in seconds at real speed, rests counting as time after the last frame."""
        if self._is_paused:
            return self._position
        return (self._position + (self._clock() - self._since) * self._speed) % self._end()
