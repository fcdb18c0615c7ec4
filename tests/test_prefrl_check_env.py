"""`prefrl check-env`: a good game is ok throughout, a broken one exits 2, and rows are readable."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import checked_games
import gymnasium as gym
import pytest

from prefrl import check_env_apart, check_env_calls, check_env_speed
from prefrl.check_env import lines, main_check
from prefrl.check_env_finding import Finding
from prefrl.check_env_run import check
from prefrl.errors import UserError

GOOD_FILE = """
import gymnasium as gym
from {test} import Good
print("hello from the game")
{more}
gym.register("Told-v0", Good, max_episode_steps=60)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the user's, to which the program goes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parent)])
    monkeypatch.setattr(check_env_speed, "_TIMED_SECONDS", 0.1)
    yield tmp_path
    gym.registry.pop("Told-v0", None)


def test_a_good_game_is_ok_throughout_and_its_command_printed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (folder / "told_good.py").write_text(GOOD_FILE.format(test=checked_games.__name__, more=""))
    assert main_check(["told_good:Told-v0", "--steps", "60", "--mask", "0,0,8,8"]) == 0
    out = capsys.readouterr().out
    starts = [line[:19] for line in out.splitlines() if line[:5] in ("ok   ", "warn ", "bad  ")]
    names = [start[6:].strip() for start in starts]
    assert {start[:4].strip() for start in starts} == {"ok"}, out
    assert names == [
        *("found", "constructor", "observations", "actions", "reset", "step", "same seed", "controls", "render_fps"),
        *("pictures", "drawing", "mask", *(["window"] if "pygame" in sys.modules else []), "copies", "episodes"),
        *("clips", "speed", "memory", "close", "processes", "score", "proof", "time"),
    ]
    assert "hello" not in out
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert out.splitlines()[-1].strip() == (
        'prefrl train --env-id told_good:Told-v0 --mask 0,0,8,8 --labeler window --task "what you like to see"'
    )


def test_a_broken_game_exits_2_and_json_has_the_rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "def step(self, action): print('step', action); return {}['x']\nGood = type('Bad', (Good,), {'step': step})"
    (folder / "told_bad.py").write_text(GOOD_FILE.format(test=checked_games.__name__, more=more))
    assert main_check(["told_bad:Told-v0", "--json", "--traceback"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["env_id"], said["trainable"]) == ("told_bad:Told-v0", False)
    bad = next(row for row in said["findings"] if row["status"] == "bad")
    assert bad["detail"].startswith("step() raised KeyError: 'x' in told_bad.py line 5 at step 1, action ")
    assert "Traceback" in bad["trace"]
    assert said["findings"][-1]["detail"] == 'prints 1 lines, the first "step 0"'.replace("0", bad["detail"][-1])
    assert main_check(["told_bad:Told-v0"]) == 2
    out = capsys.readouterr().out
    assert "Traceback" not in out
    assert "told_bad:Told-v0 cannot be trained yet: 1 to put right. --traceback shows where it failed." in out


CRASHES = {
    "hangs": (
        "lock = ctypes.create_string_buffer(64); c = ctypes.PyDLL(None).pthread_mutex_lock; c(lock); c(lock)",
        r"step\(\) did not come back within 2 s in told_hangs\.py line 7 at step 3",
        "it may wait for a key",
    ),
    "breaks": (
        "ctypes.string_at(0)",
        r"step\(\) ended its process by signal 11 \(SIGSEGV\) in told_breaks\.py line 7 at step 3",
        "what it calls there is broken",
    ),
    "leaves": ("os._exit(0)", r"step\(\) ended its process with exit code 0 at step 3", "returning terminated=True"),
    "killed": ("os.kill(os.getpid(), 9)", r"step\(\) ended its process by signal 9 \(SIGKILL\) at step 3", "memory"),
}


@pytest.mark.parametrize("how", CRASHES)
def test_a_game_that_hangs_or_ends_the_program_in_c_is_a_row_too(
    how: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_env_calls.call, "__kwdefaults__", {"at": str, "limit": 2.0})
    monkeypatch.setattr(check_env_apart, "_GRACE_SECONDS", 0.5)
    does, detail, remedy = CRASHES[how]
    step = f"\n    if self.n == 2:\n        {does}\n    return Good_.step(self, action)"
    more = f"import ctypes, os; Good_ = Good\ndef step(self, action):{step}\n"
    more += "Good = type('Bad', (Good,), {'step': step})"
    text = GOOD_FILE.format(test=checked_games.__name__, more=more)
    (folder / f"told_{how}.py").write_text(text.replace('\nprint("hello from the game")', ""))
    assert main_check([f"told_{how}:Told-v0", "--json", "--traceback"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["trainable"] is False
    *before, last = said["findings"]
    assert [row["status"] for row in before] == ["ok"] * 4  # found, made, its spaces
    assert (last["name"], last["status"]) == ("step", "bad")
    assert re.fullmatch(detail, last["detail"]), last
    assert remedy in last["remedy"]
    assert ("in step" in last["trace"]) == (how in ("hangs", "breaks"))


@pytest.mark.parametrize(
    ("env_id", "text", "detail"),
    [
        ("CartPoel-v1", "", "got 'CartPoel-v1'; did you mean CartPole-v1"),
        ("told_none:Told-v0", "", "a module told_none for told_none:Told-v0"),
        (
            "told_typo:Told-v0",
            "def f(:",
            "raised SyntaxError: .* in told_typo.py line 1; put it right; python told_typo.py says",
        ),
        ("told_div:Told-v0", "x = 1\n1 / 0", "importing told_div raised ZeroDivisionError: .* in told_div.py line 2"),
        ("told_loop:Told-v0", "while True: pass", "importing told_loop did not come back within 0.3 s in told_loop.py"),
    ],
)
def test_what_is_not_found_or_does_not_import_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, env_id: str, text: str, detail: str
) -> None:
    monkeypatch.setattr(check_env_calls.call, "__kwdefaults__", {"at": str, "limit": 0.3})
    (folder / f"{env_id.partition(':')[0]}.py").write_text(text) if text else None
    (found,) = check(env_id)
    assert (found.name, found.status) == ("found", "bad")
    assert re.search(detail, f"{found.detail}; {found.remedy}"), found


def test_worlds_of_prefrls_own_need_no_check_and_options_are_checked() -> None:
    (found,) = check("prefrl/Dot-v0")
    assert found.status == "ok"
    for options in ({"n_steps": 3}, {"masks": ["1,2"]}, {"env_kwargs": ["gravity"]}):
        with pytest.raises(UserError):
            list(check("CartPole-v1", **options))


def test_rows_are_wrapped_under_their_column_and_never_obey_what_they_quote() -> None:
    finding = Finding("pictures", "bad", "a [red]b[/red]\x1b[31m " + "word " * 20, "do this and that " * 6)
    text = [line for line, _ in lines(finding, 80)]
    assert text[0].startswith("bad   pictures      a [red]b[/red] [31m word")
    assert all(len(line) <= 80 and line.startswith(" " * 20) for line in text[1:])
    assert text[2].lstrip().startswith("→ do this")
