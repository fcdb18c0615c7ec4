"""The README's own-game walk, as it stands there, in a project that has a package called envs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import PPO

ROOT = Path(__file__).parent.parent


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
def test_a_game_of_ones_own_trains_from_another_folder_in_under_30_lines(tmp_path: Path) -> None:
    game, script, play = python_blocks()
    assert game == (ROOT / "prefrl" / "templates" / "my_game.py.txt").read_text(encoding="utf-8")
    assert len(script.strip().splitlines()) < 30
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "__init__.py").write_text("MINE = True\n", encoding="utf-8")
    (tmp_path / "my_game.py").write_text(game, encoding="utf-8")
    (tmp_path / "teach.py").write_text("import envs\nassert envs.MINE\n" + script, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "teach.py"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "val_accuracy" in done.stdout
    (tmp_path / "play.py").write_text(play, encoding="utf-8")
    subprocess.run([sys.executable, "play.py"], cwd=tmp_path, env=env, check=True)
    agent = PPO.load(tmp_path / "runs" / "mine" / "policy.zip", device="cpu")
    position = np.zeros(2, np.float32)
    moves = np.array([(0, 0), (0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1)], np.float32)
    for _ in range(30):  # the bot does what the labeler liked: it goes to the right
        action, _ = agent.predict(position, deterministic=True)
        position = np.clip(position + moves[int(action)], -1, 1)
    assert position[0] > 0.8
