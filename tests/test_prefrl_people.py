"""Training with people: the trainer, the page and the drawing worker are real processes, the person is a script."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from labeling.agent_status import AgentStatus, read_status, write_status
from labeling.choice import Choice
from labeling.clip import ClipFiles
from labeling.desk import Desk
from labeling.pictures import Pictures
from labeling.store import Query, Store
from prefrl import cli, people
from prefrl.build import build_loop
from prefrl.configfile import dump
from prefrl.flags import default_config
from prefrl.labelers import PeopleLabeler
from prefrl.rundir import RunDir
from prefrl.stopwatch import Stopwatch
from prefrl.worlds import make_world

DEADLINE_SECONDS = 120.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that another process brings about."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE_SECONDS:.0f} s for {what}"
        time.sleep(0.01)


class Person:
    """Answers through the desk, as window and page do; likes the dot on the left."""

    def __init__(
        self, run: RunDir, name: str, is_drawn: Callable[[str], bool] = lambda _: True, repeat_share: float = 0.1
    ) -> None:
        self.store = Store(run.labels)
        self.desk = Desk(self.store, is_drawn=is_drawn, repeat_share=repeat_share, rng=np.random.default_rng(0))
        self.files = ClipFiles(run.clips)
        self.name = name
        self.given: list[str] = []

    def answer(self, n: int) -> None:
        for _ in range(n):
            until(lambda: bool(self.desk.offers(self.name, 1)), "a query")
            (offer,) = self.desk.offers(self.name, 1)
            left, right = (self.files.read(clip).obs[:, 0].mean() for clip in (offer.left_clip, offer.right_clip))
            self.desk.answer(
                self.name,
                label_id=f"{self.name}-{len(self.given)}",
                query_id=offer.query_id,
                choice=Choice.LEFT if left < right else Choice.RIGHT,
                shown_at_utc_ms=1000 * len(self.given),
                answered_at_utc_ms=1000 * len(self.given) + 900,
                ms_on_screen=900,
            )
            self.given.append(offer.query_id)

    def close(self) -> None:
        self.store.close()


def start(run_dir: Path, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "prefrl.cli", "train", *flags, "--run-dir", str(run_dir)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


@pytest.fixture
def trainers() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for trainer in started:
        if trainer.poll() is None:
            os.killpg(trainer.pid, signal.SIGKILL)
        assert trainer.stdout is not None
        if not trainer.stdout.closed:  # or it would be left to a later test, whose failure it would be
            trainer.communicate()


TOY = ("--env-id", "prefrl/Dot-v0", "--labeler", "web", "--port", "0", "--eval.episodes", "2")
# A training does not wait at its end for the answers that its queue lacks, and nothing is drawn after it: a person on a
# busy machine would wait for ever. It does wait, before its first fit, for all that are due. So all are due at once.
UNHURRIED = ("--queries.label-window", "0.05")


@pytest.mark.slow
def test_people_teach_while_the_agent_trains_and_a_resumed_run_goes_on_where_they_were(
    tmp_path: Path, trainers: list[subprocess.Popen[str]]
) -> None:
    """Stopped at 30 answers, started again: nothing is asked twice, nothing is lost, the order is kept."""
    run = RunDir(tmp_path / "run")
    flags = (*TOY, "--total-labels", "60", "--total-timesteps", "12000", "--queue-size", "8")
    trainers.append(start(run.path, *flags))
    until(run.labels.exists, "the store")
    person = Person(run, "ann", Pictures(run.drawn).has_video)
    person.answer(30)
    trainers[0].send_signal(signal.SIGINT)
    said, _ = trainers[0].communicate(timeout=DEADLINE_SECONDS)
    assert trainers[0].returncode == 130, said
    assert "stopped and saved" in said
    status = read_status(run.status)
    assert status is not None
    assert status.state == "stopped"
    waiting = [w.query_id for w in person.store.waiting()]

    trainers.append(start(run.path, "--resume"))
    person.desk = Desk(person.store, is_drawn=lambda _: True, repeat_share=0.1)  # nothing is drawn after the training
    person.answer(36)  # three repeats in each thirty, which the trainer doesn't count
    said, _ = trainers[1].communicate(timeout=DEADLINE_SECONDS)
    assert trainers[1].returncode == 0, said
    repeats = person.store.repeats()
    assert len(person.given) == len(set(person.given)) == 66
    asked_once = [q for q in person.given if q not in repeats]
    assert asked_once == sorted(asked_once)
    assert asked_once[30 - sum(q in repeats for q in person.given[:30]) :][: len(waiting)] == waiting
    result = run.read_result()
    assert len(repeats) == 6
    assert 60 - 8 <= result["labels"] <= 60  # it ends without the last ones, where they are no more than its queue
    assert [x.query_id for x in person.store.current_labels()] == person.given
    person.close()


@pytest.mark.slow
def test_a_run_stopped_while_its_first_answers_were_waited_for_goes_on(
    tmp_path: Path, trainers: list[subprocess.Popen[str]]
) -> None:
    """The agent has not acted yet in the new process, so that there is nothing to ask about but what waits."""
    run = RunDir(tmp_path / "run")
    flags = (*TOY, *UNHURRIED, "--total-labels", "80", "--total-timesteps", "6000", "--repeat-share", "0")
    trainers.append(start(run.path, *flags))
    until(run.labels.exists, "the store")
    person = Person(run, "ann", repeat_share=0.0)
    until(lambda: bool(person.store.waiting()), "a query")
    trainers[0].send_signal(signal.SIGINT)
    trainers[0].communicate(timeout=DEADLINE_SECONDS)
    person.answer(1)
    trainers.append(start(run.path, "--resume"))
    person.answer(79)
    said, _ = trainers[1].communicate(timeout=DEADLINE_SECONDS)
    assert trainers[1].returncode == 0, said
    assert run.read_result()["labels"] == len(set(person.given)) == 80
    person.close()


@pytest.mark.slow
def test_the_agent_trains_on_between_answers_and_waits_where_it_should(
    tmp_path: Path, trainers: list[subprocess.Popen[str]]
) -> None:
    run = RunDir(tmp_path / "run")
    flags = (*TOY, "--total-labels", "100", "--total-timesteps", "1000000", "--when-starved", "continue")
    trainers.append(start(run.path, *flags))
    until(run.labels.exists, "the store")
    person = Person(run, "ann")
    steps: list[int] = []
    for _ in range(10):
        before = steps[-1] if steps else -1
        until(lambda last=before: _steps(run) > last, "the next steps")  # type: ignore[misc]  # bound in the loop
        steps.append(_steps(run))
        person.answer(1)
    assert steps == sorted(set(steps))
    person.close()


@pytest.mark.slow
def test_answers_that_come_when_the_agent_has_learned_are_in_the_reward_model_and_it_is_said(
    tmp_path: Path, trainers: list[subprocess.Popen[str]]
) -> None:
    run = RunDir(tmp_path / "my run")
    flags = (*TOY, "--total-labels", "24", "--total-timesteps", "3000", "--queue-size", "20")
    trainers.append(start(run.path, *flags))
    until(run.labels.exists, "the store")
    person = Person(run, "ann", repeat_share=0.0)
    person.answer(12)  # what is due before the first fit; what is due later is no more than its queue
    said, _ = trainers[0].communicate(timeout=DEADLINE_SECONDS)
    assert trainers[0].returncode == 0, said
    result, reward, policy = run.read_result(), run.reward.read_bytes(), run.policy.read_bytes()
    assert result["labels"] == 12
    n_late = len(person.store.waiting())
    assert n_late > 1
    person.answer(n_late)
    trainers.append(start(run.path, "--resume"))
    said, _ = trainers[1].communicate(timeout=DEADLINE_SECONDS)
    assert trainers[1].returncode == 0, said
    assert f"{n_late} answers came after the agent's last rollout: the reward model has learned from them" in said
    steps = result["timesteps"]
    assert f"prefrl train --run-dir '{run.path}' --resume --total-timesteps {2 * steps}" in said
    again = run.read_result()
    assert (again["labels"], again["timesteps"]) == (12 + n_late, steps)
    assert run.reward.read_bytes() != reward
    assert weights(run.policy.read_bytes()) == weights(policy)
    person.close()


def weights(policy: bytes) -> bytes:
    """The weights in a policy's zip."""
    with zipfile.ZipFile(io.BytesIO(policy)) as found:
        return found.read("policy.pth")


