"""A cell's key is the same for whatever comes out the same, and its command trains the same cell."""

import shlex
from dataclasses import replace
from typing import Any

import pytest

from prefrl import configfile
from prefrl.cell import _OFF, Cell, cell_key, command, essence
from prefrl.config import Config
from prefrl.flags import default_config, parse_train


def toy(**changes: Any) -> Config:
    return default_config("prefrl/Dot-v0", **{"device": "cpu", **changes})


def test_keys_never_change_by_accident() -> None:
    """Whoever changes these throws away every outcome that was ever kept."""
    assert cell_key(toy()) == "759687cb85e4"
    assert cell_key(toy(reward="score", seed=3, total_timesteps=6000)) == "3d913b5f8718"
    crowd = toy(labeler="crowd", teacher={"reliabilities": [0.9, 0.6]}, reward_model={"hidden": [32], "shrink": 0.7})
    assert cell_key(crowd) == "c83a2ae8bd20"
    assert cell_key(default_config("HalfCheetah-v5", device="cpu", ppo={"normalize_learned": False})) == "b1455bcfe684"


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ({}, {"run_dir": "elsewhere"}),
        ({}, {"progress": False}),
        ({}, {"checkpoint_steps": 5}),
        ({}, {"people": {"task": "Go right.", "port": 1}}),
        ({"labeler": "oracle"}, {"teacher": {"mistake_rate": 0.4}}),
        ({"reward": "score"}, {"reward_model": {"members": 9}}),
        ({"reward": "score"}, {"total_labels": 5, "labeler": "mistake", "teacher": {"mistake_rate": 0.4}}),
        ({"reward": "score"}, {"queries": {"strategy": "uniform"}, "clips": {"clip_seconds": 9.0}}),
        ({"reward": "score"}, {"labels_from": "another"}),
        ({"reward": "score"}, {"ppo": {"normalize_learned": True}}),
    ],
)
def test_what_comes_out_the_same_has_one_key(base: dict[str, Any], changes: dict[str, Any]) -> None:
    assert cell_key(toy(**base, **changes)) == cell_key(toy(**base))


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ({}, {"seed": 1}),
        ({}, {"reward": "score"}),
        ({}, {"total_labels": 699}),
        ({}, {"total_timesteps": 299_999}),
        ({}, {"labeler": "mistake"}),
        ({}, {"labels_from": "another"}),
        ({}, {"torch_threads": 2}),
        ({}, {"queries": {"strategy": "uniform"}}),
        ({}, {"reward_model": {"members": 4}}),
        ({}, {"world": {"env_kwargs": ["action:continuous"]}}),
        ({}, {"eval": {"episodes": 3}}),
        ({"labeler": "mistake"}, {"teacher": {"mistake_rate": 0.4}}),
        ({"reward": "score"}, {"ppo": {"gamma": 0.98}}),
        ({"reward": "score"}, {"world": {"n_envs": 4}}),
        ({"reward": "score"}, {"seed": 1}),
    ],
)
def test_what_may_come_out_otherwise_has_another_key(base: dict[str, Any], changes: dict[str, Any]) -> None:
    assert cell_key(toy(**base)) != cell_key(toy(**{**base, **changes}))


@pytest.mark.parametrize("name", _OFF)
def test_a_setting_that_is_off_is_not_in_the_key_and_one_that_is_on_is(name: str) -> None:
    part, field = name.split(".")
    default = getattr(getattr(Config("x"), part), field)
    assert default == _OFF[name]
    assert type(default) is type(_OFF[name])
    assert name not in essence(toy())
    on = not default if isinstance(default, bool) else default + 1
    changed = toy(**{part: {field: on}})
    assert essence(changed)[name] == on
    assert set(essence(changed)) - set(essence(toy())) == {name}
    assert cell_key(changed) != cell_key(toy())


CONFIGS = {
    "as it is": toy(),
    "the score": toy(reward="score", seed=2, total_timesteps=6000),
    "lists": toy(
        labeler="crowd",
        teacher={"reliabilities": [0.5, 0.9]},
        reward_model={"hidden": [32, 16]},
        world={"env_kwargs": ["action:continuous"]},
    ),
    "on and off": toy(
        reward_model={"warm_start": False, "bootstrap": False},
        ppo={"normalize_obs": False, "linear_decay": True},
        eval={"deterministic": False},
    ),
    "numbers": toy(reward_model={"shrink": 1 / 3, "l2": 1e-7}, ppo={"ent_coef": -0.01}, queries={"round_steps": 7}),
    "mistake": toy(labeler="mistake", teacher={"mistake_rate": 0.3}, queries={"strategy": "k_center"}),
    "a robot": default_config("HalfCheetah-v5", device="cpu", total_labels=100),
    "a robot that begins with others' labels": default_config(
        "HalfCheetah-v5", device="cpu", total_labels=100, labels_from="runs/other"
    ),
    "device auto": default_config("HalfCheetah-v5"),
    "Atari on a CPU": default_config("ALE/Pong-v5", device="cpu", world={"masks": ["0,0,160,30"]}),
    "Atari on a GPU": default_config("ALE/Pong-v5", device="cuda"),
    "a game of one's own": default_config("my_game:Mine-v0", device="cpu", labels_from="my runs/one"),
    "what is no matter": toy(run_dir="x", progress=False, checkpoint_steps=7, people={"task": "Go."}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_command_trains_the_same_cell(name: str) -> None:
    config = CONFIGS[name]
    words = shlex.split(command(config))
    assert words[:2] == ["prefrl", "train"]
    back, resume = parse_train(words[2:])
    assert not resume
    plain = default_config(config.env_id, device=config.device)
    same = {f: getattr(plain, f) for f in ("run_dir", "progress", "checkpoint_steps", "people")}
    assert back == replace(config, **same)
    assert cell_key(back) == cell_key(config)


def test_atari_on_a_cpu_and_on_a_gpu_begin_from_presets_of_their_own() -> None:
    cpu, gpu = CONFIGS["Atari on a CPU"], CONFIGS["Atari on a GPU"]
    assert (cpu.world.frame_size, gpu.world.frame_size) == (42, 84)
    assert command(gpu) == "prefrl train --env-id ALE/Pong-v5 --seed 0 --device cuda"


@pytest.mark.parametrize("name", CONFIGS)
def test_a_key_outlives_the_file_that_a_cell_is_trained_from(name: str, tmp_path: Any) -> None:
    (tmp_path / "cell.toml").write_text(configfile.dump(CONFIGS[name]), encoding="utf-8")
    assert cell_key(configfile.load(tmp_path / "cell.toml")) == cell_key(CONFIGS[name])


def test_a_cells_name_says_what_is_trained() -> None:
    config = toy(total_labels=60, seed=2)
    assert Cell(config, "", "mistake 10%", "uniform").name == "prefrl/Dot-v0, 60 labels, mistake 10%, uniform, seed 2"
    assert Cell(toy(reward="score"), "no decay", "", "").name == "prefrl/Dot-v0, score, no decay, seed 0"
