"""The peer beside us: prefrl and `imitation` on the same work, run after run in turn, time and return.

    make bench-peer PEER=peer-venv/bin/python      # the environment that runs/imitation_run.py describes

HalfCheetah and Hopper, 100k steps, 350 answers, three seeds; for each seed the peer, then prefrl, one training at a
time, so that both meet the same machine. The peer needs an old Gymnasium, whose robots are the v4 ones; prefrl trains
on v5 without an early end. Both policies are then judged on both: Gymnasium's own task as it comes, early end and all,
and the same where a fall ends nothing, each episode 1,000 steps (v4 for the peer's, v5 for ours: the same robot and
reward but for v5's corrections). Asked for 100,000 steps the peer trains on more, so that prefrl is trained a second
time, on as many as the peer's own counter then says. Writes runs/results/peer.md and peer.jsonl, and goes on where it
was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

TASKS, SEEDS = ("HalfCheetah", "Hopper"), (0, 1, 2)
STEPS, LABELS, EPISODES = 100_000, 350, 20
OUT = Path("runs/results")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def run_peer(python: str, task: str, seed: int) -> dict[str, Any]:
    """What the peer's script says of one training."""
    args = [python, "runs/imitation_run.py", f"{task}-v4", "--steps", str(STEPS), "--labels", str(LABELS)]
    done = subprocess.run([*args, "--seed", str(seed)], env=ONE_THREAD, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {name: found[name] for name in ("seconds", "steps_taken", "env_return", "env_return_endless")}


def run_ours(task: str, seed: int, steps: int) -> dict[str, Any]:
    """One training of ours: its seconds, and the return of its policy on Gymnasium's own task."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        args = f"train --env-id {task}-v5 --total-labels {LABELS} --total-timesteps {steps} --seed {seed} --no-progress"
        command = [sys.executable, "-m", "prefrl.cli", *args.split(), "--run-dir", str(run)]
        begin = time.perf_counter()
        subprocess.run(command, env=ONE_THREAD, stdout=subprocess.DEVNULL, check=True)
        whole = time.perf_counter() - begin
        result = json.loads((run / "result.json").read_text())
        return {
            "seconds": result["seconds"]["total"],
            "seconds_whole": round(whole, 1),
            "env_return": round(plain_return(f"{task}-v5", run / "policy.zip", seed), 1),
            "env_return_endless": round(result["env_return"], 1),
        }


def plain_return(env_id: str, policy: Path, seed: int) -> float:
    """Mean env return of a saved policy on Gymnasium's task as it comes."""
    import gymnasium as gym
    from stable_baselines3 import PPO

    agent, env = PPO.load(policy, device="cpu"), gym.make(env_id)
    returns = []
    for episode in range(EPISODES):
        obs, _ = env.reset(seed=1000 * (seed + 1) + episode)
        total, is_over = 0.0, False
        while not is_over:
            obs, reward, terminated, truncated, _ = env.step(agent.predict(obs, deterministic=True)[0])
            total, is_over = total + float(reward), terminated or truncated
        returns.append(total)
    env.close()
    return mean(returns)


def table(runs: list[dict[str, Any]], ours: str) -> list[str]:
    """Lines of the table of the runs there are, with those of prefrl that are called `ours`."""
    lines = [
        "| task | seed | imitation s | prefrl s | times as fast | imitation return | prefrl return "
        "| imitation, no early end | prefrl, no early end |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        a, b = run["imitation"], run[ours]
        lines.append(
            f"| {run['task']} | {run['seed']} | {a['seconds']:.0f} | {b['seconds']:.0f} | "
            f"{a['seconds'] / b['seconds']:.1f} | {a['env_return']:.0f} | {b['env_return']:.0f} | "
            f"{a['env_return_endless']:.0f} | {b['env_return_endless']:.0f} |"
        )
    for task in TASKS:
        mine = [run for run in runs if run["task"] == task]
        if mine:
            ratios = [run["imitation"]["seconds"] / run[ours]["seconds"] for run in mine]
            judged = [(who, how) for how in ("env_return", "env_return_endless") for who in ("imitation", ours)]
            means = " | ".join(f"{mean(run[who][how] for run in mine):.0f}" for who, how in judged)
            lines.append(f"| **{task}** | {len(mine)} seeds | | | **{median(ratios):.1f}** | {means} |")
    return lines


def page(runs: list[dict[str, Any]]) -> str:
    """Both tables, and what they are of."""
    taken = sorted({run["imitation"]["steps_taken"] for run in runs})
    about = (
        f"{LABELS} answers of a teacher without fault, the same PPO settings, ensembles of 3, pairs by disagreement;\n"
        "seconds of training alone; returns on Gymnasium's own task, early end and all, and where a fall ends\n"
        "nothing (v4 for imitation, which trains on the former, v5 for prefrl, which trains on the latter: for it an\n"
        "early end is a score in disguise). For each seed one after the other on the same machine; the last rows of\n"
        "each table are the median ratio and mean returns. Printed by `make bench-peer`."
    )
    more = (
        "imitation trains once more than it has rounds, and each time to the end of a rollout: asked for "
        f"{STEPS:,}\nsteps it took {' or '.join(f'{steps:,}' for steps in taken)}, by its own counter."
    )
    lines = ["# The peer beside us: imitation 1.0.1", "", about, "", f"## Both asked for {STEPS:,} steps", ""]
    lines += [*table(runs, "prefrl"), "", "## As many steps as imitation took", "", more, ""]
    return "\n".join([*lines, *table(runs, "prefrl_as_many"), ""])


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="the Python of the peer's environment")
    args = parser.parse_args()
    kept = OUT / "peer.jsonl"
    runs = [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []
    done = {(run["task"], run["seed"]) for run in runs}
    for seed in SEEDS:
        for task in TASKS:
            if (task, seed) not in done:
                peer = run_peer(args.peer_python, task, seed)
                run = {"task": task, "seed": seed, "imitation": peer, "prefrl": run_ours(task, seed, STEPS)}
                runs.append({**run, "prefrl_as_many": run_ours(task, seed, peer["steps_taken"])})
                kept.write_text("".join(json.dumps(run) + "\n" for run in runs))
                sys.stderr.write(f"done: {json.dumps(runs[-1])}\n")
    runs.sort(key=lambda run: (run["task"], run["seed"]))
    (OUT / "peer.md").write_text(page(runs))
    sys.stdout.write(page(runs))


if __name__ == "__main__":
    main()
