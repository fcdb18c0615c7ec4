"""A game to begin from: it is written where nothing is overwritten, and it is a good one."""

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest

from prefrl import check_env_speed
from prefrl.check_env_run import check
from prefrl.errors import UserError
from prefrl.new_env import TEMPLATE, main_new, write_game


def test_the_game_it_writes_is_ok_in_every_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check_env_speed, "_TIMED_SECONDS", 0.1)
    assert main_new(["brave_knights2"]) == 0
    said = (
        "a game to begin from: brave_knights2.py\nlook at it with:\n  prefrl check-env brave_knights2:BraveKnights2-v0"
    )
    assert capsys.readouterr().out == said + "\n"
    found = {finding.name: finding for finding in check("brave_knights2:BraveKnights2-v0", n_steps=60)}
    assert {finding.status for finding in found.values()} == {"ok"}
    assert {"found", "pictures", "copies", "proof"} <= set(found)
    del gym.registry["BraveKnights2-v0"]


def test_it_is_short_and_names_itself(tmp_path: Path) -> None:
    path, env_id = write_game("my_game.py", tmp_path)
    assert (path, env_id) == (tmp_path / "my_game.py", "my_game:MyGame-v0")
    assert path.read_text(encoding="utf-8") == TEMPLATE.read_text(encoding="utf-8")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40
    other, _ = write_game("pong", tmp_path)
    text = other.read_text(encoding="utf-8")
    assert "class Pong(gym.Env)" in text
    assert 'gym.register("Pong-v0", Pong, max_episode_steps=60)' in text
    assert "my_game" not in text.lower()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("precious", encoding="utf-8")
    with pytest.raises(UserError, match=r"expected no file .*mine\.py yet; take another name"):
        write_game("mine", tmp_path)
    assert (tmp_path / "mine.py").read_text(encoding="utf-8") == "precious"


NO_ROOM = """
import resource, sys
from prefrl import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))  # not a byte goes into any file
sys.exit(cli.main(["new-env", "mine"]))
"""


def test_where_it_cannot_be_written_one_line_says_so_and_nothing_is_left(tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", Path(__file__)):
        with pytest.raises(UserError, match=r"expected to write .*mine\.py, got: .*; run this in a folder"):
            write_game("mine", folder)
    ran = subprocess.run([sys.executable, "-c", NO_ROOM], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    what = "run this in a folder where you may write, and that has room"
    assert ran.stderr == f"prefrl: expected to write mine.py, got: File too large; {what}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2048", "a to z, digits and _ that begins with a letter, as in my_game, got '2048'"),
        ("spiel_ü", "a to z, digits and _ .*, got 'spiel_ü'"),
        ("my-game", "got 'my-game'"),
        ("../up", "got '../up'"),
        ("class", "no word of Python itself, got 'class'; take another, as my_class"),
        ("_", "got '_'"),
        ("random", "no installed package has, got 'random'; take another, as my_random"),
        ("gymnasium", "no installed package has, got 'gymnasium'"),
        ("prefrl", "no installed package has, got 'prefrl'"),
    ],
)
def test_names_that_no_module_of_ones_own_can_have_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_game(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
