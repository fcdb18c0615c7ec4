"""Where a command is to write is looked at first: one line, exit code 2, and no work is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from labeled import make_run

from prefrl import cli
from prefrl.errors import UserError
from prefrl.outputs import check_out_file, check_out_folder

BAD = {
    "watch for no number of seconds": (
        ["watch", "RUN", "--seconds", "nan"],
        "expected --seconds to be a number above 0",
    ),
    "watch for ever": (["watch", "RUN", "--seconds", "inf"], "expected --seconds to be a number above 0, got inf"),
    "a video in no folder": (["watch", "RUN", "--out", "no/x.webm"], "expected a folder for --out, found none at no"),
    "a video that is a folder": (
        ["watch", "RUN", "--out", "."],
        "expected --out to be a file, got '.', which is a folder",
    ),
    "a video of another kind": (["watch", "RUN", "--out", "x.mp4"], "expected --out to end in .webm, got 'x.mp4'"),
    "a report that is a folder": (["report", "RUN", "--out", "."], "got '.', which is a folder"),
    "a report in place of a device": (["report", "RUN", "--out", "/dev/null"], "which is neither file nor folder"),
    "labels played into a folder": (["labels", "RUN", "play", "--out", "."], "got '.', which is a folder"),
    "a page at no port": (["serve", "RUN", "--port", "99999"], "expected --port from 0 (any free one) to 65535"),
    "a page below all ports": (["serve", "RUN", "--port", "-1"], "expected --port from 0 (any free one) to 65535"),
    "a bench into a file": (
        ["bench", "tiny.toml", "--out", "tiny.toml"],
        "expected --out to be a folder, got 'tiny.toml'",
    ),
    "a bench below a file": (["bench", "tiny.toml", "--cells", "tiny.toml/x"], "tiny.toml is a file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_place_that_cannot_be_written_to_is_one_line_and_nothing_is_done(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    args, words = BAD[name]
    make_run(tmp_path / "run")
    (tmp_path / "tiny.toml").write_text('env_ids = ["prefrl/Dot-v0"]\n', encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert cli.main([word.replace("RUN", "run") for word in args]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("prefrl: expected ")
    assert words in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody may write to, whoever one is")
def test_a_folder_that_takes_no_file_is_said_before_the_work() -> None:
    with pytest.raises(UserError, match=r"expected --out to be where a file can be written, got '/proc/x.html': "):
        check_out_file(Path("/proc/x.html"), "--out")
    with pytest.raises(UserError, match=r"expected --out to be a folder that can be written to, got /proc/x: "):
        check_out_folder(Path("/proc/x"), "--out")


def test_what_can_be_written_to_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text("old", encoding="utf-8")
    check_out_file(tmp_path / "old.html", "--out")
    check_out_file(tmp_path / "new.webm", "--out", ".webm")
    check_out_folder(tmp_path, "--out")
    check_out_folder(tmp_path / "a" / "b", "--out")
    assert [p.name for p in tmp_path.iterdir()] == ["old.html"]
    assert (tmp_path / "old.html").read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("args", [["--help"], ["train", "--help"], ["doctor", "--failpoints"]])
def test_a_reader_who_has_gone_is_no_fault(args: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "prefrl.cli", *args],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
