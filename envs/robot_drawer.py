"""Draw robots from stored physics states with MuJoCo's own renderer; no window, no GPU needed."""

from __future__ import annotations

import ctypes
import functools
import importlib
import json
import os
import sys
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs import WorldError

__all__ = ["RobotDrawer", "choose_gl", "gym_make"]

NO_GL = (
    "cannot draw robots: {cause}; install a software renderer (Debian, Ubuntu: apt install libegl1 "
    "libgl1-mesa-dri, or libosmesa6) or name one that works in the environment variable MUJOCO_GL"
)

OFF = ("off", "0", "false", "disable", "disabled")
"""What MuJoCo takes in MUJOCO_GL for no OpenGL."""

CAMERAS: dict[str, dict[str, Any]] = {
    "Reacher-v5": {"distance": 0.72, "elevation": -90.0, "lookat": (0.0, 0.0, 0.0)},
    "Pusher-v5": {"distance": 2.0, "elevation": -60.0, "lookat": (0.3, -0.2, -0.3)},
    "InvertedPendulum-v5": {"distance": 2.4, "elevation": 0.0, "lookat": (0.0, 0.0, 0.1)},
    "InvertedDoublePendulum-v5": {"distance": 3.4, "elevation": 0.0, "lookat": (0.0, 0.0, 0.0)},
}
"""For the tasks whose model has no camera called "track"; Gymnasium's own views show them tiny."""


@dataclass(frozen=True, slots=True)
class RobotDrawer:
    """Frames of one robot task from its physics states; holds no renderer, so it can be pickled."""

    env_id: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    width: int = 320
    height: int = 240

    def __post_init__(self) -> None:
        """Refuse sizes that are no picture."""
        if self.width < 1 or self.height < 1:
            raise WorldError(f"frames must be at least 1x1, got {self.width}x{self.height}")

    def draw(self, obs: NDArray[Any], view: NDArray[Any] | None) -> NDArray[np.uint8]:
        """Frames (T, height, width, 3) of the states `view` (T, state_size); `obs` is not needed.

        Raises:
            WorldError: if this machine cannot render, or the states are another robot's.
        """
        if view is None:
            raise WorldError(f"clips of {self.env_id} are drawn from views, and this one has none")
        kwargs = json.dumps(dict(self.env_kwargs), sort_keys=True)
        stage = _stage(self.env_id, kwargs, self.width, self.height, threading.get_ident())
        if view.ndim != 2 or view.shape[1] != stage.state_size:
            raise WorldError(f"expected states (T, {stage.state_size}) of {self.env_id}, got {view.shape}")
        return np.stack([stage.draw(state) for state in view])


class Stage:
    """One robot's model and a renderer looking at it; belongs to the thread that made it."""

    def __init__(self, env_id: str, env_kwargs: dict[str, Any], width: int, height: int) -> None:
        choose_gl()
        if os.environ.get("MUJOCO_GL", "").lower() in OFF:
            raise WorldError(NO_GL.format(cause="there is no OpenGL, or it is switched off"))
        import mujoco

        self._mujoco = mujoco
        env = gym_make(env_id, env_kwargs)
        self.model = env.get_wrapper_attr("model")
        env.close()
        self.data = mujoco.MjData(self.model)
        self._kind = mujoco.mjtState.mjSTATE_FULLPHYSICS
        self.state_size: int = mujoco.mj_stateSize(self.model, self._kind)
        vis = self.model.vis
        vis.global_.offwidth = max(vis.global_.offwidth, width)
        vis.global_.offheight = max(vis.global_.offheight, height)
        # Both cost a software renderer 25 times the rest of the picture, and a rater needs neither.
        vis.quality.shadowsize = 0
        vis.quality.offsamples = 0
        _floor_without_end(self.model, mujoco.mjtGeom.mjGEOM_PLANE)
        try:
            self._renderer = mujoco.Renderer(self.model, height, width)
        except Exception as error:  # what a missing driver raises differs from backend to backend
            raise WorldError(NO_GL.format(cause=str(error).splitlines()[0])) from error
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._renderer.scene.flags[flag] = 0
        self._camera = _camera(mujoco, self.model, env_id)

    def draw(self, state: NDArray[np.float64]) -> NDArray[np.uint8]:
        """One frame (height, width, 3) of one state (state_size,)."""
        mujoco, model, data = self._mujoco, self.model, self.data
        mujoco.mj_setState(model, data, state, self._kind)
        # What is seen depends on positions alone: no need of mj_forward's forces and contacts.
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        mujoco.mj_tendon(model, data)
        self._renderer.update_scene(data, self._camera)
        frame: NDArray[np.uint8] = self._renderer.render()
        return frame


