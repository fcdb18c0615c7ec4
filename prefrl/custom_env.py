"""What stands around a user's environment: plain spaces, endings that tell nothing, pictures of
its states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from prefrl.errors import UserError
from prefrl.frames import Box, black_out, checked_frame

MIN_IMAGE_SIDE = 36
"""SB3's CNN takes no smaller image; smaller uint8 arrays are boards of numbers, not pictures, and
count as vectors.
"""

Env = gym.Env[Any, Any]


class FixedHorizon(gym.Wrapper[Any, Any, Any, Any]):
    """Episodes of one length, whatever the agent does.

    When an episode ends is decided by behaviour in most games: it ends where the pole fell. A
    learner that sees `done` can tell good from bad by it with no label at all, so none gets
    through: where the environment ends, it is reset here, and the observation returned is the first
    of its next episode. Every `horizon` steps, by this wrapper's own clock, the learner sees a time
    limit.

    `info["episode"]` has the env return of each of the environment's own episodes, and of those that
    lasted the whole clock; what is left of a later one when the clock cuts it is no episode. So long
    episodes are told of less often than short ones, and a mean over them is too low where a longer
    episode returns more: a curve of training, but no measure of the agent.

    Args:
        env: Whose endings are hidden.
        horizon: Steps of the clock.
        whole_episodes: Start the clock again where the environment ends, so that each of its episodes has the whole
            clock and is told of: to measure by, never to learn from, for then the time limit tells of behaviour.
    """

    def __init__(self, env: Env, horizon: int, *, whole_episodes: bool = False) -> None:
        super().__init__(env)
        self._horizon = horizon
        self._whole_episodes = whole_episodes
        self._clock = 0
        self._return = 0.0
        self._length = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start the clock and an episode."""
        self._clock = 0
        return self._restart(seed=seed, options=options), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step; the environment's own info is dropped, for it may tell of reward in many ways."""
        obs, reward, terminated, truncated, _ = self.env.step(action)
        self._clock += 1
        self._length += 1
        self._return += float(reward)
        cut = self._clock >= self._horizon
        info: dict[str, Any] = {}
        if terminated or truncated or (cut and self._length == self._clock):
            info["episode"] = {"r": self._return, "l": self._length}
        if (terminated or truncated) and not cut:
            obs = self._restart()
            if self._whole_episodes:
                self._clock = 0
        return obs, float(reward), False, cut, info

    def _restart(self, **how: Any) -> Any:
        self._return, self._length = 0.0, 0
        return self.env.reset(**how)[0]


class PlainSpaces(gym.ObservationWrapper[Any, Any, Any]):
    """Observations as SB3 takes them: uint8 images with the channels first, masked; all else
    float32.
    """

    def __init__(self, env: Env, env_id: str, boxes: Sequence[Box]) -> None:
        super().__init__(env)
        self._env_id = env_id
        self._boxes = boxes
        self._inner = env.observation_space
        self.image_shape = image_shape(self._inner)
        """(C, H, W) of an image observation, else None."""
        if self.image_shape is not None:
            self.observation_space = spaces.Box(0, 255, self.image_shape, np.uint8)
        else:
            n = spaces.utils.flatdim(self._inner)
            shape = (self._inner.shape or (n,)) if isinstance(self._inner, spaces.Box) else (n,)
            self.observation_space = spaces.Box(-np.inf, np.inf, shape, np.float32)

    def observation(self, observation: Any) -> NDArray[Any]:
        """The environment's observation in the plain space.

        Raises:
            UserError: It is not of the shape or type that the environment promised.
        """
        inner = self._inner
        if isinstance(inner, spaces.Box) and np.shape(observation) != inner.shape:
            raise UserError(
                f"expected observations of shape {inner.shape} from {self._env_id}, as its "
                "observation_space says, got "
                f"{np.shape(observation)}"
            )
        if self.image_shape is None:
            if not isinstance(inner, spaces.Box):
                observation = spaces.utils.flatten(inner, observation)
            return np.asarray(observation, np.float32).reshape(self.observation_space.shape or ())
        image = np.array(observation)
        if image.dtype != np.uint8:
            raise UserError(
                f"expected image observations of uint8 from {self._env_id}, as its "
                "observation_space says, got "
                f"{image.dtype}; multiply by 255 if they are 0..1, and cast to uint8"
            )
        if image.shape != self.image_shape:
            image = image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))
        black_out(image, self._boxes)
        return image


def image_shape(space: spaces.Space[Any]) -> tuple[int, int, int] | None:
    """(C, H, W) where observations are images in any usual layout, else None."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return None
    shape = space.shape
    if len(shape) == 2:
        c, h, w = 1, shape[0], shape[1]
    elif not is_image_space(space):
        return None
    else:
        c, h, w = shape if is_image_space_channels_first(space) else (shape[2], shape[0], shape[1])
    return (c, h, w) if min(h, w) >= MIN_IMAGE_SIDE else None


class FramedVecEnv(DummyVecEnv):
    """Puts into the infos of every step, as `view`, the rendered frame of the observation it
    returns.
    """

    def __init__(self, env_fns: list[Callable[[], Env]], env_id: str, boxes: Sequence[Box]) -> None:
        super().__init__(env_fns)
        self._env_id = env_id
        self._boxes = boxes
        self._frame_shape: tuple[int, ...] | None = None

    def reset(self) -> VecEnvObs:
        """Reset every environment; the frames are in `reset_infos`."""
        obs = super().reset()
        for i in range(self.num_envs):
            self.reset_infos[i]["view"] = self._frame(i)
        return obs

    def step_wait(self) -> VecEnvStepReturn:
        """Step every environment; where one was reset, the frame is of the state after it."""
        obs, rewards, dones, infos = super().step_wait()
        for i in range(self.num_envs):
            infos[i]["view"] = self._frame(i)
            if dones[i]:
                self.reset_infos[i]["view"] = infos[i]["view"]
        return obs, rewards, dones, infos

    def _frame(self, env: int) -> NDArray[np.uint8]:
        frame = checked_frame(self.envs[env].render(), self._env_id)
        if self._frame_shape is None:
            self._frame_shape = frame.shape
        elif frame.shape != self._frame_shape:
            raise UserError(
                f"expected render() of {self._env_id} to return pictures of one size, "
                f"{self._frame_shape}, got "
                f"{frame.shape}"
            )
        black_out(frame.transpose(2, 0, 1), self._boxes)
        frame.flags.writeable = False
        return frame
