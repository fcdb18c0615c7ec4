"""Rows of a benchmark, made up: what the tests of its report stand on."""

from __future__ import annotations

from prefrl.outcome import Outcome, Row

VERSIONS = {"python": "3.11.7", "torch": "2.13.0"}


def row(
    env_id: str,
    seed: int,
    env_return: float,
    labels: int = 0,
    *,
    teacher: str = "oracle",
    strategy: str = "uniform",
    variant: str = "",
    random_return: float = 0.0,
    seconds: float = 100.0,
    given: int | None = None,
    versions: dict[str, str] = VERSIONS,
) -> Row:
    """A run on the score where there are no labels, else on preferences."""
    is_score = labels == 0
    name = (
        f"{env_id}-{variant}-score-{seed}" if is_score else f"{env_id}-{variant}-{teacher}-{strategy}-{labels}-{seed}"
    )
    outcome = Outcome(
        cell=name,
        env_id=env_id,
        seed=seed,
        reward="score" if is_score else "preferences",
        timesteps=10_000,
        labels=labels if given is None else given,
        env_return=env_return,
        env_return_std=2.0,
        random_return=random_return,
        eval_episodes=20,
        val_accuracy=None if is_score else 0.75 + seed / 100,
        curve_steps=(0, 5_000 + seed, 10_000),
        curve_returns=(random_return, env_return / 2, env_return),
        seconds={"total": seconds, "collect": seconds / 2, "learn": seconds / 2},
        policy_sha256="ab" * 32,
        labels_sha256="" if is_score else "cd" * 32,
        command=f"prefrl train --env-id {env_id} --seed {seed} --total-labels {labels}",
        versions=versions,
    )
    if is_score:
        return Row(env_id, 0, "", "", variant, seed, outcome)
    return Row(env_id, labels, teacher, strategy, variant, seed, outcome)


def small_suite() -> list[Row]:
    """Two tasks, two seeds, the score and two numbers of labels. A: random -100, score 300. B: random 0, score 10."""
    rows = [row("A-v5", seed, (200.0, 400.0)[seed], random_return=-100.0) for seed in (0, 1)]
    rows += [row("A-v5", seed, (50.0, 150.0)[seed], 50, random_return=-100.0) for seed in (0, 1)]
    rows += [row("A-v5", seed, (300.0, 500.0)[seed], 100, random_return=-100.0) for seed in (0, 1)]
    rows += [row("B-v5", seed, (9.0, 11.0)[seed]) for seed in (0, 1)]
    rows += [row("B-v5", seed, (5.0, 6.0)[seed], 50) for seed in (0, 1)]
    return rows + [row("B-v5", seed, (10.0, 8.0)[seed], 100) for seed in (0, 1)]