def _floor_without_end(model: Any, plane: int) -> None:
    """Let planes, which end for the eye alone, go on: past the floor's edge nobody can judge a robot's speed.

    A texture that was laid `repeat` times over the whole plane is laid as densely as before, by the metre.
    """
    for geom in np.flatnonzero(model.geom_type == plane):
        half, material = model.geom_size[geom, :2].copy(), model.geom_matid[geom]
        if (half <= 0).any():
            continue
        if material >= 0 and not model.mat_texuniform[material]:
            model.mat_texrepeat[material] /= 2 * half
            model.mat_texuniform[material] = 1
        model.geom_size[geom, :2] = 0.0  # MuJoCo's word for a plane without end


@functools.lru_cache(maxsize=2)
def _stage(env_id: str, env_kwargs: str, width: int, height: int, thread: int) -> Stage:
    """Keep the last stages, for each thread its own: an OpenGL context cannot serve two."""
    del thread
    return Stage(env_id, json.loads(env_kwargs), width, height)


def _camera(mujoco: Any, model: Any, env_id: str) -> Any:
    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    track = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
    if track >= 0:  # follows the robot, which a free camera would lose within seconds
        camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = track
        return camera
    for name, value in CAMERAS.get(env_id, {}).items():
        if name == "lookat":
            camera.lookat[:] = value
        else:
            setattr(camera, name, value)
    return camera


def gym_make(env_id: str, env_kwargs: Mapping[str, Any]) -> gym.Env[Any, Any]:
    """`gymnasium.make` for a MuJoCo task, quiet about the age of Gymnasium's own model files.

    MuJoCo 4 would tell of a deprecated attribute, once for every copy, on stderr and in a file
    MUJOCO_LOG.TXT left in the user's folder.
    """
    import mujoco

    told: list[str] = []
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(told.append)
    try:
        env = gym.make(env_id, disable_env_checker=True, **env_kwargs)
    finally:
        mujoco.set_mju_user_warning(before)
    for text in told:
        if "is deprecated" not in text:
            warnings.warn(f"MuJoCo on {env_id}: {text}", stacklevel=2)
    return env


def choose_gl() -> None:
    """Choose an OpenGL that needs no display, unless the user has in MUJOCO_GL.

    EGL comes first, then OSMesa. Also where there is a display: GLFW, MuJoCo's choice there, draws
    on the main thread only.
    """
    if sys.platform != "linux" or "MUJOCO_GL" in os.environ:
        return
    if _has_egl_device():
        os.environ["MUJOCO_GL"] = "egl"
    elif _has_library("libOSMesa.so.8") or _has_library("libOSMesa.so"):
        os.environ["MUJOCO_GL"] = "osmesa"
    elif "DISPLAY" in os.environ:
        return
    else:
        os.environ["MUJOCO_GL"] = "off"  # drawing says what to install; all else works
    if "mujoco" in sys.modules:  # it reads the choice once, when first imported
        import mujoco

        importlib.reload(sys.modules[mujoco.Renderer.__module__].gl_context)


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _has_egl_device() -> bool:
    """Whether EGL is there and knows a device; libEGL alone, without a driver, is common."""
    if not _has_library("libEGL.so.1"):
        return False
    egl = ctypes.CDLL("libEGL.so.1")
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return False
    prototype = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))
    n_devices = ctypes.c_int(0)
    return bool(prototype(address)(0, None, ctypes.byref(n_devices))) and n_devices.value > 0
