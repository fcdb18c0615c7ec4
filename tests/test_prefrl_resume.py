"""Stopped or killed, and gone on with: the run ends bit for bit as one that was left alone, or says why it cannot."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stateful_games  # noqa: F401  # registers its games
from numpy.typing import NDArray

import prefrl
from labeling.store import Store
from prefrl import cli
from prefrl.checkpoint import Checkpoint, load_newest, newest_whole, save_checkpoint, steps_of, verifies
from prefrl.errors import UserError, WorldFault
from prefrl.metrics_file import read_metrics
from prefrl.state_hash import state_hashes
from prefrl.training import Interrupted, _Training
from runs.resume_exact import CASES, Case, Killed, _Cut, cut_and_gone_on_with, hashes, left_alone, points

ROOT = Path(__file__).parent.parent
TIES = pytest.mark.filterwarnings("ignore:all .* answers so far are ties")
DOT = Case("prefrl/Dot-v0", rollouts=8)


def labels(folder: Path) -> list[tuple[str, str]]:
    with Store.open_read_only(folder / "labels.sqlite") as store:
        return [(label.query_id, str(label.choice)) for label in store.labels_after(0)]


@TIES
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[case.env_id for case in CASES])
def test_a_run_that_was_cut_ends_as_one_that_was_left_alone(case: Case, tmp_path: Path) -> None:
    case = replace(case, rollouts=8)
    wanted = left_alone(case, tmp_path / "alone")
    for i, (how, step) in enumerate(points(case, 3, seed=1)):
        found = cut_and_gone_on_with(case, tmp_path / f"{i}", how, step)
        assert found == wanted, f"{how} at {step}"
        assert labels(tmp_path / f"{i}") == labels(tmp_path / "alone")
    begun = state_hashes_of_a_beginning(case, tmp_path / "begun")
    assert begun["policy"] != wanted["policy"]  # something was learned in between
    assert begun["world"] != wanted["world"]


def state_hashes_of_a_beginning(case: Case, folder: Path) -> dict[str, str]:
    """What a run of the case begins with."""
    with ExitStack() as stack:
        training = _Training(case.config(folder), case.labeler, False, stack)
        assert training.agent.env is not None
        training.agent._last_obs = training.agent.env.reset()  # type: ignore[assignment]  # an array here
        training._checkpoint()
    return hashes(folder)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_run_on_the_score_does_too(how: str, tmp_path: Path) -> None:
    case = Case("Pendulum-v1", rollouts=9, changes={"reward": "score"})
    assert cut_and_gone_on_with(case, tmp_path / "cut", how, 5 * case.rollout) == left_alone(case, tmp_path / "alone")


@pytest.mark.slow
def test_how_large_the_learned_reward_is_goes_on_too(tmp_path: Path) -> None:
    case = replace(DOT, changes={"ppo": {"normalize_learned": True}})
    wanted = left_alone(case, tmp_path / "alone")
    assert wanted["return_scale"] != left_alone(DOT, tmp_path / "as it is")["return_scale"]
    assert cut_and_gone_on_with(case, tmp_path / "cut", "kill", 5 * case.rollout) == wanted


@pytest.mark.slow
def test_what_was_asked_after_the_last_checkpoint_is_asked_again_and_nobody_answers_it_twice(tmp_path: Path) -> None:
    asked: list[str] = []

    def rightmost(left: prefrl.Clip, right: prefrl.Clip) -> prefrl.Choice:
        asked.append(left.clip_id + right.clip_id)
        return prefrl.Choice.LEFT if left.obs[:, 0].sum() > right.obs[:, 0].sum() else prefrl.Choice.RIGHT

    case = replace(DOT, labeler=rightmost)
    wanted = left_alone(case, tmp_path / "alone")
    alone = asked[:]
    asked.clear()
    # Killed at 640, where a round has ended; the last checkpoint is of 384.
    assert cut_and_gone_on_with(case, tmp_path / "cut", "kill", 640) == wanted
    assert asked == alone
    assert len(set(asked)) == 60


@pytest.mark.slow
def test_where_the_run_goes_another_way_the_answers_it_had_count_and_none_is_lost(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with ExitStack() as stack:
        training = _Cut(DOT.config(run), None, False, stack)
        training.kill_at = 640
        with pytest.raises(Killed):
            training.run_to_end()
    before = labels(run)
    newest = newest_whole(run / "checkpoints")
    assert newest is not None
    with Store.open_read_only(run / "labels.sqlite") as store:
        assert max(query.asked_at_step for query in store.queries()) == 640 > steps_of(newest) == 384
    result = prefrl.train(replace(DOT.config(run), total_labels=90), resume=True)  # more is due in every round
    after = labels(run)
    assert after[: len(before)] == before
    assert len({query_id for query_id, _ in after}) == len(after) == result.summary["labels"] == 90


@pytest.mark.slow
def test_sigterm_and_resume_by_the_command_line_end_as_if_nothing_had_been(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    base = [sys.executable, "-m", "prefrl.cli"]
    args = ["train", "--env-id", "prefrl/Dot-v0", "--total-labels", "40", "-n", "6000", "--eval.episodes", "2"]

    def prefrl_cli(*words: str) -> str:
        done = subprocess.run([*base, *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    prefrl_cli(*args, "--run-dir", "alone", "--no-progress")
    command = [*base, *args, "--run-dir", "cut"]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "steps/s" in process.stderr.readline()  # the first rollout is done
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait() == 130
    assert "stopped and saved; go on with: prefrl train --run-dir cut --resume" in rest
    newest = newest_whole(tmp_path / "cut" / "checkpoints")
    assert newest is not None
    assert 0 < steps_of(newest) < 6000
    prefrl_cli("train", "--run-dir", "cut", "--resume", "--no-progress")
    alone, cut = prefrl_cli("state-hash", "alone"), prefrl_cli("state-hash", "cut")
    assert alone == cut
    assert len(alone.splitlines()) > 10
    results = [json.loads((tmp_path / d / "result.json").read_text(encoding="utf-8")) for d in ("alone", "cut")]
    assert results[0]["env_return"] == results[1]["env_return"]


@pytest.mark.slow
def test_a_game_that_cannot_tell_its_state_begins_new_episodes_and_says_so_once(tmp_path: Path) -> None:
    case = Case("OpaqueWalk-v0", rollouts=8)
    with pytest.warns(UserWarning, match="begin new episodes.*walker holds a Walker") as said:
        cut_and_gone_on_with(case, tmp_path / "cut", "kill", 640)
    assert len([w for w in said if "new episodes" in str(w.message)]) == 1
    assert len(labels(tmp_path / "cut")) == 60


@pytest.mark.slow
def test_a_game_that_tells_its_state_goes_on_exactly(tmp_path: Path) -> None:
    case = Case("TellingWalk-v0", rollouts=8)
    assert cut_and_gone_on_with(case, tmp_path / "cut", "kill", 640) == left_alone(case, tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.parametrize("reward", ["preferences", "score"])
def test_what_breaks_in_an_episode_that_began_before_leaves_no_file_that_leads_elsewhere(
    reward: str, tmp_path: Path
) -> None:
    case = Case("LastingWalk-v0", rollouts=8, changes={"reward": reward, "world": {"restarts": 0}})
    alone, cut = tmp_path / "alone", tmp_path / "cut"
    with pytest.raises(WorldFault, match=r"ArithmeticError: worn out .* at its step 150.*; to see it again: "):
        left_alone(case, alone)
    assert cli.main(["check-env", "--replay", str(alone / "crash.npz")]) == 1
    with pytest.raises(WorldFault, match=r"worn out .* at its step 150.* for the run was resumed in the middle of"):
        cut_and_gone_on_with(case, cut, "stop", 384)
    assert not (cut / "crash.npz").exists()


@pytest.fixture(scope="module")
def dot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dot") / "run"
    left_alone(DOT, folder)
    return folder


@pytest.mark.slow
def test_a_checkpoint_of_version_1_is_gone_on_with_in_new_episodes(dot: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(dot, run)
    newest = load_newest(run / "checkpoints")
    assert newest is not None
    shutil.rmtree(run / "checkpoints")
    save_checkpoint(run / "checkpoints", newest.state["steps"], as_version_1(newest))
    config = DOT.config(run)
    with pytest.warns(UserWarning, match="new episodes.*an earlier version"):
        result = prefrl.train(replace(config, total_timesteps=config.total_timesteps + 512), resume=True)
    assert result.summary["timesteps"] == config.total_timesteps + 512
    assert result.summary["labels"] == 60


def as_version_1(checkpoint: Checkpoint) -> Checkpoint:
    """The same state as the version before wrote it: flat, its statistics as tensors, without episodes."""
    import torch

    from prefrl.state import _unpacked

    parts = _unpacked(checkpoint.state["parts"], dict(checkpoint.tensors))
    normalizer: dict[str, NDArray[Any]] = {"returns": parts["normalizer"]["returns"]}
    for name, numbers in parts["normalizer"]["statistics"].items():
        normalizer |= {f"{name}_{part}": np.asarray(value) for part, value in numbers.items()}
    tensors = {k: v for k, v in checkpoint.tensors.items() if not k.startswith("plain/")}
    tensors |= {f"normalizer/{k}": torch.as_tensor(v) for k, v in normalizer.items()}
    loop = {k: v for k, v in parts["loop"].items() if k not in ("must_fit", "guard_steps")}
    state = {k: checkpoint.state[k] for k in ("steps", "seconds")} | loop
    state |= {"n_updates": parts["agent"]["n_updates"], "label_cursor": parts["answers"]["cursor"]}
    return Checkpoint(tensors, state, version=1)


@pytest.mark.slow
def test_a_checkpoint_of_a_later_version_is_refused(dot: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(dot, run)
    newest = load_newest(run / "checkpoints")
    assert newest is not None
    save_checkpoint(run / "checkpoints", 10**6, replace(newest, version=9))
    with pytest.raises(UserError, match=r"expected a checkpoint of version 1 or 2 at .*, got 9"):
        prefrl.train(DOT.config(run), resume=True)


@pytest.mark.slow
def test_a_state_is_hashed_part_by_part_and_the_time_it_took_is_no_part(dot: Path) -> None:
    newest = load_newest(dot / "checkpoints")
    assert newest is not None
    wanted = state_hashes(newest)
    assert list(wanted)[-1] == "all"
    assert {"policy", "policy_optimizer", "reward_model", "normalizer", "generators", "world", "recorder"} < set(wanted)
    assert state_hashes(replace(newest, state={**newest.state, "seconds": {"learn": 1e9}})) == wanted
    changed = dict(newest.tensors)
    changed["policy/log_std" if "policy/log_std" in changed else "policy/action_net.bias"] = (
        changed["policy/action_net.bias"] + 1e-6
    )
    found = state_hashes(replace(newest, tensors=changed))
    assert {name for name in wanted if wanted[name] != found[name]} == {"policy", "all"}


@pytest.mark.slow
def test_the_rows_of_a_run_that_was_cut_are_those_of_one_that_was_left_alone(tmp_path: Path) -> None:
    left_alone(DOT, tmp_path / "alone")
    cut_and_gone_on_with(DOT, tmp_path / "cut", "stop", 5 * DOT.rollout)
    alone, cut = (read_metrics(tmp_path / name / "metrics.csv") for name in ("alone", "cut"))
    clocks = {"time/fps", "time/seconds", "time/time_elapsed"}
    assert {name for name in alone if alone[name] != cut.get(name)} <= {*clocks, "time/iterations"}
    assert alone["train/n_updates"] == [None, *(2.0 * i for i in range(1, 8))]
    # Stable-Baselines3 counts the iterations of one call.
    assert cut["time/iterations"] == [1, 2, 3, 4, 5, 1, 2, 3]


@pytest.mark.slow
def test_how_many_fits_were_taken_back_is_counted_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with ExitStack() as stack:
        training = _Cut(DOT.config(run), None, False, stack)
        assert training.loop is not None
        training.loop.n_taken_back = 3
        training.stop_at = 256
        with pytest.raises(Interrupted):
            training.run_to_end()
    older = tmp_path / "older"
    shutil.copytree(run, older)
    with ExitStack() as stack:
        gone_on = _Training(DOT.config(run), None, True, stack)
        assert gone_on.loop is not None
        assert gone_on.loop.n_taken_back == 3
    newest = newest_whole(older / "checkpoints")
    assert newest is not None
    checkpoint = load_newest(older / "checkpoints")
    assert checkpoint is not None
    del checkpoint.state["parts"]["loop"]["n_taken_back"], checkpoint.state["parts"]["log"]  # as was written before
    save_checkpoint(older / "checkpoints", 256, checkpoint)
    with ExitStack() as stack:
        gone_on = _Training(DOT.config(older), None, True, stack)
        assert gone_on.loop is not None
        assert (gone_on.loop.n_taken_back, gone_on.agent.num_timesteps) == (0, 256)


@pytest.mark.slow
def test_damaged_checkpoints_are_set_aside_said_and_not_counted(dot: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(dot, run)
    folder = run / "checkpoints"
    first, *others = sorted(folder.iterdir())
    for place in others:
        (place / "tensors.safetensors").write_bytes(b"bad")
    config = replace(DOT.config(run), total_timesteps=steps_of(others[-1]) + DOT.rollout)
    said = rf"goes on from {steps_of(first)} steps.* damaged; they are set aside as damaged-{others[0].name}, "
    with pytest.warns(UserWarning, match=said):
        prefrl.train(config, resume=True)
    names = sorted(place.name for place in folder.iterdir())
    assert [name for name in names if name.startswith("damaged-")] == [f"damaged-{place.name}" for place in others]
    whole = [folder / name for name in names if not name.startswith("damaged-")]
    assert all(map(verifies, whole))
    assert 3 <= len(whole) <= 4  # and the best


@pytest.mark.slow
def test_where_nothing_can_be_shown_at_the_end_that_is_said(tmp_path: Path) -> None:
    case = Case("OpaqueWalk-v0", n_steps=8, rollouts=16, changes={"ppo": {"batch_size": 32}})
    left_alone(case, tmp_path / "run")
    gallery = (tmp_path / "run" / "gallery.json").read_bytes()
    more = replace(case.config(tmp_path / "run"), total_timesteps=17 * case.rollout)
    with (
        pytest.warns(UserWarning, match="begin new episodes"),
        pytest.warns(UserWarning, match="no clip of 15 steps can be cut out of the 8 steps .* the report gets no new"),
    ):
        result = prefrl.train(more, resume=True)
    assert result.summary["timesteps"] == 17 * case.rollout
    assert (tmp_path / "run" / "gallery.json").read_bytes() == gallery
