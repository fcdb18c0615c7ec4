"""`prefrl bench` at work: what is done is not done again, what crashes is tried again, what is repeated is the same."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prefrl import cli
from prefrl.cell_folder import read_outcomes, write_outcomes
from prefrl.suite import read_suite
from runs.interrupted import (
    are_unlocked,
    bench_killed_at_random,
    contents,
    start,
    trainings,
    wait_for,
    wait_for_changes,
)

ROOT = Path(__file__).parent.parent
DOT = """\
env_ids = ["prefrl/Dot-v0"]
labels = [8]
strategies = ["uniform"]
{more}
[settings]
total_timesteps = {steps}
eval.episodes = 1
"""


def write_suite(path: Path, more: str = "", steps: int = 512) -> str:
    path.write_text(DOT.format(more=more, steps=steps), encoding="utf-8")
    return str(path)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """When each was last written, and its size."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder)): (stat.st_mtime_ns, stat.st_size) for path, stat in found.items()}


def copy_of(done: Path, folder: Path) -> Path:
    shutil.copytree(done, folder / "bench")
    return folder / "bench"


class Bench:
    """`prefrl bench` in this process; its cells are trained in processes of their own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.out = self.err = ""

    def __call__(self, suite: str, folder: Path, *flags: str) -> int:
        places = ["--cells", str(folder / "cells"), "--out", str(folder / "report")]
        code = cli.main(["bench", suite, *places, *flags])
        self.out, self.err = self.capsys.readouterr()
        return code


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(capsys)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite of two cells, trained."""
    folder = tmp_path_factory.mktemp("done")
    places = ["--cells", str(folder / "cells"), "--out", str(folder / "report")]
    assert cli.main(["bench", write_suite(folder / "two.toml"), "--jobs", "2", *places]) == 0
    return folder


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    best = 9.0
    for _ in range(3):  # the machine may be busy: the quickest of three counts
        begin = time.perf_counter()
        helped = subprocess.run([sys.executable, "-m", "prefrl.cli", "bench", "--help"], capture_output=True, cwd=ROOT)
        best = min(best, time.perf_counter() - begin)
        assert helped.returncode == 0
    assert best < 1.5
    assert all(flag in helped.stdout.decode() for flag in ("--jobs", "--dry-run", "--rerun", "--fresh"))
    code = "import prefrl.bench, sys; print([m for m in ('torch', 'numpy', 'gymnasium', 'rich') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "torch" not in loaded.stdout
    assert "numpy" not in loaded.stdout


def test_the_help_of_all_commands_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert "\n  bench      train a grid of agents from a suite file" in capsys.readouterr().out


def test_a_folder_of_cells_holds_what_was_promised(done: Path) -> None:
    cells = read_suite(done / "two.toml").cells
    assert [c.config.reward for c in cells] == ["score", "preferences"]
    kept = read_outcomes(done / "report" / "outcomes.jsonl")
    assert set(kept) == {c.key for c in cells}
    for cell in cells:
        folder = done / "cells" / cell.key
        assert {"cell.toml", "log.txt", "outcome.json", "run"} <= {path.name for path in folder.iterdir()}
        result = json.loads((folder / "run" / "result.json").read_text(encoding="utf-8"))
        assert kept[cell.key].env_return == result["env_return"]
        assert (kept[cell.key].labels, kept[cell.key].timesteps) == (8 if cell.teacher else 0, 512)
        assert len(kept[cell.key].policy_sha256) == 64
        assert len(kept[cell.key].labels_sha256) == (64 if cell.teacher else 0)
    names = {path.name for path in (done / "report").iterdir()}
    assert names >= {"table.md", "table.csv", "results.csv", "timing.md", "plots", "outcomes.jsonl"}


def test_what_is_done_is_not_done_again(done: Path, bench: Bench) -> None:
    before, report = files(done / "cells"), contents(done / "report")
    assert bench(str(done / "two.toml"), done) == 0
    assert (
        bench.err == f"0 cells to train, 1 at a time; 2 done in {done}/cells, 0 kept in {done}/report/outcomes.jsonl\n"
    )
    assert bench.out == f"report: {done}/report/table.md\n"
    assert files(done / "cells") == before
    assert contents(done / "report") == report