def _steps(run: RunDir) -> int:
    status = read_status(run.status)
    return -1 if status is None else status.steps


@pytest.mark.slow
def test_runs_of_people_and_of_the_oracle_read_the_same(tmp_path: Path, trainers: list[subprocess.Popen[str]]) -> None:
    """One report, whoever answered; what a labeler without a screen cannot have is said, not made up."""
    flags = ["--total-labels", "24", "--total-timesteps", "3000", "--repeat-share", "0.1"]
    runs = {name: RunDir(tmp_path / name) for name in ("oracle", "page", "window")}
    trained = ["train", "--env-id", "prefrl/Dot-v0", "--eval.episodes", "2", *flags]
    assert cli.main([*trained, "--labeler", "oracle", "--run-dir", str(runs["oracle"].path)]) == 0
    for name in ("page", "window"):  # both stand on the desk, and differ in nothing that is stored
        trainers.append(start(runs[name].path, *TOY, *UNHURRIED, *flags))
        until(runs[name].labels.exists, "the store")
        person = Person(runs[name], name)
        person.answer(26)
        person.close()
        said, _ = trainers[-1].communicate(timeout=DEADLINE_SECONDS)
        assert trainers[-1].returncode == 0, said
    for name, run in runs.items():
        assert cli.main(["report", str(run.path)]) == 0
        page = (run.path / "report.html").read_text()
        words = ["Answers", "Labelers", "Per minute", "For the left side", "Same again", "Agreement"]
        assert [word for word in words if word not in page] == [], name
        assert ("not applicable" in page) == (name == "oracle")
        # 25 gaps of a second between 26 answers.
        assert ("60.0 answers a minute" in page) == (name != "oracle")


