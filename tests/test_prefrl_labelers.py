"""Labelers: who is told the score, what a teacher has seen, and that it goes on where it was after a pause."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefrl
from labeling.choice import Choice
from labeling.clip import Clip
from labeling.store import Store
from labeling.teachers import TEACHERS, oracle
from labeling.teaching import EnvRewards, Faults, Seen
from prefrl import build
from prefrl.config import TeacherConfig
from prefrl.errors import UserError
from prefrl.labelers import Answer, Asked, FunctionLabeler, Score, TeacherLabeler, check_function


def clip(seed: int) -> Clip:
    obs = np.full((3, 1), seed, np.float32)
    return Clip(
        obs=obs,
        actions=np.zeros(3, np.int64),
        view=None,
        n_stack=1,
        frame_rate=10.0,
        env_index=0,
        episode=0,
        start_step=0,
        agent_step=0,
    )


def asked(n: int) -> list[Asked]:
    return [Asked(f"q{i}", clip(0), clip(1)) for i in range(n)]


def score(n: int, n_answered: int = 0) -> Score:
    rewards = np.tile(np.array([[[1.0], [0.0]]], np.float32), (n, 1, 1))
    return Score(rewards, np.array([1.0, 2.0, 6.0]), n_answered)


def choices(labeler: TeacherLabeler, told: Score) -> list[Choice]:
    (answers,) = labeler.answer(asked(len(told.env_rewards)), told)
    assert [x.query_id for x in answers] == [f"q{i}" for i in range(len(answers))]
    return [x.choice for x in answers]


def test_a_teacher_is_told_margin_and_spread_of_recent_clips() -> None:
    told: list[tuple[Seen, Faults]] = []

    def spy(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
        told.append((seen, faults))
        return oracle(env_rewards, rng, faults, seen)

    faults = Faults(beta=2.0)
    assert choices(TeacherLabeler("spy", spy, faults, 7), score(2, 40)) == [Choice.LEFT, Choice.LEFT]
    # Of 1, 2 and 6: the mean is 3, the variance (4 + 1 + 9) / 3 = 14 / 3.
    assert told == [(Seen(margin=3.0, spread=(14 / 3) ** 0.5, n_answered=40), faults)]


def test_what_a_teacher_draws_depends_on_its_seed_and_on_its_answers_so_far() -> None:
    def mistaken(seed: int, n_answered: int) -> list[Choice]:
        labeler = TeacherLabeler("mistake", TEACHERS["mistake"], Faults(mistake_rate=0.5), seed)
        return choices(labeler, score(100, n_answered))

    assert mistaken(7, 40) == mistaken(7, 40)
    assert len({tuple(mistaken(seed, n)) for seed in (7, 8) for n in (0, 40)}) == 4
    by_hand = np.random.default_rng((7, 40)).random(100)
    assert mistaken(7, 40) == [Choice.RIGHT if draw < 0.5 else Choice.LEFT for draw in by_hand]


def test_settings_of_teachers_are_the_faults_they_set() -> None:
    assert dataclasses.asdict(TeacherConfig()) == dataclasses.asdict(Faults())
    config = prefrl.default_config("prefrl/Dot-v0", labeler="mistake", teacher={"mistake_rate": 1.0})
    labeler = build.make_labeler(config, None, 3)
    assert isinstance(labeler, TeacherLabeler)
    assert (labeler.name, labeler.reads_score, labeler.needs_views) == ("mistake", True, False)
    assert choices(labeler, score(3)) == [Choice.RIGHT] * 3


def small(folder: Path, labeler: str, **changes: object) -> prefrl.Config:
    settings: dict[str, object] = {
        "labeler": labeler,
        "total_labels": 30,
        "total_timesteps": 2048,
        "run_dir": str(folder),
        "progress": False,
        "world": {"n_envs": 4},
        "ppo": {"n_steps": 128, "n_epochs": 1},
        "queries": {"round_steps": 512, "label_window": 1.0},
        "reward_model": {"initial_epochs": 2, "epochs": 1},
        "eval": {"episodes": 2},
    }
    return prefrl.default_config("prefrl/Dot-v0", **{**settings, **changes})


def answers_of(folder: Path) -> list[Choice | None]:
    with Store.open_read_only(folder / "labels.sqlite") as store:
        return [x.choice for x in store.labels_after(0)]


@pytest.mark.parametrize(
    ("labeler", "words"),
    [
        ("oracle", r"expected labeler to be a function of two clips, got 'oracle'; who else answers is named by the"),
        (lambda clip: Choice.LEFT, r"expected labeler to take two clips, .*\(clip\): too many positional arguments"),
        (lambda left, right, how: Choice.LEFT, r"\(left, right, how\): missing a required argument: 'how'"),
    ],
)
def test_a_labeler_that_cannot_be_asked_is_refused_before_anything_is_written(
    labeler: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words):
        prefrl.train(small(tmp_path / "run", "oracle"), labeler=labeler)
    assert not (tmp_path / "run").exists()


def test_what_can_be_called_with_two_clips_is_a_labeler() -> None:
    for function in (lambda *clips: Choice.LEFT, lambda left, right, how=1: Choice.LEFT, max):
        check_function(function)


def test_settings_out_of_range_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected --total-labels to be at least 1, got -1"):
        prefrl.train(small(tmp_path / "run", "oracle", total_labels=-1))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_function_of_the_users_is_told_nothing_of_the_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Score | None] = []
    real = FunctionLabeler.answer

    def spy(self: FunctionLabeler, queries: Sequence[Asked], given: Score | None) -> Iterator[list[Answer]]:
        told.append(given)
        return real(self, queries, given)

    monkeypatch.setattr(FunctionLabeler, "answer", spy)
    prefrl.train(small(tmp_path / "run", "oracle"), labeler=lambda left, right: Choice.LEFT)
    assert len(told) >= 3
    assert set(told) == {None}


@pytest.mark.slow
def test_a_resumed_run_goes_on_counting_a_teachers_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[tuple[int, int]] = []

    def spy(env_rewards: EnvRewards, rng: np.random.Generator, faults: Faults, seen: Seen) -> list[Choice]:
        assert seen.spread > 0
        batches.append((seen.n_answered, len(env_rewards)))
        return [Choice.SKIP] * len(env_rewards) if seen.n_answered == 0 else oracle(env_rewards, rng, faults, seen)

    monkeypatch.setitem(TEACHERS, "spy", spy)
    folder = tmp_path / "run"
    prefrl.train(small(folder, "spy", total_timesteps=1024, total_labels=14))
    n_before = len(batches)
    result = prefrl.train(small(folder, "spy", total_timesteps=2048), resume=True)
    assert 0 < n_before < len(batches)
    # Every batch begins where the one before ended, skips counted, and they come to the labels asked for.
    ends = np.cumsum([0, *(n for _, n in batches)]).tolist()
    assert [first for first, _ in batches] == ends[:-1]
    assert ends[-1] == 30 == result.summary["labels"]
    answers = answers_of(folder)
    assert len(answers) == 30
    assert answers.count(Choice.SKIP) == batches[0][1]  # a skip is an answer: it is not asked for again


@pytest.mark.slow
def test_skips_use_up_the_budget_of_labels_like_any_answer(tmp_path: Path) -> None:
    # Clips of Dot pay above 0. Below the whole mean of recent clips both of a pair lie about one time in four.
    result = prefrl.train(small(tmp_path / "run", "skip", teacher={"skip_share": 1.0}))
    answers = answers_of(tmp_path / "run")
    assert len(answers) == 30 == result.summary["labels"]
    assert 1 <= answers.count(Choice.SKIP) <= 20
    assert set(answers) <= {Choice.LEFT, Choice.RIGHT, Choice.SKIP}
