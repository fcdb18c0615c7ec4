"""Configs on disk: what is written is what is read, and what is wrong is said with the nearest right word."""

import dataclasses
from pathlib import Path

import pytest

from prefrl import configfile
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.families import family, preset_for


def test_a_config_survives_the_disk(tmp_path: Path) -> None:
    config = configfile.overlay(
        Config(env_id='my "game":X-v0'),
        {"seed": 7, "reward_model": {"hidden": [8, 4], "learning_rate": 1e-5}, "world": {"env_kwargs": ["a:1"]}},
        "test",
    )
    path = tmp_path / "config.toml"
    path.write_text(configfile.dump(config), encoding="utf-8")
    assert configfile.load(path) == config
    assert config.reward_model.hidden == (8, 4)


def test_settings_of_teachers_survive_the_disk_and_old_configs_without_them_are_read(tmp_path: Path) -> None:
    teacher = {"reliabilities": [0.9, 1, 1e-7], "fatigue_answers": 300, "beta": 2}
    config = configfile.overlay(Config(env_id="x"), {"labeler": "crowd", "teacher": teacher}, "test")
    assert config.teacher.reliabilities == (0.9, 1.0, 1e-7)
    path = tmp_path / "config.toml"
    path.write_text(configfile.dump(config), encoding="utf-8")
    assert configfile.load(path) == config
    path.write_text(configfile.dump(config).split("\n[teacher]")[0], encoding="utf-8")
    assert configfile.load(path).teacher == Config(env_id="x").teacher


@pytest.mark.parametrize("name", configfile.preset_names())
def test_every_preset_fits_the_config(name: str) -> None:
    config = configfile.overlay(Config(env_id="x"), configfile.read_preset(name), name)
    assert dataclasses.is_dataclass(config)


def test_whole_numbers_may_stand_for_floats_and_nothing_else_is_bent() -> None:
    config = configfile.overlay(Config(env_id="x"), {"clips": {"clip_seconds": 2}}, "t")
    assert config.clips.clip_seconds == 2.0
    assert isinstance(config.clips.clip_seconds, float)
    for bad in (
        {"seed": 1.5},
        {"seed": True},
        {"progress": 1},
        {"reward": "both"},
        {"world": 3},
        {"clips": {"clip_seconds": "2"}},
    ):
        with pytest.raises(UserError, match="expected"):
            configfile.overlay(Config(env_id="x"), bad, "t")


def test_unknown_keys_name_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown key 'total_label' in t; did you mean total_labels"):
        configfile.overlay(Config(env_id="x"), {"total_label": 3}, "t")


@pytest.mark.parametrize(
    ("env_id", "kind"),
    [
        ("HalfCheetah-v5", "robots"),
        ("ALE/Pong-v5", "atari"),
        ("prefrl/Dot-v0", "toy"),
        ("CartPole-v1", "custom"),
        ("my_game:MyGame-v0", "custom"),
    ],
)
def test_the_kind_of_world_is_told_from_its_id(env_id: str, kind: str) -> None:
    assert family(env_id) == kind
    assert preset_for(env_id, "cpu") == ("atari-cpu" if kind == "atari" else kind)
    assert preset_for(env_id, "cpu") in configfile.preset_names()