def test_a_dry_run_counts_and_trains_nothing(done: Path, tmp_path: Path, bench: Bench) -> None:
    suite = write_suite(tmp_path / "more.toml", "seeds = [0, 1]")
    before = files(done)
    assert bench(suite, done, "--dry-run", "--jobs", "2") == 0
    lines = bench.out.splitlines()
    missing = [cell for cell in read_suite(Path(suite)).cells if cell.config.seed == 1]
    assert [line.split()[0] for line in lines[:2]] == [cell.key for cell in missing]
    assert lines[0].endswith("  prefrl/Dot-v0, score, seed 1")
    assert lines[2] == "4 cells, 2 done, 2 to train."
    assert lines[3].endswith("with --jobs 2 where every job has a core of its own.")
    assert len(lines) == 4  # nothing is guessed
    assert files(done) == before


def test_a_dry_run_says_what_is_guessed(tmp_path: Path, bench: Bench) -> None:
    assert bench(write_suite(tmp_path / "new.toml", "seeds = [0, 1]", 6000), tmp_path, "--dry-run") == 0
    lines = bench.out.splitlines()
    assert len(lines) == 4 + 3
    assert "  about      14 s  " in lines[0]  # 10 s and 6,000 steps at 1,500 a second
    assert lines[4:] == [
        "4 cells, 0 done, 4 to train.",
        "About 56 s of one core, 56 s with --jobs 1 where every job has a core of its own.",
        "Guessed for 4 of them: no run of their world is done yet.",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["new.toml"]


def test_suites_share_the_cells_they_have_in_common(done: Path, tmp_path: Path, bench: Bench) -> None:
    suite = write_suite(tmp_path / "other.toml", '[variants.plain]\n[variants."large steps"]\nppo.learning_rate = 0.1')
    assert bench(suite, done, "--dry-run") == 0
    assert "4 cells, 2 done, 2 to train." in bench.out


def test_outcomes_kept_beside_the_report_count_as_done_unless_all_is_to_be_fresh(
    done: Path, tmp_path: Path, bench: Bench
) -> None:
    suite, folder = str(done / "two.toml"), copy_of(done, tmp_path)
    shutil.rmtree(folder / "cells")
    before = contents(folder / "report")
    assert bench(suite, folder) == 0
    assert f"0 cells to train, 1 at a time; 0 done in {folder}/cells, 2 kept in" in bench.err
    assert contents(folder / "report") == before
    assert list((folder / "cells").iterdir()) == []
    assert bench(suite, folder, "--dry-run", "--fresh") == 0
    assert "2 cells, 0 done, 2 to train." in bench.out


def test_the_report_names_the_command_that_trains_a_cell_under_the_presets_of_today(
    done: Path, tmp_path: Path, bench: Bench
) -> None:
    folder = copy_of(done, tmp_path)
    shutil.rmtree(folder / "cells")
    path = folder / "report" / "outcomes.jsonl"
    kept = read_outcomes(path)
    own = {key: outcome.command for key, outcome in kept.items()}
    write_outcomes(path, [replace(outcome, command="prefrl train --as before") for outcome in kept.values()])
    assert bench(str(done / "two.toml"), folder, "--report") == 0
    assert {key: outcome.command for key, outcome in read_outcomes(path).items()} == own
    said = (folder / "report" / "table.md").read_text(encoding="utf-8")
    assert "--as before" not in said
    assert all(words in said for words in own.values())


def test_outcomes_of_cells_that_the_suite_has_no_more_are_kept_and_named(
    done: Path, tmp_path: Path, bench: Bench
) -> None:
    folder = copy_of(done, tmp_path)
    path = folder / "report" / "outcomes.jsonl"
    both = read_outcomes(path)
    suite = write_suite(tmp_path / "alone.toml", "score = false")
    assert bench(suite, folder, "--report") == 0
    assert "1 outcomes in" in bench.err
    assert "are of cells that the suite does not have; they are kept" in bench.err
    assert read_outcomes(path) == both
    assert "1 run, 512 steps" in (folder / "report" / "table.md").read_text(encoding="utf-8")


def test_what_is_kept_stands_until_it_is_trained_afresh(done: Path, tmp_path: Path, bench: Bench) -> None:
    suite, folder = str(done / "two.toml"), copy_of(done, tmp_path)
    shutil.rmtree(sorted(folder.glob("cells/*/outcome.json"))[0].parent)
    before = contents(folder / "report")
    assert bench(suite, folder, "--report", "--fresh") == 0
    assert "1 of 2 cells not trained again; the report has their kept outcomes" in bench.err
    assert contents(folder / "report") == before


def test_an_outcome_that_is_damaged_is_refused_by_name(done: Path, tmp_path: Path, bench: Bench) -> None:
    folder = copy_of(done, tmp_path)
    with (folder / "report" / "outcomes.jsonl").open("a", encoding="utf-8") as f:
        f.write("{}\n")
    assert bench(str(done / "two.toml"), folder, "--report") == 2
    assert f"line 3 of {folder}/report/outcomes.jsonl" in bench.err
    assert len(bench.err.splitlines()) == 1


def test_a_report_of_a_part_says_what_is_missing(done: Path, tmp_path: Path, bench: Bench) -> None:
    folder = copy_of(done, tmp_path)
    suite = write_suite(tmp_path / "part.toml", "seeds = [0, 1]")
    assert bench(suite, folder, "--report") == 0
    page = (folder / "report" / "table.md").read_text(encoding="utf-8")
    assert "2 of 4 cells are not trained yet." in page
    assert f"prefrl bench {suite}\n" in page


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--report"], "expected at least one cell of two.toml to be done, found none; train first"),
        (["--report", "--dry-run"], "expected one of --report, --dry-run and --rerun, got several"),
        (["--dry-run", "--rerun", "a"], "expected one of --report, --dry-run and --rerun, got several"),
        (
            ["--rerun", "xyz"],
            "expected a cell whose key begins with 'xyz', none does; the keys stand in the report's results.csv",
        ),
        (["--rerun", ""], "expected --rerun to be a cell's key, or how one begins, got nothing"),
        (["--jobs", "0"], "expected --jobs to be at least 1, got 0"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_written(
    flags: Sequence[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    write_suite(tmp_path / "two.toml")
    monkeypatch.chdir(tmp_path)
    assert bench("two.toml", tmp_path, *flags) == 2
    assert bench.err == f"prefrl: {words}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["two.toml"]


def test_a_cell_that_is_not_done_cannot_be_compared_and_a_key_must_be_one(tmp_path: Path, bench: Bench) -> None:
    suite = write_suite(tmp_path / "many.toml", f"seeds = {list(range(20))}")
    keys = [cell.key for cell in read_suite(Path(suite)).cells]
    assert bench(suite, tmp_path, "--rerun", keys[0]) == 2
    assert f"expected an outcome of {keys[0]} (prefrl/Dot-v0, score, seed 0) to compare with, found none" in bench.err
    twice = next(key[0] for i, key in enumerate(keys) if key[0] in {k[0] for k in keys[:i]})  # 40 keys, 16 digits
    assert bench(suite, tmp_path, "--rerun", twice) == 2
    assert f"begins with '{twice}', several do" in bench.err


@pytest.mark.bench
def test_more_seeds_train_only_the_new(done: Path, tmp_path: Path, bench: Bench) -> None:
    folder = copy_of(done, tmp_path)
    before, page = files(folder / "cells"), (folder / "report" / "results.csv").read_text(encoding="utf-8")
    suite = write_suite(folder / "two.toml", "seeds = [0, 1]")
    assert bench(suite, folder, "--jobs", "2") == 0
    assert "2 cells to train, 2 at a time; 2 done in" in bench.err
    after = files(folder / "cells")
    assert {name: after[name] for name in before} == before
    new = {name.split("/")[0].removesuffix(".lock") for name in set(after) - set(before)}
    assert new == {cell.key for cell in read_suite(Path(suite)).cells if cell.config.seed == 1}
    lines = (folder / "report" / "results.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 4
    assert [line for line in page.splitlines()[1:] if line.split(",")[7] not in "".join(lines)] == []


@pytest.mark.bench
def test_a_cell_trained_again_is_the_same_bit_for_bit_or_it_is_said_what_differs(
    done: Path, tmp_path: Path, bench: Bench
) -> None:
    suite, folder = str(done / "two.toml"), copy_of(done, tmp_path)
    taught = read_suite(Path(suite)).cells[1]
    before = files(folder)
    assert bench(suite, folder, "--rerun", taught.key[:5]) == 0
    assert bench.out == f"{taught.key} ({taught.name}): the same, bit for bit\n"
    assert files(folder) == before
    shutil.rmtree(folder / "cells")
    path = folder / "report" / "outcomes.jsonl"
    kept = read_outcomes(path)
    true = kept[taught.key]
    altered: dict[str, Any] = {**json.loads(true.to_json()), "env_return": 1.5, "policy_sha256": "ab" * 32}
    altered["versions"] = {**true.versions, "torch": "0.1"}
    kept[taught.key] = type(true).from_json(json.dumps(altered), "here")
    write_outcomes(path, kept.values())
    assert bench(suite, folder, "--rerun", taught.key) == 1
    assert bench.out.splitlines() == [
        f"{taught.key} ({taught.name}): not the same",
        f"  policy_sha256: {'ab' * 32} before, {true.policy_sha256} now",
        f"  env_return: 1.5 before, {true.env_return} now",
        f"  torch 0.1 before, {true.versions['torch']} now",
    ]


GAME = """\
import os, signal
from pathlib import Path
import gymnasium as gym
from games import Slide

class Once(Slide):
    def step(self, action):
        mark = Path(os.environ["MARK"])
        if self.n == 20 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)

class Never(Slide):
    def step(self, action):
        if self.n == 20:
            raise RuntimeError("the bead fell off the wire")
        return super().step(action)

gym.register("Once-v0", Once, max_episode_steps=50)
gym.register("Never-v0", Never, max_episode_steps=50)
"""


UNMADE = """\
import gymnasium as gym

class Unmade(gym.Env):
    def __init__(self, render_mode=None):
        raise RuntimeError("no map")

gym.register("Unmade-v0", Unmade, max_episode_steps=50)
"""


def test_a_world_that_is_not_there_is_said_before_anything_is_trained(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unmade.py").write_text(UNMADE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    suite = tmp_path / "two.toml"
    for env_id, settings, words in (
        ("HalfCheeta-v5", "", "got 'HalfCheeta-v5'; did you mean HalfCheetah-v5"),
        ("ALE/Pung-v5", "", "no Atari game is called 'ALE/Pung-v5'; did you mean ALE/Pong-v5?"),
        ("no_such:Game-v0", "", "expected a module no_such for no_such:Game-v0, found none"),
        ("unmade:Unmade-v0", "world.own_process = false", "unmade:Unmade-v0 raised RuntimeError: no map in unmade.py"),
    ):
        lines = [f'env_ids = ["prefrl/Dot-v0", "{env_id}"]', "labels = [20]", "score = false"]
        lines += ['strategies = ["uniform"]', "[settings]", settings]
        suite.write_text("\n".join(lines) + "\n", encoding="utf-8")
        assert bench(str(suite), tmp_path) == 2
        assert words in bench.err
        assert bench.err.endswith(f"(in cell {env_id}, 20 labels, oracle, uniform, seed 0)\n")
        assert bench.err.count("\n") == 1
        assert not (tmp_path / "cells").exists()
        said = bench.err
        assert bench(str(suite), tmp_path, "--dry-run") == 2
        assert (bench.out, bench.err) == ("", said)


@pytest.mark.bench
def test_a_training_that_crashes_is_tried_again_and_reported_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    (tmp_path / "crashing.py").write_text(GAME, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (tmp_path, ROOT / "tests", ROOT))))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    suite = tmp_path / "crash.toml"
    env_ids = ["crashing:Never-v0", "crashing:Once-v0", "games:SlideGame-v0"]
    suite.write_text(
        f'env_ids = {json.dumps(env_ids)}\nlabels = [8]\nscore = false\nstrategies = ["uniform"]\n'
        "[settings]\ntotal_timesteps = 1024\neval.episodes = 1\nworld.n_envs = 2\nworld.restarts = 0\n",
        encoding="utf-8",
    )
    assert bench(str(suite), tmp_path, "--jobs", "2") == 1
    assert (tmp_path / "mark").exists()
    never, once, well = (cell.key for cell in read_suite(suite).cells)
    lines = {line.split()[1]: line for line in bench.err.splitlines() if line.startswith(("1/3", "2/3", "3/3"))}
    assert set(lines) == {never, once, well}
    assert "FAILED after 2 tries: " in lines[never]
    assert "the bead fell off the wire" in lines[never]
    assert f"(all of it: {tmp_path}/cells/{never}/log.txt)" in lines[never]
    assert (tmp_path / "cells" / never / "log.txt").read_text().count("the bead fell off the wire") >= 2
    assert ", at try 2" in lines[once]
    assert ": env return " in lines[well]
    assert " try " not in lines[well]
    assert set(read_outcomes(tmp_path / "report" / "outcomes.jsonl")) == {once, well}
    assert "1 of 3 cells are not trained yet." in (tmp_path / "report" / "table.md").read_text(encoding="utf-8")
    shutil.rmtree(tmp_path / "cells" / once)
    shutil.rmtree(tmp_path / "report")
    assert bench(str(suite), tmp_path, "--report") == 0
    assert set(read_outcomes(tmp_path / "report" / "outcomes.jsonl")) == {well}


@pytest.mark.bench
def test_ctrl_c_ends_the_trainings_and_says_how_to_go_on(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "long.toml", steps=2_000_000)
    process = start(Path(suite), tmp_path, 2)
    cells = tmp_path / "cells"
    wait_for("two trainings", lambda: len(list(cells.glob("*/run/metrics.csv"))) == 2 or process.poll() is not None)
    assert len(trainings(cells)) == 2
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert trainings(cells) == []
    assert are_unlocked(cells)
    said = (tmp_path / "bench.log").read_text(encoding="utf-8").splitlines()
    assert said[-2:] == ["stopped; the same command goes on with the cells that are not done", "prefrl: stopped"]
    assert not list(cells.glob("*/outcome.json"))


@pytest.mark.bench
def test_a_bench_killed_at_random_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """A promise: no kill at any moment costs more than the trainings that were in progress.

    `make bench-interrupted` kills five times, on the whole smoke suite.
    """
    suite = write_suite(tmp_path / "three.toml", 'teachers = ["oracle", "mistake"]', steps=2048)
    kill_at = [4, 13]  # drawn once; three cells make 27 changes
    done_at_kills = bench_killed_at_random(Path(suite), tmp_path / "killed", 2, kill_at)
    assert len(done_at_kills) == 2
    assert done_at_kills == sorted(done_at_kills)
    assert done_at_kills[-1] < 3
    assert bench_killed_at_random(Path(suite), tmp_path / "alone", 2, []) == []
    killed, alone = contents(tmp_path / "killed" / "report"), contents(tmp_path / "alone" / "report")
    assert set(alone) >= {"table.md", "table.tex", "table.csv", "results.csv", "outcomes.jsonl", "plots/intervals.svg"}
    assert len(alone["results.csv"].splitlines()) == 1 + 3
    assert {name: killed[name] == alone[name] for name in alone} == dict.fromkeys(alone, True)
    assert set(killed) == set(alone)


@pytest.mark.bench
def test_two_benches_at_once_train_each_cell_once(tmp_path: Path) -> None:
    suite = Path(write_suite(tmp_path / "two.toml", "score = false", steps=1024))
    first = start(suite, tmp_path, 1)
    assert wait_for_changes(first, tmp_path / "cells", 3)  # it is being trained
    second = start(suite, tmp_path, 1)
    assert (first.wait(120), second.wait(120)) == (0, 0)
    (outcome,) = (tmp_path / "cells").glob("*/outcome.json")
    run = json.loads((outcome.parent / "run" / "result.json").read_text(encoding="utf-8"))
    assert json.loads(outcome.read_text(encoding="utf-8"))["seconds"] == run["seconds"]
