"""Failure points: what arms them, what an armed one does, and that each there is gets passed and is tested."""

import ast
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labeling import failpoints
from prefrl import cli

ROOT = Path(__file__).parent.parent
NAMES = sorted(failpoints.POINTS)

THREE_TIMES = """
from labeling.failpoints import failpoint
for i in range(3):
    print("before", i, flush=True)
    failpoint("trainer.lock")
print("through", flush=True)
"""


def run(code: str, armed: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), failpoints.VARIABLE: armed}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False, timeout=timeout
    )


def test_a_point_that_is_not_armed_does_nothing() -> None:
    done = run(THREE_TIMES, "")
    assert (done.returncode, done.stdout.split()[-1]) == (0, "through")


def test_kill_is_sigkill_at_the_pass_that_was_named() -> None:
    done = run(THREE_TIMES, "trainer.lock:after=1:kill")
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["before", "0", "before", "1"]


def test_a_point_fails_once() -> None:
    code = THREE_TIMES.replace('failpoint("trainer.lock")', 'fail_quietly("trainer.lock")').replace(
        "for i", "def fail_quietly(name):\n    try: failpoint(name)\n    except OSError as e: print(e.errno)\nfor i", 1
    )
    done = run(code, "trainer.lock:enospc")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["before", "0", "28", "before", "1", "before", "2", "through"]


def test_raise_is_an_error_that_names_the_point() -> None:
    done = run(THREE_TIMES, "trainer.lock:raise")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "RuntimeError: the failure point trainer.lock was armed"


def test_hang_never_comes_back() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), failpoints.VARIABLE: "trainer.lock:hang"}
    with subprocess.Popen([sys.executable, "-c", THREE_TIMES], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "before 0\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.kill()


def test_several_points_may_be_armed() -> None:
    armed = failpoints.parse("trainer.lock:after=17:enospc,reward.fit:kill")
    assert {name: (point.action, point.left) for name, point in armed.items()} == {
        "trainer.lock": ("enospc", 17),
        "reward.fit": ("kill", 0),
    }
    assert failpoints.parse("") == {}


MALFORMED = ["nonsense", "trainer.lock", "trainer.lock:explode", "trainer.lock:after=x:kill", "no.such:kill",
             "trainer.lock:kill:raise", "trainer.lock:after=:kill"]  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(failpoints.FailpointError, match=re.escape(f"got {text!r}")):
        failpoints.parse(text)


@pytest.mark.parametrize("args", [["doctor"], ["eval", "nowhere"], ["train", "--env-id", "prefrl/Dot-v0"]])
def test_a_malformed_variable_is_one_line_and_exit_code_2(args: list[str]) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), failpoints.VARIABLE: "trainer.lock:explode"}
    command = [sys.executable, "-m", "prefrl.cli", *args]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("prefrl: expected PREFRL_FAIL as POINT[:after=N]:kill|enospc|hang|raise, got ")


def test_doctor_lists_every_point_with_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--failpoints"]) == 0
    said = capsys.readouterr().out
    for name, sentence in failpoints.POINTS.items():
        assert re.search(rf"^{re.escape(name)} +{re.escape(sentence)}$", said, re.MULTILINE), name


def passed_points() -> dict[str, list[str]]:
    """The names that the code passes, each with the files that do."""
    found: dict[str, list[str]] = {}
    for package in ("envs", "labeling", "prefrl"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _called(node.func) == "failpoint":
                    (name,) = node.args
                    assert isinstance(name, ast.Constant), f"{path} names a point by a variable"
                    found.setdefault(str(name.value), []).append(path.name)
    return found


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_every_point_is_passed_somewhere_and_none_is_passed_that_is_not_listed() -> None:
    assert sorted(passed_points()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_point_is_named_by_some_other_test(name: str) -> None:
    """By itself, or as all of its kind: `startswith("clip.")`."""
    kind = re.escape(f'startswith("{name.split(".")[0]}.")')
    named = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w.])|{kind}")
    tests = [p for p in (ROOT / "tests").glob("*.py") if p.name != Path(__file__).name]
    assert any(named.search(p.read_text(encoding="utf-8")) for p in tests), f"no test arms {name}"


def test_every_point_has_a_sentence() -> None:
    for name, sentence in failpoints.POINTS.items():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", name), name
        assert len(sentence.split()) > 4, name
