"""Two trainers on one run folder: the second is told who trains there, and a killed one leaves no lock."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from prefrl.errors import UserError
from prefrl.trainer_lock import only_trainer

ROOT = Path(__file__).parent.parent

HOLD = """
import os, sys
from pathlib import Path
from prefrl.trainer_lock import only_trainer
with only_trainer(Path(sys.argv[1])):
    if sys.argv[2:]:  # as the process of a game does, a fork outlives its parent
        if os.fork() == 0:
            os.write(1, b"%d\\n" % os.getpid())
            os.read(0, 1)
            os._exit(0)
    os.write(1, b"held\\n")
    os.read(0, 1)
"""


def holder(path: Path, *args: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), *args],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process


def test_the_second_is_refused_and_after_kill_9_of_the_first_accepted_20_of_20(tmp_path: Path) -> None:
    path = tmp_path / "trainer.lock"
    n_refused = n_accepted = 0
    for _ in range(20):
        with holder(path) as first:
            assert first.stdout is not None
            assert first.stdout.readline() == "held\n"
            with pytest.raises(UserError) as refused, only_trainer(path):
                pass
            words = str(refused.value)
            n_refused += f"process {first.pid} on {socket.gethostname()}, since 20" in words
            first.send_signal(signal.SIGKILL)
            first.wait()
        with only_trainer(path):
            n_accepted += json.loads(path.read_text())["pid"] == os.getpid()
    assert (n_refused, n_accepted) == (20, 20)


def test_a_forked_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "trainer.lock"
    with holder(path, "fork") as first:
        assert first.stdout is not None
        lines = {first.stdout.readline().strip() for _ in range(2)}
        (fork,) = lines - {"held"}
        first.send_signal(signal.SIGKILL)
        first.wait()
        os.kill(int(fork), 0)  # it lives
        with only_trainer(path):
            pass


def test_the_lock_is_let_go_and_says_nothing_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "trainer.lock"
    for _ in range(2):
        with only_trainer(path):
            assert json.loads(path.read_text())["host"] == socket.gethostname()
        assert path.read_text() == ""


def test_a_lock_file_that_says_nonsense_is_still_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "trainer.lock"
    with only_trainer(path):
        path.write_text("[" * 4000)
        with pytest.raises(UserError, match="a process that does not say who it is"), only_trainer(path):
            pass


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "trainer.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(UserError, match="expected to lock the run"), only_trainer(tmp_path / "trainer.lock"):
        pass
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.slow
def test_a_trainer_that_was_killed_hands_its_run_to_the_next(tmp_path: Path) -> None:
    """PREFRL_FAIL=trainer.lock:kill is the earliest moment at which a stale lock could be left."""
    base = [sys.executable, "-m", "prefrl.cli", "train"]
    small = ["--env-id", "prefrl/Dot-v0", "--total-labels", "8", "--total-timesteps", "600", "--eval.episodes", "2"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = ["--run-dir", str(tmp_path / "run"), "--no-progress"]
    done = subprocess.run([*base, *small, *run], env=env, check=False)
    assert done.returncode == 0
    more = [*base, *run, "--resume", "--total-timesteps", "1200"]
    done = subprocess.run(more, env={**env, "PREFRL_FAIL": "trainer.lock:kill"}, check=False)
    assert done.returncode == -signal.SIGKILL
    with only_trainer(tmp_path / "run" / "trainer.lock"):
        refused = subprocess.run(more, env=env, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert f"but process {os.getpid()} on" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert subprocess.run(more, env=env, check=False).returncode == 0
