"""Stuck: where a training returns little, is it the reward model that is wrong, or the agent that did not find its way?

    prefrl bench runs/reward-std.toml --fresh     # trainings that are looked at
    python -m runs.stuck                          # two minutes

For every training of the suite on a robot that can fall, what its reward model gives, per step and in units of its
standard deviation over labeled clips, to what its own agent does and to the three best other policies of the same
robot, actions drawn as in training. And, of what drawn actions do to a robot (it falls within a second and lies there):
how far standing is above lying, in standard deviations of the reward while it lies, learned and by the env reward.
Prints and writes runs/results/stuck.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import load_file

from prefrl.cell import Cell
from prefrl.cell_folder import CellFolder
from prefrl.errors import UserError
from prefrl.reward_model import Inputs, RewardModel
from prefrl.suite import read_suite
from runs.fits import CONSOLE, Behaviour, behave, publish, run_or_say

OUT = Path("runs/results/stuck.md")
ROBOTS = ("Hopper-v5", "Walker2d-v5")
"""Those that can fall."""
N_BEST, N_FALLS, N_STEPS = 3, 8, 400


@dataclass(frozen=True, slots=True)
class Fall:
    """What drawn actions do: N_FALLS episodes of N_STEPS steps, one after the other."""

    obs: NDArray[np.float32]
    """(N_FALLS * N_STEPS, O)."""
    actions: NDArray[np.float32]
    env_rewards: NDArray[np.float64]
    stands: NDArray[np.bool_]
    """Whether the env calls the robot healthy."""


def fall(env_id: str) -> Fall:
    """Let a robot act by chance, as an untrained policy does."""
    env = gym.make(env_id, terminate_when_unhealthy=False)
    rng = np.random.default_rng(0)
    assert isinstance(env.action_space, gym.spaces.Box)
    rows: list[tuple[Any, Any, float, bool]] = []
    for episode in range(N_FALLS):
        obs, _ = env.reset(seed=episode)
        for _ in range(N_STEPS):
            action = rng.normal(size=env.action_space.shape).clip(-1, 1).astype(np.float32)
            before = obs
            obs, reward, _, _, _ = env.step(action)
            rows.append((before, action, float(reward), bool(env.unwrapped.is_healthy)))  # type: ignore[attr-defined]  # of MuJoCo's robots
    env.close()
    obs_of, actions, rewards, stands = zip(*rows, strict=True)
    return Fall(np.array(obs_of, np.float32), np.array(actions), np.array(rewards), np.array(stands))


def model_of(cell: Cell, folder: CellFolder, like: Behaviour) -> RewardModel:
    """The reward model that a training ended with."""
    inputs = Inputs(like.obs.shape[2:], None, like.actions.shape[-1], is_image=False, n_stack=1)
    model = RewardModel(inputs, cell.config.reward_model, seed=0)
    model.load_state_dict(load_file(folder.run.reward))
    return model.eval()


def standing(rewards: NDArray[Any], stands: NDArray[np.bool_]) -> float:
    """How far the reward of standing is above that of lying, in standard deviations of the latter."""
    return float((rewards[stands].mean() - rewards[~stands].mean()) / rewards[~stands].std())


def main() -> None:
    """Look at every training, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, default=Path("runs/reward-std.toml"), help="its trainings are looked at")
    parser.add_argument("--cells", type=Path, default=Path("runs/cells"), help="where they are")
    args = parser.parse_args()
    torch.set_num_threads(1)
    places = [(cell, CellFolder(args.cells / cell.key)) for cell in read_suite(args.suite).cells]
    places = [
        (cell, folder)
        for cell, folder in places
        if cell.config.env_id in ROBOTS and cell.config.reward != "score" and folder.run.reward.is_file()
    ]
    if not places:
        raise UserError(
            f"expected trained cells of {args.suite} in {args.cells}, got none; prefrl bench {args.suite} --fresh"
        )
    lines = [
        "# Stuck: is it the reward, or the agent?",
        "",
        "Printed by `python -m runs.stuck`; runs/stuck.py says what is measured. Own and others: the learned reward",
        f"per step of what the run's own agent does and of the {N_BEST} best other policies of the same robot.",
        "Standing: how far the reward of standing is above that of lying, in standard deviations of the latter, in",
        "what drawn actions do.",
    ]
    for env_id in ROBOTS:
        mine = [(cell, folder) for cell, folder in places if cell.config.env_id == env_id]
        if mine:
            lines += _of_robot(env_id, mine)
    publish(lines, OUT)


def _of_robot(env_id: str, places: list[tuple[Cell, CellFolder]]) -> list[str]:
    fallen = fall(env_id)
    seen = [
        (cell, folder, outcome, behave(cell, folder))
        for cell, folder in track(places, f"{env_id}: policies", console=CONSOLE)
        if (outcome := folder.read()) is not None
    ]
    seen.sort(key=lambda x: x[2].env_return)
    lines = [
        "",
        f"## {env_id}",
        "",
        f"Standing by the env reward: {standing(fallen.env_rewards, fallen.stands):.2f}.",
        "",
    ]
    lines += ["| labels | setting | seed | env return | own | others | standing |", "|---|---|---|---|---|---|---|"]
    for i, (cell, folder, outcome, own) in enumerate(seen):
        model = model_of(cell, folder, own)
        unit = cell.config.reward_model.reward_std
        best = [x[3] for x in (seen[:i] + seen[i + 1 :])[-N_BEST:]]
        others = mean(float(model.rewards(b.obs, b.actions).mean()) for b in best) / unit
        its = float(model.rewards(own.obs, own.actions).mean()) / unit
        stands = standing(model.rewards(fallen.obs[None], fallen.actions[None])[0], fallen.stands)
        numbers = f"{outcome.env_return:,.0f} | {its:.2f} | {others:.2f} | {stands:.2f}"
        lines.append(f"| {outcome.labels} | {cell.variant} | {outcome.seed} | {numbers} |")
    return lines


if __name__ == "__main__":
    run_or_say(main)