def test_a_status_of_a_process_that_is_gone_says_stopped(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    status = AgentStatus(
        steps=5,
        total_steps=10,
        state="training",
        labels=1,
        total_labels=2,
        process_id=gone.pid,
        updated_at_utc_ms=0,
    )
    path = tmp_path / "agent.json"
    assert read_status(path) is None
    write_status(path, status)
    found = read_status(path)
    assert found is not None
    assert (found.state, found.steps) == ("stopped", 5)
    path.write_text('{"steps": 1}')
    assert read_status(path) is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--labeler", "window"], "display"),
        (["--labeler", "web", "--host", "256.1.1.1"], "no such host"),
        (["--labeler", "webb"], "did you mean web"),
        (["--labeler", "window", "--answers-per-query", "2"], "expected at least 2 people"),
        (["--labeler", "web", "--invite", "ann,bo", "--answers-per-query", "3"], "got 2; name them by --invite"),
        (["--labeler", "web", "--invite", "operator", "--port", "0"], "expected other names than operator"),
        (["--labeler", "web", "--invite", "x" * 65, "--port", "0"], "1 to 64 printable characters"),
        (["--labeler", "web", "--invite", "ann,oracle", "--port", "0"], "expected a person's name, got 'oracle'"),
        (["--labeler", "web", "--name", "function:mine", "--port", "0"], "a person's name, got 'function:mine'"),
        (["--labeler", "window", "--name", "Web"], "labelers of that name are no people; choose another by --name"),
        (["--labeler", "window", "--name", "x" * 65], "1 to 64 printable characters"),
        (["--labeler", "web", "--queue-size", "0"], "expected --queue-size (--people.queue-size) to be at least 1"),
    ],
)
def test_what_people_cannot_be_asked_with_is_said_in_one_line_before_anything_is_written(
    tmp_path: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    code = cli.main(["train", "--env-id", "prefrl/Dot-v0", *flags, "--run-dir", str(tmp_path / "run")])
    said = capsys.readouterr().err
    assert (code, said.count("\n"), message in said) == (2, 1, True), said
    assert not (tmp_path / "run").exists()


def test_a_port_that_is_taken_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = ["--labeler", "web", "--port", str(port), "--run-dir", str(tmp_path / "run")]
        assert cli.main(["train", "--env-id", "prefrl/Dot-v0", *flags]) == 2
    said = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1 port {port}: the port is taken" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["label", "serve"])
def test_a_folder_that_is_no_run_is_said(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, str(tmp_path / "nothing")]) == 2
    said = capsys.readouterr().err
    assert (
        said
        == f"prefrl: expected the folder of a run (with a config.toml) at {tmp_path}/nothing, found nothing there\n"
    )


