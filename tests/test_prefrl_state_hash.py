"""`prefrl state-hash`: quick to say how it is used, one clear line where there is nothing to hash."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prefrl import cli
from prefrl.checkpoint import Checkpoint, save_checkpoint
from prefrl.plain import Packer
from prefrl.state_hash import state_hashes


def run_folder(folder: Path) -> Path:
    (folder / "config.toml").write_text("", encoding="utf-8")
    return folder


def state(steps: int, x: float) -> Checkpoint:
    packer = Packer()
    parts = {"agent": packer.pack({"obs": torch.zeros(3).numpy()}, "agent")}
    tensors = {f"plain/{k}": torch.from_numpy(v) for k, v in packer.arrays.items()}
    return Checkpoint({"policy/w": torch.full((2,), x), **tensors}, {"steps": steps, "seconds": {}, "parts": parts})


def test_it_prints_a_line_for_every_part_and_one_over_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for steps in (5, 10):
        save_checkpoint(run_folder(tmp_path) / "checkpoints", steps, state(steps, 1.0))
    assert cli.main(["state-hash", str(tmp_path)]) == 0
    lines = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert list(lines) == ["agent", "policy", "steps", "all"]
    assert all(len(digest) == 64 for digest in lines.values())
    assert lines == state_hashes(state(10, 1.0))
    assert cli.main(["state-hash", str(tmp_path), "--checkpoint", "5"]) == 0
    earlier = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert {k for k in lines if lines[k] != earlier[k]} == {"steps", "all"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "expected a whole checkpoint under"),
        (["--checkpoint", "7"], "expected a whole checkpoint of 7 steps under"),
    ],
)
def test_where_there_is_none_that_is_said(
    args: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["state-hash", str(run_folder(tmp_path)), *args]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"prefrl: {words}")
    assert len(said.splitlines()) == 1


def test_a_run_that_is_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["state-hash", str(tmp_path / "nothing")]) == 2
    assert "expected the folder of a run" in capsys.readouterr().err


def test_its_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom prefrl.cli import main\n"
        "try:\n    main(['state-hash', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'gymnasium', 'stable_baselines3', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "--checkpoint" in out
    assert out.strip().endswith("[]")
