"""The pool: bounded memory of recent behaviour, from which equal clips are cut.

Ring buffers of `capacity` steps for each of N environments, allocated once. An image observation that is a stack of
planes is stored as its newest plane only; stacks are put together again when a clip is cut. The env reward is kept for
teachers and evaluation, and never leaves with the observations.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike, NDArray

IntArray = NDArray[np.int64]

_ROWS = ("obs", "actions", "env_rewards", "episodes", "episode_steps", "views")
"""What the pool keeps of each step."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where M clips lie in the pool; positions count an environment's steps since the run began."""

    envs: IntArray
    """Environment of each clip, (M,)."""
    starts: IntArray
    """Position of each clip's first step, (M,)."""

    def __len__(self) -> int:
        """M."""
        return len(self.envs)

    def take(self, index: NDArray[Any]) -> Cuts:
        """The cuts at these indices."""
        return Cuts(self.envs[index], self.starts[index])


@dataclass(frozen=True, slots=True)
class Layout:
    """Shapes and types of what one environment gives in one step."""

    obs_shape: tuple[int, ...]
    obs_dtype: DTypeLike
    action_shape: tuple[int, ...]
    action_dtype: DTypeLike
    view_shape: tuple[int, ...] | None
    view_dtype: DTypeLike
    n_stack: int

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of what is stored of one observation: of a stack, only the newest plane."""
        return self.obs_shape[1:] if self.n_stack > 1 else self.obs_shape

    @property
    def step_bytes(self) -> int:
        """Bytes that one step of one environment takes in the pool."""
        size = _n_bytes(self.row_shape, self.obs_dtype)
        size += _n_bytes(self.action_shape, self.action_dtype)
        if self.view_shape is not None:
            size += _n_bytes(self.view_shape, self.view_dtype)
        return size + 4 + 8 + 4  # env reward, episode number, step in the episode


class Pool:
    """Recent behaviour of N environments.

    Args:
        layout: What one step holds.
        n_envs: N.
        capacity: Steps kept of each environment.
    """

    def __init__(self, layout: Layout, n_envs: int, capacity: int) -> None:
        self.layout = layout
        self.n_envs = n_envs
        self.capacity = capacity
        self.position = 0
        """Steps written of each environment since the run began."""
        self._begin = 0
        """The oldest step that was ever written here; steps before it went with the process that saw them."""
        rows = (capacity, n_envs)
        self._obs = np.zeros(rows + layout.row_shape, layout.obs_dtype)
        self._actions = np.zeros(rows + layout.action_shape, layout.action_dtype)
        self._env_rewards = np.zeros(rows, np.float32)
        self._episodes = np.full(rows, -1, np.int64)
        self._episode_steps = np.zeros(rows, np.int32)
        self._views: NDArray[Any] | None = None
        if layout.view_shape is not None:
            self._views = np.zeros(rows + layout.view_shape, layout.view_dtype)
        # Of each env, oldest first: (episode, planes before its first observation's newest one).
        self._prefixes: list[deque[tuple[int, NDArray[Any]]]] = [deque() for _ in range(n_envs)]

    @property
    def n_steps(self) -> int:
        """Steps now held of each environment."""
        return self.position - self._oldest

    @property
    def _oldest(self) -> int:
        return max(self._begin, self.position - self.capacity)

    def add(
        self,
        obs: NDArray[Any],
        actions: NDArray[Any],
        env_rewards: NDArray[np.float32],
        views: NDArray[Any] | None,
        episodes: IntArray,
        episode_steps: IntArray,
    ) -> None:
        """Write one step of every environment; obs (N, *O) is what each action was chosen on."""
        row = self.position % self.capacity
        if self.layout.n_stack > 1:
            for env in np.flatnonzero(episode_steps == 0):
                self._remember_prefix(int(env), int(episodes[env]), obs[env, :-1])
            obs = obs[:, -1]
        self._obs[row] = obs
        self._actions[row] = actions
        self._env_rewards[row] = env_rewards
        self._episodes[row] = episodes
        self._episode_steps[row] = episode_steps
        if self._views is not None and views is not None:
            self._views[row] = views
        self.position += 1

    def sample(self, n_clips: int, clip_steps: int, rng: np.random.Generator, recent_steps: int | None = None) -> Cuts:
        """Cut `n_clips` clips of `clip_steps` steps, uniformly among all starts that stay inside one episode.

        Args:
            n_clips: Clips wanted (drawn with replacement).
            clip_steps: T.
            rng: Where the draw comes from.
            recent_steps: Only steps among this many newest ones of each environment; None: all that are held.

        Raises:
            ValueError: No stretch of `clip_steps` steps of one episode is held.
        """
        envs, starts = self._recent_starts(clip_steps, recent_steps)
        if len(envs) == 0:
            raise ValueError(
                f"expected at least {clip_steps} steps of one episode to cut a clip from; none of the "
                f"{self.n_steps} steps held of each environment are; use shorter clips or more clip memory"
            )
        pick = rng.integers(len(envs), size=n_clips)
        return Cuts(envs[pick], starts[pick])

    def _recent_starts(self, clip_steps: int, recent_steps: int | None) -> tuple[IntArray, IntArray]:
        """Valid starts among recent steps; where these have none, among as many before the newest that there is."""
        envs, starts = self._valid_starts(clip_steps, recent_steps)
        if len(envs) == 0 and recent_steps is not None:
            envs, starts = self._valid_starts(clip_steps, None)
            near = starts > starts.max(initial=-1) - recent_steps
            return envs[near], starts[near]
        return envs, starts

    def _valid_starts(self, clip_steps: int, recent_steps: int | None) -> tuple[IntArray, IntArray]:
        held = self.n_steps if recent_steps is None else min(self.n_steps, recent_steps)
        first = self.position - held
        if self._oldest > 0:  # the planes before the oldest steps have been overwritten
            first = max(first, self._oldest + self.layout.n_stack - 1)
        if held < clip_steps:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        starts = np.arange(first, self.position - clip_steps + 1)
        # The same episode number at both ends means the same episode in between: numbers only grow.
        same = (
            self._episodes[starts % self.capacity] == self._episodes[(starts + clip_steps - 1) % self.capacity]
        )  # (S, N)
        where, envs = np.nonzero(same)
        return envs.astype(np.int64), starts[where].astype(np.int64)

    def n_clips(self, clip_steps: int, recent_steps: int) -> int:
        """Different clips that `sample` may draw with these arguments."""
        return len(self._recent_starts(clip_steps, recent_steps)[0])

    def can_cut(self, clip_steps: int) -> bool:
        """Whether `clip_steps` steps of one episode are held anywhere."""
        return len(self._valid_starts(clip_steps, None)[0]) > 0

    def obs(self, cuts: Cuts, clip_steps: int) -> NDArray[Any]:
        """Observations (M, T, *row), or planes (M, T + n_stack - 1, H, W) where observations are stacks."""
        n_before = self.layout.n_stack - 1
        envs, rows = self._index(cuts, clip_steps, n_before)
        obs: NDArray[Any] = self._obs[rows, envs]
        if n_before:
            # Copy, then put what the stack held at the beginning of the episode before its first step.
            steps_in = self._episode_steps[cuts.starts % self.capacity, cuts.envs]
            for clip in np.flatnonzero(steps_in < n_before):
                self._fill_prefix(obs[clip], cuts, int(clip), int(steps_in[clip]))
        return obs

    def stacks(self, env: int, n_steps: int) -> NDArray[Any]:
        """The newest `n_steps` stacked observations of one environment, resets and all; (n_steps, n_stack, H, W)."""
        size = self.layout.n_stack
        cut = Cuts(np.array([env]), np.array([self.position - n_steps]))
        planes = self.obs(cut, n_steps)[0]
        stacks = np.stack([planes[i : i + n_steps] for i in range(size)], axis=1)
        rows = np.arange(self.position - n_steps, self.position) % self.capacity
        steps_in, episodes = self._episode_steps[rows, env], self._episodes[rows, env]
        for step in np.flatnonzero(steps_in < size - 1):
            n_missing = size - 1 - int(steps_in[step])
            prefix = next(p for number, p in self._prefixes[env] if number == episodes[step])
            stacks[step, :n_missing] = prefix[-n_missing:]
        return stacks

    def actions(self, cuts: Cuts, clip_steps: int) -> NDArray[Any]:
        """Actions (M, T, *A)."""
        envs, rows = self._index(cuts, clip_steps)
        actions: NDArray[Any] = self._actions[rows, envs]
        return actions

    def env_rewards(self, cuts: Cuts, clip_steps: int) -> NDArray[np.float32]:
        """Env rewards (M, T), for teachers and evaluation only."""
        envs, rows = self._index(cuts, clip_steps)
        return self._env_rewards[rows, envs]

    def recent_returns(self, clip_steps: int, recent_steps: int) -> NDArray[np.float64]:
        """Env return of every clip that `sample` may draw from the same steps, (M,): for teachers only.

        Each is summed on its own and not taken from running sums, so that equal rewards give equal returns.
        """
        envs, starts = self._recent_starts(clip_steps, recent_steps)
        if len(envs) == 0:
            return np.empty(0)
        first = int(starts.min())
        rows = np.arange(first, self.position) % self.capacity
        rewards = self._env_rewards[rows].astype(np.float64)  # (S, N)
        returns: NDArray[np.float64] = sliding_window_view(rewards, clip_steps, axis=0).sum(axis=-1)  # (S - T + 1, N)
        return returns[starts - first, envs]

    def views(self, cuts: Cuts, clip_steps: int) -> NDArray[Any] | None:
        """Rows of the world's `info["view"]`, (M, T, *V); None where the world gives none."""
        if self._views is None:
            return None
        envs, rows = self._index(cuts, clip_steps)
        views: NDArray[Any] = self._views[rows, envs]
        return views

    def episode_of(self, cuts: Cuts) -> tuple[IntArray, IntArray]:
        """Number of each clip's episode within its env, and the clip's first step in it; both (M,)."""
        rows = cuts.starts % self.capacity
        return self._episodes[rows, cuts.envs], self._episode_steps[rows, cuts.envs].astype(np.int64)

    def last(self, n_steps: int) -> Cuts:
        """The newest `n_steps` of every environment as N cuts, which may cross resets: a rollout to be scored."""
        if n_steps > self.n_steps:
            raise ValueError(f"expected at most {self.n_steps} steps to be asked for, got {n_steps}")
        start = self.position - n_steps
        return Cuts(np.arange(self.n_envs), np.full(self.n_envs, start, np.int64))

    def within_episodes(self, cuts: Cuts, clip_steps: int) -> NDArray[np.bool_]:
        """Whether each cut lies in one episode, (M,)."""
        first, last = (
            self._episodes[p % self.capacity, cuts.envs] for p in (cuts.starts, cuts.starts + clip_steps - 1)
        )
        same: NDArray[np.bool_] = first == last  # then so is all in between: numbers only grow
        return same

    def needed_from(self, clip_steps: int, recent_steps: int) -> int:
        """The oldest step that `sample` can still need, now or later, with these arguments."""
        first = self.position - recent_steps
        _, starts = self._valid_starts(clip_steps, None)
        if len(starts):
            first = min(first, int(starts.max()) - recent_steps + 1)
        return max(self._oldest, first - self.layout.n_stack + 1)

    def state(self, first: int) -> dict[str, Any]:
        """Everything from step `first` on, as plain data."""
        rows = np.arange(first, self.position) % self.capacity
        held = {name: getattr(self, f"_{name}") for name in _ROWS}
        oldest = self._episodes[rows].min(axis=0, initial=np.iinfo(np.int64).max)  # of each environment
        prefixes = [[p for p in before if p[0] >= oldest[env]] for env, before in enumerate(self._prefixes)]
        rows_of = {name: memory[rows] for name, memory in held.items() if memory is not None}
        return {"position": self.position, "rows": rows_of, "prefixes": prefixes}

    def put_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave in another process, for a pool of the same layout and size."""
        self.position = state["position"]
        self._begin = self.position - len(state["rows"]["episodes"])
        rows = np.arange(self._begin, self.position) % self.capacity
        for name, values in state["rows"].items():
            getattr(self, f"_{name}")[rows] = values
        self._prefixes = [deque(prefixes) for prefixes in state["prefixes"]]

    def _index(self, cuts: Cuts, clip_steps: int, n_before: int = 0) -> tuple[IntArray, IntArray]:
        offsets = np.arange(-n_before, clip_steps)
        rows = (cuts.starts[:, None] + offsets) % self.capacity  # (M, T)
        return np.broadcast_to(cuts.envs[:, None], rows.shape), rows

    def _remember_prefix(self, env: int, episode: int, planes: NDArray[Any]) -> None:
        prefixes = self._prefixes[env]
        oldest = self._episodes[self.position % self.capacity, env]  # about to be overwritten
        while prefixes and prefixes[0][0] < oldest:
            prefixes.popleft()
        prefixes.append((episode, planes.copy()))

    def _fill_prefix(self, planes: NDArray[Any], cuts: Cuts, clip: int, step_in: int) -> None:
        n_missing = self.layout.n_stack - 1 - step_in
        env = int(cuts.envs[clip])
        episode = self._episodes[cuts.starts[clip] % self.capacity, env]
        prefix = next(before for number, before in self._prefixes[env] if number == episode)
        planes[:n_missing] = prefix[-n_missing:]


def _n_bytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
