"""When queries are asked: the first round, the last one, and rounds that wait for a clip."""

from pathlib import Path
from typing import Any

import pytest
from toy_runs import toy_config

import prefrl
from labeling.store import Store
from prefrl.build import _rounds
from prefrl.config import QueryConfig
from prefrl.errors import UserError
from prefrl.metrics_file import read_metrics
from prefrl.rundir import RunDir


@pytest.mark.slow
def test_the_first_round_may_wait_and_the_agent_does_not_learn_before_it(tmp_path: Path) -> None:
    result = prefrl.train(toy_config(tmp_path / "run", queries={"first_round_steps": 1500}))
    with Store.open_read_only(result.run.labels) as store:
        asked = [query.asked_at_step for query in store.queries()]
    assert min(asked) == 1536  # rollouts of 512 steps: the first that ends past 1500
    assert len(asked) == 40
    rows = read_metrics(result.run.metrics)
    moved = dict(zip(rows["time/total_timesteps"], rows["train/approx_kl"], strict=True))
    assert moved[1024] == pytest.approx(0.0, abs=1e-6)
    assert (moved[2048] or 0) > 1e-5


@pytest.mark.slow
def test_labels_of_another_run_are_learned_at_once_and_the_first_question_still_waits(tmp_path: Path) -> None:
    first = prefrl.train(toy_config(tmp_path / "a", total_timesteps=1024))
    queries = {"first_round_steps": 1500}
    result = prefrl.train(toy_config(tmp_path / "b", labels_from=str(first.run.path), queries=queries))
    own = [step for step in asked_at(result.run) if step > 512]
    assert (min(own), len(own)) == (1536, 40)
    rows = read_metrics(result.run.metrics)
    moved = dict(zip(rows["time/total_timesteps"], rows["train/approx_kl"], strict=True))
    assert (moved[1024] or 0) > 1e-5


@pytest.mark.parametrize(
    ("first", "rounds"), [(0, (512, 3584)), (1500, (1536, 3584)), (1400, (1536, 3584)), (10**9, (4096, 4096))]
)
def test_where_the_first_round_waits_the_last_one_still_falls_into_the_run(first: int, rounds: tuple[int, int]) -> None:
    queries = QueryConfig(round_steps=1024, first_round_steps=first)
    assert _rounds(4096, 512, queries, with_people=False) == rounds
    assert _rounds(4096, 512, queries, with_people=True) == (512, 4096)  # every rollout is a round


def asked_at(run: RunDir) -> list[int]:
    with Store.open_read_only(run.labels) as store:
        return [query.asked_at_step for query in store.queries()]


@pytest.mark.slow
def test_where_one_clip_alone_can_be_cut_the_round_waits_for_a_second(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"world": {"n_envs": 1}, "ppo": {"n_steps": 15, "batch_size": 15, "n_epochs": 1}}
    result = prefrl.train(toy_config(tmp_path / "run", total_timesteps=150, **settings))  # clips of 15 steps, too
    assert min(asked_at(result.run)) == 30
    assert result.summary["labels"] == 40


SHORT: dict[str, Any] = {"n_steps": 8, "batch_size": 64, "n_epochs": 1}
"""Rollouts of 8 steps where clips have 15."""


@pytest.mark.slow
def test_rollouts_shorter_than_a_clip_are_waited_for_although_all_labels_are_due_at_once(tmp_path: Path) -> None:
    queries = {"label_window": 0.0, "round_steps": 256}
    result = prefrl.train(toy_config(tmp_path / "run", total_timesteps=640, queries=queries, ppo=SHORT))
    assert asked_at(result.run) == [128] * 10 + [384] * 30  # the second rollout of 64 steps is the first with a clip


@pytest.mark.slow
def test_all_labels_are_asked_where_the_first_round_had_to_wait(tmp_path: Path) -> None:
    queries = {"label_window": 1.0, "round_steps": 192}
    result = prefrl.train(toy_config(tmp_path / "run", total_timesteps=640, queries=queries, ppo=SHORT))
    at = asked_at(result.run)
    assert sorted(set(at)) == [128, 320, 512]  # the round of step 704 would be after the end
    assert len(at) == result.summary["labels"] == 40


@pytest.mark.slow
def test_a_run_too_short_for_two_clips_is_said(tmp_path: Path) -> None:
    for total, n_envs in ((64, 8), (15, 1)):
        ppo = SHORT if n_envs == 8 else {"n_steps": 15, "batch_size": 15}
        config = toy_config(tmp_path / f"{n_envs}", total_timesteps=total, world={"n_envs": n_envs}, ppo=ppo)
        with pytest.raises(UserError, match=f"a clip of 15 steps, got fewer than two such clips in {total} "):
            prefrl.train(config)