@pytest.mark.slow
def test_a_machine_without_opengl_says_so_before_anything_is_written(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "prefrl.cli", "train", "--env-id", "HalfCheetah-v5", "--labeler", "web"]
    ran = subprocess.run(
        [*command, "--port", "0", "--run-dir", str(tmp_path / "run")],
        env={**os.environ, "MUJOCO_GL": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "cannot draw robots" in ran.stderr
    assert "apt install" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_damaged_clip_is_withdrawn_and_said(tmp_path: Path, trainers: list[subprocess.Popen[str]]) -> None:
    """By the drawing worker, which finds it; the trainer tells, and goes on."""
    run = RunDir(tmp_path / "run")
    trainers.append(start(run.path, *TOY, *UNHURRIED, "--total-labels", "20", "--total-timesteps", "4000"))
    until(run.labels.exists, "the store")
    person = Person(run, "ann")
    until(lambda: bool(person.store.queries()), "a query")
    damaged = person.store.queries()[0]
    path = person.files.path(damaged.right_clip)
    path.write_bytes(b"not a clip")
    until(lambda: damaged.query_id in person.store.withdrawals(), "the withdrawal")
    person.desk = Desk(person.store, is_drawn=Pictures(run.drawn).has_video, repeat_share=0.0)
    person.answer(20)
    said, _ = trainers[0].communicate(timeout=DEADLINE_SECONDS)
    assert trainers[0].returncode == 0, said
    assert f"query {damaged.query_id} is withdrawn: clip file {path} is damaged" in said
    assert damaged.query_id not in person.given
    person.close()


@pytest.mark.slow
def test_what_the_agent_did_lately_is_longer_than_a_querys_clip(
    tmp_path: Path, trainers: list[subprocess.Popen[str]]
) -> None:
    """Files are named by what is in them, and this one is deleted: it must never be one that people are asked about."""
    run = RunDir(tmp_path / "run")
    flags = ("--clip-seconds", "8", "--clips.max-clip-steps", "80", "--env-kwargs", "max_episode_steps:200")
    trainers.append(start(run.path, *TOY, *flags))

    def newest() -> str | None:
        status = read_status(run.status)
        return None if status is None else status.newest_clip

    until(lambda: newest() is not None, "a clip of what the agent did lately")
    clip_id = newest()
    assert clip_id is not None
    files = ClipFiles(run.clips)
    assert len(files.read(clip_id).obs) == 81
    with Store(run.labels) as store:
        until(lambda: bool(store.queries()), "a query")
        assert {len(files.read(clip).obs) for query in store.queries() for clip in query.clip_ids} == {80}


NOBODY = "nobody has answered for 0 min; the agent trains on without answers"


def test_the_reminder_says_whether_the_page_is_open_and_else_a_command_that_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "_REMIND_SECONDS", 0.0)
    run, said = RunDir(tmp_path / "win 1"), list[str]()
    config = default_config("prefrl/Dot-v0", labeler="web", run_dir=str(run.path), people={"port": 0})
    run.create()
    run.config.write_text(dump(config), encoding="utf-8")
    world = make_world(config, n_envs=2, seed=0, views=True)
    with Store(run.labels) as store:
        query = Query(
            query_id="q0",
            clip_ids=("a" * 64, "b" * 64),
            asked_at_step=0,
            round=0,
            strategy="uniform",
            is_random=True,
        )
        store.add_queries([query], answers_wanted=1)
        loop = build_loop(config, world, store, run, PeopleLabeler("web", 1), Stopwatch())
        asked = people.People(config, run, loop, said.append)
        asked.open()
        asked.remind()
        (line,) = [line for line in said if "nobody has answered for 0 min" in line]
        assert line == f"prefrl: 1 pair waits and {NOBODY}. The page is open"
        asked.close("ended")
        said.clear()
        asked.remind()
        assert f"prefrl: 1 pair waits and {NOBODY}. If no page is open, open it by: prefrl serve '{run.path}'" in said
    world.venv.close()
