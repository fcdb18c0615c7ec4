"""A run whose label store or clips are damaged: every command says so in one line, and names the way out."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import pytest
from crashes import seeded, trials

import prefrl
from labeling.clip import ClipFiles
from labeling.store import Store
from prefrl import cli
from prefrl.errors import EXIT_DAMAGED
from prefrl.rundir import RunDir

N_LABELS = 250


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A toy run of 250 answers."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    settings = {"total_labels": N_LABELS, "total_timesteps": 4000, "progress": False, "eval": {"episodes": 2}}
    return prefrl.train(prefrl.default_config("prefrl/Dot-v0", run_dir=str(folder), **settings)).run


def copy_of(run: RunDir, to: Path) -> RunDir:
    shutil.copytree(run.path, to)
    return RunDir(to)


def commands(run: RunDir, out: Path) -> list[list[str]]:
    """Everything that opens a label store."""
    folder = str(run.path)
    return [
        ["labels", folder],
        ["labels", folder, "check"],
        ["labels", folder, "export", "--out", str(out / "export")],
        ["labels", folder, "play", "--out", str(out / "play.webm")],
        ["report", folder, "--out", str(out / "report.html")],
        ["label", folder],
        ["serve", folder, "--port", "0"],
        ["train", "--run-dir", folder, "--resume", "--no-progress"],
    ]


@pytest.mark.slow
def test_no_command_ends_in_a_traceback_however_the_store_is_cut_off(
    trained: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.open_read_only(trained.labels) as store:
        rows = store.labels_after(0)
    rng, n_bytes = seeded(8), trained.labels.stat().st_size
    lengths = [0, n_bytes - 1, *(rng.randrange(n_bytes) for _ in range(trials(5, 48)))]
    for number, length in enumerate(lengths):
        run = copy_of(trained, tmp_path / f"run-{number}")
        os.truncate(run.labels, length)
        for command in commands(run, tmp_path):
            assert cli.main(command) == EXIT_DAMAGED, (length, command)
            said = capsys.readouterr().err
            assert said.startswith(f"prefrl: {run.labels} is damaged ("), said
            assert said.endswith(f"save what can be saved by: prefrl labels recover {run.path}\n"), said
            assert said.count("\n") == 1
        assert cli.main(["labels", "recover", str(run.path)]) == 0
        said = capsys.readouterr().out
        with Store(run.labels) as store:
            saved = store.labels_after(0)
        assert said.startswith(f"{len(saved)} labels saved from ")
        assert [row for row in saved if row not in rows] == []
        assert len(rows) - len(saved) < 100
        assert cli.main(["labels", str(run.path), "check"]) == 0
        assert "label store: whole" in capsys.readouterr().out
        shutil.rmtree(run.path)


@pytest.mark.slow
def test_a_recovered_run_goes_on(trained: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy_of(trained, tmp_path / "run")
    os.truncate(run.labels, run.labels.stat().st_size // 2)
    assert cli.main(["labels", "recover", str(run.path)]) == 0
    with Store.open_read_only(run.labels) as store:
        before = store.labels_after(0)
    assert len(before) < N_LABELS
    more = ["--resume", "--no-progress", "--total-timesteps", "6000", "--total-labels", str(N_LABELS + 20)]
    assert cli.main(["train", "--run-dir", str(run.path), *more]) == 0
    with Store.open_read_only(run.labels) as store:
        after = store.labels_after(0)
    assert after[: len(before)] == before
    assert len(after) > len(before)
    assert len({row.query_id for row in after}) == len(after)


@pytest.mark.slow
def test_a_hundred_damaged_clips_and_ten_lost_ones_are_found_and_the_training_goes_on(
    trained: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, rng = copy_of(trained, tmp_path / "run"), seeded(3)
    with Store.open_read_only(run.labels) as store:
        queries, rows = store.queries(), store.labels_after(0)
    used = [clip_id for query in queries for clip_id in query.clip_ids]
    chosen = rng.sample(sorted(set(used)), 110)
    files = ClipFiles(run.clips)
    for clip_id in chosen[:100]:
        path = files.path(clip_id)
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    for clip_id in chosen[100:]:
        files.path(clip_id).unlink()
    affected = {query.query_id for query in queries if not set(chosen).isdisjoint(query.clip_ids)}
    assert cli.main(["labels", str(run.path), "check"]) == EXIT_DAMAGED
    said = capsys.readouterr().out
    n_clips = len(set(used))
    found = sum(f"{clip_id}.npz is " in said for clip_id in chosen)
    print(f"{found} of 110 found in {n_clips} clips; {len(affected)} queries")
    assert f"clips: {n_clips - found:,} of {n_clips:,} whole" in said
    assert found == 110
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        more = ["--resume", "--no-progress", "--total-timesteps", "5000", "--total-labels", str(N_LABELS + 20)]
        assert cli.main(["train", "--run-dir", str(run.path), *more]) == 0
    assert sum("is left out: clip file" in str(w.message) for w in warned) + capsys.readouterr().err.count(
        "is left out: clip file"
    ) == len(affected)
    with Store.open_read_only(run.labels) as store:
        assert set(store.withdrawals()) == affected
        assert store.labels_after(0)[: len(rows)] == rows, "labels on them stay"
        assert len(store.labels_after(0)) > len(rows)
