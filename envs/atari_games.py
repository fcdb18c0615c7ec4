"""How an Atari game is played, here and when it is drawn again: rules, score areas, tapes.

An Atari game is its seed and its actions: played again from both, it is the same game to the last
pixel, sticky actions included. So a clip is kept as a **tape**: what one environment did since it
was last seeded. A tape holds several games in a row where games are short, because seeding an
environment costs as much as hundreds of steps, and merely restarting it does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import WorldError

__all__ = ["SCORE_AREAS", "Box", "Rules", "Tape", "check_boxes", "covered", "play", "replay", "replay_all"]

Box = tuple[int, int, int, int]
"""(x, y, width, height) in pixels of the game's own screen."""

SCORE_AREAS: dict[str, tuple[Box, ...]] = {
    "beam_rider": ((45, 5, 75, 15), (15, 28, 25, 12)),  # the second counts the enemies left
    "breakout": ((35, 0, 45, 16),),
    "enduro": ((55, 163, 55, 10), (68, 177, 39, 11)),  # the speedometer, the distance and the place
    "pong": ((0, 0, 160, 24),),
    "qbert": ((33, 6, 38, 9),),
    "seaquest": ((56, 7, 54, 12),),  # six digits
    "space_invaders": ((0, 10, 160, 10),),
}
"""What Christiano et al. 2017, appendix A, black out in their seven games, checked by eye."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything but the seed that decides what a game does."""

    game: str
    """ROM name, such as space_invaders."""
    repeat_action_probability: float = 0.0
    """"Sticky actions": 0.25 is the v5 standard; Christiano et al. 2017 used none."""
    noop_max: int = 30
    """A game starts with fewer than this many frames of doing nothing."""
    frameskip: int = 4
    maxpool: bool = True
    """Show the brighter of the last two frames, so that what flickers is seen."""
    use_fire_reset: bool = True
    """Press FIRE once at the start of a game that knows it, as most published results do."""
    full_action_space: bool = False
    max_num_frames_per_episode: int = 108_000
    """A game is restarted after this many frames; half an hour."""

    def __post_init__(self) -> None:
        """Refuse what the emulator would answer with nonsense."""
        if not 0.0 <= self.repeat_action_probability < 1.0:
            raise WorldError(
                f"repeat_action_probability must be at least 0 and less than 1, got {self.repeat_action_probability}"
            )
        if self.frameskip < 1 or self.noop_max < 0 or self.max_num_frames_per_episode < 1:
            raise WorldError(f"frameskip, noop_max and frames per episode make no game: {self}")


@dataclass(slots=True)
class Tape:
    """What one environment did since it was seeded: enough to see it again."""

    seed: int
    actions: bytearray
    """One byte per step taken; the observation with index s is the one after s actions."""

    def cut(self, first: int, n_steps: int) -> list[int]:
        """As much as it takes to show `n_steps` observations from index `first` on."""
        return [self.seed, first, n_steps, *self.actions[: first + n_steps - 1]]


def play(rules: Rules, n_envs: int, size: tuple[int, int], *, rgb: bool = False) -> Any:
    """Start ALE's C++ vector environment on single frames; `size` is their (height, width)."""
    from ale_py.vector_env import AtariVectorEnv

    return AtariVectorEnv(
        rules.game,
        n_envs,
        img_height=size[0],
        img_width=size[1],
        stack_num=1,
        grayscale=not rgb,
        num_threads=0 if n_envs > 1 else 1,
        reward_clipping=False,  # the raw score is for teachers and evaluation
        episodic_life=False,
        life_loss_info=False,
        repeat_action_probability=rules.repeat_action_probability,
        noop_max=rules.noop_max,
        frameskip=rules.frameskip,
        maxpool=rules.maxpool,
        use_fire_reset=rules.use_fire_reset,
        full_action_space=rules.full_action_space,
        max_num_frames_per_episode=rules.max_num_frames_per_episode,
    )


def replay(
    rules: Rules, seed: int, actions: Sequence[int], size: tuple[int, int], *, rgb: bool
) -> Iterator[NDArray[np.uint8]]:
    """Play a tape again: its `len(actions) + 1` frames (H, W) or (H, W, 3), first to last."""
    games = play(rules, 1, size, rgb=rgb)
    here = {"reset_mask": np.array([True])}
    obs, _ = games.reset(seed=np.array([seed]))
    yield obs[0, 0]
    for action in actions:
        obs, _, terminated, truncated, _ = games.step(np.array([action]))
        if terminated[0] or truncated[0]:
            obs, _ = games.reset(options=here)
        yield obs[0, 0]
    games.close()


def replay_all(games: Any, tapes: Sequence[Tape]) -> NDArray[np.uint8]:
    """Play the tape of each environment of a vector environment again; returns their observations then.

    All take their last step together: one whose tape is shorter idles before it is seeded. The environments have been
    reset before.
    """
    lengths = np.array([len(tape.actions) for tape in tapes])
    begins = lengths.max() - lengths
    over = np.zeros(len(tapes), bool)
    obs: NDArray[np.uint8]
    for t in range(int(lengths.max()) + 1):
        begun = begins == t
        restarted = over | begun
        if restarted.any():
            seeds = np.array([tape.seed if now else -1 for tape, now in zip(tapes, begun, strict=True)])
            obs, _ = games.reset(seed=seeds[restarted], options={"reset_mask": restarted})
        if t < lengths.max():
            actions = [x.actions[t - b] if t >= b else 0 for x, b in zip(tapes, begins.tolist(), strict=True)]
            obs, _, terminated, truncated, _ = games.step(np.array(actions))
            over = terminated | truncated
    return obs


def check_boxes(boxes: Sequence[Sequence[int]], screen: tuple[int, int]) -> tuple[Box, ...]:
    """Check that boxes (x, y, width, height) lie on a screen (height, width)."""
    checked = []
    for box in boxes:
        if len(box) != 4:
            raise WorldError(f"a mask is (x, y, width, height), got {tuple(box)}")
        x, y, width, height = (int(number) for number in box)
        inside = x >= 0 and y >= 0 and x + width <= screen[1] and y + height <= screen[0]
        if not inside or width < 1 or height < 1:
            raise WorldError(
                f"the mask {tuple(box)} (x, y, width, height) is not on the screen of {screen[1]}x{screen[0]} pixels"
            )
        checked.append((x, y, width, height))
    return tuple(checked)


def covered(box: Box, screen: tuple[int, int], frame: tuple[int, int]) -> Box:
    """The box in pixels of a frame (height, width) that any part of `box` on `screen` goes into.

    ALE resizes by areas (INTER_AREA): a small pixel is a mean over exactly the screen it covers, so
    that rounding outwards leaves no trace of the box.
    """
    x, y, width, height = box
    left, top = x * frame[1] // screen[1], y * frame[0] // screen[0]
    right = math.ceil((x + width) * frame[1] / screen[1])
    bottom = math.ceil((y + height) * frame[0] / screen[0])
    return left, top, right - left, bottom - top
