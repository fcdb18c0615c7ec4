"""The guard stands right above the world: nothing that is no number gets past it, and what fails is said in one line.

It keeps a tape of what each environment was given, so that what failed can be seen again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from prefrl.errors import UserError, WorldFault
from prefrl.game_errors import place, said
from prefrl.tape import Tape, Tapes


@dataclass(frozen=True, slots=True)
class EpisodeEnd:
    """An episode that ended, seen from below the recorder."""

    env: int
    step: int
    """The environment's step, counted since the run began, that was the episode's last."""
    env_return: float | None
    """None where it was cut and counts for nothing: what its clock left of a game's later episode, or a lost one."""


class Guard(VecEnvWrapper):
    """Stops at the first observation or env reward that is not finite, and notes the episodes that end.

    Every method raises `WorldFault` where the world fails, with the tape that leads there where there is one.

    Args:
        venv: The world's own.
        note_ends: Whether somebody takes the episodes that end; where nobody does, they would pile up.
    """

    def __init__(self, venv: VecEnv, *, note_ends: bool = False) -> None:
        super().__init__(venv)
        self.n_steps = 0
        self._note_ends = note_ends
        self._ends: list[EpisodeEnd] = []
        self._actions: NDArray[Any] | None = None
        self._tapes = Tapes()
        self._no_tape = ""
        """Why there is no tape, to be said after a fault; empty where there is one."""

    def reset(self) -> VecEnvObs:
        """Reset every environment."""
        self._actions = None
        # Stable-Baselines3 forgets the seeds in the reset; there is no public way to ask for them.
        self._tapes.begin(self.venv._seeds)
        self._no_tape = ""
        try:
            obs = self.venv.reset()
        except WorldFault as e:
            self._add_tape(e)
            raise
        except UserError:
            raise
        except (Exception, SystemExit) as e:
            raise self._fault(e, "in its reset") from e
        self._check(obs, "observation after reset")
        return obs

    def step_async(self, actions: NDArray[Any]) -> None:
        """Pass the actions on, noting them."""
        self._actions = np.asarray(actions)
        self._tapes.add(self._actions)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Step every environment."""
        try:
            obs, rewards, dones, infos = self.venv.step_wait()
        except WorldFault as e:
            self._add_tape(e)
            raise
        except UserError:
            raise
        except (Exception, SystemExit) as e:
            raise self._fault(e, f"at its step {self.n_steps}") from e
        self._check(obs, "observation")
        self._check(rewards, "env reward")
        if dones.any():
            last = [info.get("terminal_observation", 0.0) for info in infos]
            for over in np.flatnonzero(dones):
                self._check(last[over], "last observation", int(over))
        if "restarted" in infos[0]:
            self._tapes.begin([info["restarted"] for info in infos])
            self._no_tape = ""
        if self._note_ends:
            for env, info in enumerate(infos):
                if "episode" in info or dones[env]:
                    env_return = float(info["episode"]["r"]) if "episode" in info else None
                    self._ends.append(EpisodeEnd(env, self.n_steps, env_return))
        self.n_steps += 1
        return obs, rewards, dones, infos

    def go_on_elsewhere(self) -> None:
        """The environments have been put where they were in an earlier process: no tape of this one leads there."""
        self._tapes.begin([])
        self._no_tape = "; no crash.npz is left to see it again, for the run was resumed in the middle of episodes"

    def take_ends(self) -> list[EpisodeEnd]:
        """The episodes that ended since the last call."""
        ends, self._ends = self._ends, []
        return ends

    def _check(self, values: Any, what: str, env: int | None = None) -> None:
        """Stop unless all values are finite: of all environments, or of this one."""
        values = np.asarray(values)
        if values.dtype.kind != "f" or np.isfinite(values).all():
            return
        if env is None:
            rows = values.reshape(self.num_envs, -1)
            env = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            values = rows[env]
        acted = "" if self._actions is None else f" after action {_brief(self._actions[env])}"
        fault = WorldFault(
            f"expected a finite {what}, got {values[~np.isfinite(values)][0]} from environment {env} at its "
            f"step {self.n_steps}{acted}; the world is broken there, nothing was learned from it",
            env,
        )
        self._add_tape(fault)
        raise fault

    def _add_tape(self, fault: WorldFault) -> None:
        """Add what leads there again, or why there is nothing."""
        if fault.fresh_seed is not None:
            fault.tape = Tape(fault.fresh_seed, np.empty(0))
        elif fault.env is not None:
            fault.tape = self._tapes.of(fault.env)
            fault.args = (f"{fault}{self._no_tape}",)

    def _fault(self, error: BaseException, when: str) -> WorldFault:
        """What to raise instead of what a world in this process raised, which does not say of which copy it is."""
        return WorldFault(f"one of {self.num_envs} environments raised {said(error)}{place(error)} {when}")


def _brief(action: Any) -> str:
    return np.array2string(np.asarray(action), precision=4, threshold=8)
