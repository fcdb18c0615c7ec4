"""The score is secret: whatever the env reward is, the same labels teach the same bits."""

from pathlib import Path

import games  # noqa: F401  # registers SlideGame-v0
import pytest
import torch
from safetensors.torch import load_file
from stable_baselines3 import PPO

import prefrl
from labeling.choice import Choice
from labeling.clip import Clip
from labeling.store import Store


def rightmost(left: Clip, right: Clip) -> Choice:
    """Prefer the clip further to the right; sees observations only."""
    a, b = left.obs[:, 0].sum(), right.obs[:, 0].sum()
    return Choice.EQUAL if a == b else Choice.LEFT if a > b else Choice.RIGHT


def train(folder: Path, reward: str, seed: int = 0) -> prefrl.Result:
    config = prefrl.default_config(
        "SlideGame-v0",
        total_labels=30,
        total_timesteps=3000,
        seed=seed,
        run_dir=str(folder),
        progress=False,
        world={"n_envs": 4, "env_kwargs": [f"reward:{reward}"]},
        eval={"episodes": 4},
    )
    return prefrl.train(config, labeler=rightmost)


def policy(run: prefrl.Result) -> dict[str, torch.Tensor]:
    return dict(PPO.load(run.run.policy, device="cpu").policy.state_dict())


def answers(run: prefrl.Result) -> list[tuple[object, ...]]:
    with Store.open_read_only(run.run.labels) as store:
        clips = {q: store.query(q).clip_ids for q in {x.query_id for x in store.labels_after(0)}}
        return [(x.label_id, clips[x.query_id], x.labeler, x.choice) for x in store.labels_after(0)]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> prefrl.Result:
    return train(tmp_path_factory.mktemp("scored") / "run", "right")


@pytest.mark.slow
@pytest.mark.parametrize("reward", ["noise", "zero"])
def test_noise_for_a_score_teaches_the_same_bits(scored: prefrl.Result, tmp_path: Path, reward: str) -> None:
    other = train(tmp_path / "run", reward)
    for name, tensor in policy(scored).items():
        assert torch.equal(tensor, policy(other)[name]), name
    one, two = load_file(scored.run.reward), load_file(other.run.reward)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert answers(scored) == answers(other)
    assert scored.summary["env_return"] != other.summary["env_return"]  # the score was another indeed


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(scored: prefrl.Result, tmp_path: Path) -> None:
    again, other = train(tmp_path / "again", "right"), train(tmp_path / "other", "right", seed=1)
    for name, tensor in policy(scored).items():
        assert torch.equal(tensor, policy(again)[name]), name
    assert answers(scored) == answers(again)
    assert answers(scored) != answers(other)
    assert any(not torch.equal(t, policy(other)[n]) for n, t in policy(scored).items())


@pytest.mark.slow
def test_the_agent_learned_what_the_labeler_likes(scored: prefrl.Result) -> None:
    assert scored.summary["random_return"] < 30
    assert scored.summary["env_return"] > 38  # 50 steps of at most 1.0; it starts in the middle
