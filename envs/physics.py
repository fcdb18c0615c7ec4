"""The state of a MuJoCo simulation: what draws it, and what it goes on from to the last bit."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

__all__ = ["get_physics", "put_physics", "read_state"]

_DERIVED = (
    *("x", "geom_x", "site_x", "cam_x", "light_x", "subtree_", "cinert", "cvel", "cacc", "cfrc", "cdof", "crb"),
    *("actuator_", "qfrc_", "qacc", "sensordata", "energy"),
)
"""How names begin of what MuJoCo derives from a state and a task may read; the model fixes the size of each."""


def read_state(env: gym.Env[Any, Any]) -> NDArray[np.float64]:
    """The full physics state of a bare MuJoCo environment now, (state_size,): enough to draw it."""
    import mujoco

    physics: Any = env
    state = _get(physics.model, physics.data, int(mujoco.mjtState.mjSTATE_FULLPHYSICS))
    state.flags.writeable = False
    return state


def get_physics(env: Any) -> dict[str, Any]:
    """What a bare MuJoCo environment goes on from: as plain arrays.

    Besides MuJoCo's integration state there is everything it has derived from states before: it lags half a step
    behind, and tasks read it, such as the place of a body before a step.
    """
    import mujoco

    return {
        "integration": _get(env.model, env.data, int(mujoco.mjtState.mjSTATE_INTEGRATION)),
        "derived": {name: array.copy() for name, array in _derived(env.data).items()},
    }


def put_physics(env: Any, state: dict[str, Any]) -> None:
    """Put a bare MuJoCo environment of the same task into a state that `get_physics` gave."""
    import mujoco

    kind = int(mujoco.mjtState.mjSTATE_INTEGRATION)
    mujoco.mj_setState(env.model, env.data, state["integration"], kind)
    mujoco.mj_forward(env.model, env.data)
    for name, array in _derived(env.data).items():
        array[...] = state["derived"][name]
    mujoco.mj_setState(env.model, env.data, state["integration"], kind)  # the forward pass had begun the next step


def _get(model: Any, data: Any, kind: int) -> NDArray[np.float64]:
    import mujoco

    state = np.empty(mujoco.mj_stateSize(model, kind), np.float64)
    mujoco.mj_getState(model, data, state, kind)
    return state


def _derived(data: Any) -> dict[str, NDArray[np.float64]]:
    arrays = {name: getattr(data, name) for name in dir(data) if name.startswith(_DERIVED)}
    return {k: v for k, v in arrays.items() if isinstance(v, np.ndarray) and v.dtype == np.float64 and v.size}
