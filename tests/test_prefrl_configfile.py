"""Configs on disk: what is written is what is read, and what is wrong is said with the nearest right word."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from prefrl import configfile
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.families import family, preset_for
from prefrl.flags import default_config, parse_train
from prefrl.removed_settings import REMOVED


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


@example("hüpf 🙂")
@example("\x7f\x80\x01\x1f\t\b\f")
@example("a\r\nb\rc\u2028d\u0085e\ufeff")
@example('"""\\u0041\\#[x]\uffff\U0010ffff')
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_text_survives_the_disk(tmp_path: Path, text: str) -> None:
    config = configfile.overlay(Config(env_id="x"), {"people": {"task": text, "invite": ["a", text]}}, "test")
    configfile.check_readable(config)
    path = tmp_path / "config.toml"
    path.write_bytes(configfile.dump(config).encode())
    assert configfile.load(path) == config


LIMITS: list[dict[str, Any]] = [
    {"teacher": {"beta": math.inf}},
    {"clips": {"max_clip_steps": 10**6}},
    {"checkpoint_steps": 2**53},
    {"people": {"task": "🙂" * 10_000}},
]


@pytest.mark.parametrize("changes", LIMITS)
def test_what_may_be_written_can_be_read(changes: dict[str, Any], tmp_path: Path) -> None:
    config = configfile.overlay(Config(env_id="x"), changes, "test")
    configfile.check_readable(config)
    path = tmp_path / "config.toml"
    path.write_bytes(configfile.dump(config).encode())
    assert configfile.load(path) == config


