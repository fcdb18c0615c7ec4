"""A disk that fills up during an answer or a clip: nothing is corrupt, it is said, and goes on when there is room."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stores import make_clip, make_label, make_query
from test_labeling_window import Sitting, make_run
from web_people import Person
from web_site import make_site, running

from labeling.agent_status import AgentStatus, read_status, write_status
from labeling.choice import Choice
from labeling.clip import ClipError, ClipFiles
from labeling.disk import is_full
from labeling.failpoints import ACTIONS, POINTS, VARIABLE
from labeling.keys import Action
from labeling.store import Store
from prefrl.build import build_loop
from prefrl.flags import default_config
from prefrl.labelers import PeopleLabeler
from prefrl.people import People
from prefrl.rundir import RunDir
from prefrl.stopwatch import Stopwatch
from prefrl.worlds import make_world

ROOT = Path(__file__).parent.parent


class SmallDisk:
    """A file system of two megabytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ballast = folder / "ballast"

    def fill(self) -> None:
        """Until not a byte more fits."""
        with self.ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        self.ballast.unlink()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no right to mount a small disk: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def check_whole(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_page_says_507_and_the_same_answer_is_taken_when_there_is_room(small: SmallDisk) -> None:
    site = make_site(small.folder, n_queries=20, names=("Ann",), is_drawn=False)
    with running(site) as server:
        ann = Person(server, site.tokens["Ann"])
        first, second, third = ann.offers(3)
        assert ann.answer(first["query_id"], "left", "label-first").status_code == 200
        small.fill()
        for _ in range(3):
            refused = ann.answer(second["query_id"], "left", "label-second")
            assert refused.status_code == 507
            assert refused.json()["error"].endswith("your answer is kept in your browser")
        check_whole(site.store_path)
        small.free()
        for label_id, offer in (("label-second", second), ("label-third", third)):
            assert ann.answer(offer["query_id"], "left", label_id).status_code == 200
        ann.client.close()
    assert [row.label_id for row in site.rows()] == ["label-first", "label-second", "label-third"]


def test_the_window_says_so_and_the_next_press_is_stored(small: SmallDisk) -> None:
    make_run(small.folder, 3)
    sitting = Sitting(small.folder)
    sitting.look()
    sitting.press(Action.LEFT)
    sitting.look()
    small.fill()
    said = sitting.press(Action.LEFT)
    assert said.startswith("Not saved: ")
    assert "full" in said
    assert sitting.session._facts().is_error
    assert len(sitting.rows()) == 1
    small.free()
    assert sitting.press(Action.RIGHT) == "Right is better: saved, 2 / 70"
    assert sitting.rows() == [("q000", Choice.LEFT), ("q001", Choice.RIGHT)]
    sitting.close()
    check_whole(small.folder / "labels.sqlite")


def test_a_clip_is_there_whole_or_not_at_all(small: SmallDisk) -> None:
    files = ClipFiles(small.folder / "clips")
    clips = [make_clip(number) for number in range(4)]
    files.write(clips[0])
    small.fill()
    with pytest.raises(ClipError, match=r"cannot write clips to .*: No space left on device") as caught:
        files.write_many(clips)
    assert is_full(caught.value)
    left = [path.name for path in files.folder.rglob("*") if path.is_file()]
    assert left == [f"{clips[0].clip_id}.npz"]
    small.free()
    assert [files.read(clip_id) for clip_id in files.write_many(clips)] == clips


def status(steps: int) -> AgentStatus:
    return AgentStatus(
        steps=steps,
        total_steps=10,
        state="ended",
        labels=1,
        total_labels=2,
        process_id=os.getpid(),
        updated_at_utc_ms=0,
    )


def test_how_the_agent_is_stays_as_it_was_and_is_written_when_there_is_room(small: SmallDisk) -> None:
    path = small.folder / "agent.json"
    write_status(path, status(steps=1))
    small.fill()
    write_status(path, status(steps=2))
    assert read_status(path) == status(steps=1)
    assert sorted(file.name for file in small.folder.iterdir()) == ["agent.json", "ballast"]
    small.free()
    write_status(path, status(steps=3))
    assert read_status(path) == status(steps=3)


def test_people_are_told_how_the_agent_is_when_there_is_room_again(
    small: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a full disk the training never ends: neither of agent.json nor of the agent's latest behaviour."""
    monkeypatch.setattr("prefrl.people._NEWEST_EVERY_SECONDS", -1.0)
    run = RunDir(small.folder / "run")
    run.create()
    world_settings = {"env_kwargs": ("max_episode_steps:200",)}  # so long that more than a query's clip fits in
    config = default_config("prefrl/Dot-v0", labeler="web", run_dir=str(run.path), world=world_settings)
    world = make_world(config, n_envs=2, seed=0, views=True)
    with Store(run.labels) as store:
        loop = build_loop(config, world, store, run, PeopleLabeler("web", 1), Stopwatch())
        people = People(config, run, loop, lambda line: None)

        def act() -> None:
            for _ in range(100):
                loop.recorder.step(np.stack([loop.recorder.action_space.sample() for _ in range(2)]))
            loop.agent.num_timesteps += 200

        loop.recorder.reset()
        act()
        people.tell("training")
        (first,) = ClipFiles(run.clips).folder.rglob("*.npz")
        act()
        small.fill()
        for _ in range(2):
            people.tell("waiting")
            found = read_status(run.status)
            assert found is not None
            assert (found.state, found.newest_clip) == ("training", first.stem)
            assert [path for path in run.path.rglob("*") if path.name.endswith((".npz", ".tmp"))] == [first]
        small.free()
        people.tell("waiting")
        found = read_status(run.status)
        assert found is not None
        assert (found.state, found.newest_clip) == ("waiting", next(run.clips.rglob("*.npz")).stem)
        assert found.newest_clip != first.stem
    world.venv.close()


STORING = [point for point in POINTS if point.split(".")[0] in ("store", "clip")]
CODE = """
import sys; sys.path.insert(0, "tests")
from pathlib import Path
from stores import make_clip, make_label, make_query
from labeling.clip import ClipError, ClipFiles
from labeling.store import Store, StoreError
folder = Path(sys.argv[1])
files = ClipFiles(folder / "clips")
with Store(folder / "labels.sqlite") as store:
    for n in range(6):
        try:
            clip_ids = tuple(files.write_many([make_clip(2 * n), make_clip(2 * n + 1)]))
            store.add_queries([make_query(n, clip_ids=clip_ids)])
            store.add_labels([make_label(f"l{n}", f"q{n}")])
            print(n, flush=True)
        except (ClipError, StoreError) as error:
            assert "No space left on device" in str(error), error
"""


@pytest.mark.parametrize("action", ["kill", "enospc"])
@pytest.mark.parametrize("point", STORING)
def test_whatever_fails_at_any_point_what_was_acknowledged_is_whole(tmp_path: Path, point: str, action: str) -> None:
    assert action in ACTIONS
    environment = {**os.environ, VARIABLE: f"{point}:after=5:{action}", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == (-9 if action == "kill" else 0), ran.stderr
    said = [f"l{n}" for n in ran.stdout.split()]
    assert len(said) == (5 if action == "enospc" else len(said))
    assert len(said) < 6
    files = ClipFiles(tmp_path / "clips")
    with Store(tmp_path / "labels.sqlite") as store:
        stored = [row.label_id for row in store.labels_after(0)]
        assert set(said) <= set(stored)
        assert len(stored) == len(set(stored)) <= len(said) + 1
        for query in store.queries():
            for clip_id in query.clip_ids:
                files.read(clip_id)
        store.add_queries([make_query(9)])
        store.add_labels([make_label("later", "q9")])
    check_whole(tmp_path / "labels.sqlite")


@pytest.mark.parametrize("point", ["store.commit", "store.committed"])
def test_a_commit_that_fails_once_is_made_again_before_anybody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Also when the answer was durable already: stored again, it is the same answer."""
    site = make_site(tmp_path, n_queries=4, names=("Ann",), is_drawn=False)
    monkeypatch.setenv(VARIABLE, f"{point}:after=4:enospc")
    with running(site) as server:
        ann = Person(server, site.tokens["Ann"])
        for offer in ann.offers(4):
            assert ann.answer(offer["query_id"], "left", f"label-{offer['query_id']}").status_code == 200
        ann.client.close()
    assert [row.label_id for row in site.rows()] == [f"label-q{n}" for n in range(4)]


@pytest.mark.slow
def test_a_training_waits_for_room_and_goes_on(tmp_path: Path) -> None:
    """Of a disk that is full while clips are stored, and again while answers are."""
    options = ["--env-id", "prefrl/Dot-v0", "--total-labels", "20", "--total-timesteps", "1024", "--run-dir", "run"]
    ran = subprocess.run(
        [sys.executable, "-m", "prefrl.cli", "train", *options, "--no-progress", "--eval.episodes", "1"],
        env={**os.environ, VARIABLE: "clip.synced:enospc,store.commit:after=2:enospc", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("No space left on device; the run waits until the disk has room") == 2
    with Store.open_read_only(tmp_path / "run" / "labels.sqlite") as store:
        assert len(store.labels_after(0)) == 20


@pytest.mark.slow
def test_a_training_that_waits_for_room_can_be_stopped_and_goes_on_when_there_is_some(small: SmallDisk) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", str(small.folder)], check=True)
    run = RunDir(small.folder / "run")
    command = [sys.executable, "-P", "-m", "prefrl.cli", "train", "--run-dir", str(run.path)]
    options = ["--env-id", "prefrl/Dot-v0", "--total-labels", "100", "--total-timesteps", "100000", "--no-progress"]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as training:
        assert training.stderr is not None
        try:
            while not run.metrics.exists():  # it has begun, and so saved its first checkpoint
                assert training.poll() is None
                time.sleep(0.01)
            small.fill()
            while "the run waits until the disk has room" not in training.stderr.readline():
                assert training.poll() is None
            training.send_signal(signal.SIGTERM)
            _, said = training.communicate(timeout=120)
        finally:
            training.kill()
    assert training.returncode == 130
    found = r"prefrl: stopped, but not saved: the disk is full, .*; the last checkpoint is of [\d,]+ steps; go on"
    assert re.match(found, said.splitlines()[-1])
    small.free()
    again = [*command, "--resume", "--total-timesteps", "20000", "--eval.episodes", "1"]
    ran = subprocess.run(again, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert run.read_result()["labels"] == 100
