"""What the learner needs from a world, so that it can know none of them by name.

A world is a Stable-Baselines3 `VecEnv` with a few facts beside it. Worlds live in `envs` (Atari, robots, toy) and in
`prefrl.custom` (a user's own Gymnasium id); this file must import neither.

The `VecEnv` keeps three customs in its infos:

- `info["view"]`, on every step and in `reset_infos`, is the least that lets the *observation just returned* be drawn
  later; absent where views are off, or where the observation is itself the picture.
- `info["episode"] = {"r": env return, "l": steps}` stands in the info of the step that ended an episode, also where the
  learner is not shown that end (`done` stays False); the observation returned with it begins the next episode. Clips
  stay within episodes, but for an endless world (`horizon` None), whose clips show what comes after an end as all else.
- A `done` that the learner does see is always a time limit: `info["TimeLimit.truncated"]` is True and
  `info["terminal_observation"]` is there.

So that a stopped run goes on in the middle of its episodes, a `VecEnv` may tell its state by `get_state(n_recent)` and
take it back by `put_state(state)`; so may single environments and wrappers: see `prefrl.env_state`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from labeling.clip import Clip, ClipError

if TYPE_CHECKING:  # torch comes with it, which is slow to import and not needed to read labels
    from stable_baselines3.common.vec_env import VecEnv

MOST_DRAWN_STEPS = 2000
"""Longest clip that is drawn: a minute and more of most worlds."""
MOST_DRAWN_BYTES = 2**26
"""Largest clip that is drawn; pictures of it take several times as much."""


def checked_size(clip: Clip) -> Clip:
    """The clip, if its pictures fit in memory.

    Raises:
        ClipError: They may not; no run makes such clips.
    """
    n_bytes = clip.obs.nbytes + (0 if clip.view is None else clip.view.nbytes)
    if clip.n_steps > MOST_DRAWN_STEPS or n_bytes > MOST_DRAWN_BYTES:
        raise ClipError(
            f"expected a clip of at most {MOST_DRAWN_STEPS:,} steps and {MOST_DRAWN_BYTES:,} bytes to draw, got "
            f"{clip.n_steps:,} and {n_bytes:,}"
        )
    return clip


class Drawer(Protocol):
    """Turns a stored clip into pictures; picklable, so that another process can do the drawing."""

    def draw(self, obs: NDArray[Any], view: NDArray[Any] | None) -> NDArray[np.uint8]:
        """Frames (T, H, W, 3) RGB; frame t is the state the learner saw when it chose action t."""
        ...


class World(Protocol):
    """One kind of environment, many copies of it, and what is known about them."""

    @property
    def env_id(self) -> str:
        """The id it was made by."""
        ...

    @property
    def venv(self) -> VecEnv:
        """The environments, unwrapped: `reset_infos` are its own."""
        ...

    @property
    def frame_rate(self) -> float:
        """Agent steps per second when the world runs at its real speed."""
        ...

    @property
    def horizon(self) -> int | None:
        """Steps after which every episode is cut, whatever happened; None where the learner sees no end at all."""
        ...

    @property
    def n_stack(self) -> int:
        """Planes stacked in one (n_stack, H, W) image observation, oldest first; 1 where nothing is stacked."""
        ...

    @property
    def drawer(self) -> Drawer | None:
        """None where clips of this world cannot be drawn."""
        ...

    def pack_view(self, views: NDArray[Any]) -> NDArray[Any]:
        """Turn the `info["view"]` rows of a clip, (T, *view_shape), into what a clip file keeps for the drawer."""
        ...