UNREADABLE: dict[str, tuple[dict[str, Any], str]] = {
    "large": ({"checkpoint_steps": 2**53 + 1}, "--checkpoint-steps to be a number of usual size, at most 9,007"),
    "copies": ({"world.n_envs": 5000}, "--world.n-envs to be at most 4,096, got 5000"),
    "rollout": ({"ppo.n_steps": 2**20, "world.n_envs": 65}, "a rollout of at most 67,108,864 steps, got a larger one"),
    "infinite": ({"clips.clip_seconds": math.inf}, "--clips.clip-seconds to be a number of usual size, .* got inf"),
    "no number": ({"teacher.beta": math.nan}, "--teacher.beta to be a number of usual size, .* got nan"),
    "below all": ({"teacher.beta": -math.inf}, "--teacher.beta to be a number of usual size, .* got -inf"),
    "long": ({"people.task": "x" * 10_001}, "--people.task to be a text of at most 10,000 letters, got 10,001"),
    "surrogate": ({"people.task": "a\udcffb"}, r"--people.task to be a text of Unicode's letters, got '.udcff' in it"),
    "in a list": ({"people.invite": ("a", "\ud83d")}, "--people.invite to be a text of Unicode's letters"),
    "late in a list": ({"people.invite": ("a",) * 10_001 + ("\ud83d",)}, r"--people.invite .*, got '.ud83d' in it"),
    "NUL": ({"run_dir": "a\0b"}, r"--run-dir to be a text of Unicode's letters, got '.x00' in it"),
    "in all": ({"people.invite": ("x" * 10_000,) * 27}, "settings of at most 262,144 bytes in all, got 27"),
    "numpy's": ({"seed": np.int64(3)}, r"'seed' in the config to be a whole number, got np.int64\(3\)"),
    "a list": ({"teacher.reliabilities": [0.9]}, "expected tuples where settings are several, got a list"),
    "a list of sizes": ({"reward_model.hidden": [64, 64]}, "expected tuples where settings are several, got a list"),
    "a float": ({"total_labels": 7.0}, "'total_labels' in the config to be a whole number, got 7.0"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_could_not_be_read_again_is_refused_before_it_is_written(name: str) -> None:
    changes, words = UNREADABLE[name]
    config = Config(env_id="x")
    for dotted, value in changes.items():
        part, _, last = dotted.rpartition(".")
        inner = {last: value} if not part else {part: dataclasses.replace(getattr(config, part), **{last: value})}
        config = dataclasses.replace(config, **inner)
    with pytest.raises(UserError, match=words) as refused:
        configfile.check_readable(config)
    assert "\n" not in str(refused.value)


def test_lists_may_be_tuples_from_python() -> None:
    config = default_config("prefrl/Dot-v0", reward_model={"hidden": (32, 16)}, teacher={"reliabilities": (1, 0.5)})
    assert config.reward_model.hidden == (32, 16)
    assert config.teacher.reliabilities == (1.0, 0.5)
    assert config == default_config(
        "prefrl/Dot-v0", reward_model={"hidden": [32, 16]}, teacher={"reliabilities": [1, 0.5]}
    )
    with pytest.raises(UserError, match=r"expected 'hidden' in .* to be a list, got 64"):
        default_config("prefrl/Dot-v0", reward_model={"hidden": 64})
    with pytest.raises(UserError, match=r"expected 'hidden' in .* to be a whole number, got 1.5"):
        default_config("prefrl/Dot-v0", reward_model={"hidden": (64, 1.5)})


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


def test_a_run_that_an_earlier_version_made_is_read_where_a_removed_setting_did_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    text = configfile.dump(Config(env_id="HalfCheetah-v5"))
    old = text.replace("[reward_model]", "[reward_model]\ncrop = 1.0\nlinear_skip = false")
    assert old != text
    path.write_text(old.replace("[queries]", "[queries]\nexplore_steps = 0"))
    assert configfile.load(path) == Config(env_id="HalfCheetah-v5")
    assert configfile.load(path, to_train=True) == configfile.load(path)
    with_crop = text.replace("[reward_model]", "[reward_model]\ncrop = 0.7")
    path.write_text(with_crop)
    assert configfile.load(path) == Config(env_id="HalfCheetah-v5")  # answers and policy can still be read
    with pytest.raises(UserError, match=r"a run without reward_model\.crop to go on with, got .*config\.toml.*removed"):
        configfile.load(path, to_train=True)
    with pytest.raises(
        UserError, match=r"expected no crop in mine \[reward_model\], got 0\.7: .*removed.*leave it out"
    ):
        configfile.overlay(Config(env_id="x"), {"reward_model": {"crop": 0.7}}, "mine")
    with pytest.raises(UserError, match="unknown key 'crop'"):
        configfile.overlay(Config(env_id="x"), {"clips": {"crop": 1.0}}, "t")


def test_no_setting_is_both_removed_and_there() -> None:
    config = Config(env_id="x")
    for table, removed in REMOVED.items():
        assert not set(removed) & set(dataclasses.asdict(config)[table])
    for flag in (
        "--reward-model.crop",
        "--reward_model.crop=0.7",
        "--queries.no-stratified",
        "--reward-model.linear-skip",
    ):
        with pytest.raises(UserError, match=rf"expected no {flag.partition('=')[0]}: that setting was removed"):
            parse_train(["--env-id", "HalfCheetah-v5", flag])


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


def members(*args: str) -> int:
    return parse_train(list(args))[0].reward_model.members


def test_few_answers_of_a_robot_begin_from_a_preset_of_their_own(tmp_path: Path) -> None:
    robot = ("--env-id", "HalfCheetah-v5", "--total-labels")
    assert [members(*robot, str(n)) for n in (1, 200, 201, 700)] == [7, 7, 3, 3]
    assert members("--env-id", "HalfCheetah-v5") == members("--env-id", "prefrl/Dot-v0", "--total-labels", "100") == 3
    assert members(*robot, "100", "--reward-model.members", "2") == 2
    assert members(*robot, "100", "--preset", "robots") == 7
    assert members(*robot, "100", "--preset", "none") == 3
    few, many = (parse_train([*robot, *words])[0] for words in (["700", "--preset", "robots-few"], ["200"]))
    assert dataclasses.replace(few, total_labels=200) == many
    assert members(*robot, "100", "--labels-from", "runs/other") == 3  # how many those are is not known here
    assert default_config("HalfCheetah-v5", total_labels=100, labels_from="runs/other").reward_model.members == 3
    (tmp_path / "my.toml").write_text("total_labels = 100\n", encoding="utf-8")
    for flag in ("--config", "--config-file", "--config_file", "--conf-file", "--conf_file"):
        assert members("--env-id", "HalfCheetah-v5", flag, str(tmp_path / "my.toml")) == 7
    assert members(*robot, "700", "--config", str(tmp_path / "my.toml")) == 3
    found = [default_config("HalfCheetah-v5", total_labels=n).reward_model for n in (100, 700)]
    assert [(m.members, m.batch_size, m.max_batches) for m in found] == [(7, 16, 200), (3, 64, 0)]
    assert default_config("Hopper-v5", total_labels=100, labeler="web").reward_model.members == 7
