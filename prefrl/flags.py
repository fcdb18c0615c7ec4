"""The flags of `prefrl train`: defaults, the presets of world and labeler, the user's TOML file, then what is typed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from prefrl import configfile
from prefrl.arguments import parse
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.families import FEW_ANSWERS, preset_for, presets_of
from prefrl.removed_settings import check_flags
from prefrl.repeated import gather
from prefrl.rundir import RunDir


@dataclass(frozen=True)
class TrainArgs:
    """Train an agent from preferences: it never sees the score."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    preset: str = "auto"
    """Settings to begin from: auto (by the kind of environment and of labeler, of robots by --total-labels too), none,
    or a name; see prefrl/presets."""
    config_file: Annotated[str, tyro.conf.arg(aliases=("--config", "--conf-file"))] = ""
    """A TOML file laid over the preset; flags are laid over it."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on with the run in --run-dir from its newest checkpoint."""


def parse_train(args: list[str]) -> tuple[Config, bool]:
    """The config that the flags come to, and whether to resume.

    Raises:
        UserError: A preset, file, key or flag that is not there, or has no such value.
        SystemExit: The help has been shown (0).
    """
    check_flags(args)
    early = _read_early([_dashed(word) for word in args])
    if early.run_dir == "":
        raise UserError("expected --run-dir to name a folder, got nothing; without it there is a default under runs/")
    base = _resumed(early) if early.resume else _begun(early)
    parsed = parse(TrainArgs, "prefrl train", gather(args), default=TrainArgs(base, config_file=early.config))
    return parsed.config, parsed.resume


def default_config(env_id: str, **changes: object) -> Config:
    """The config that `prefrl train --env-id ENV_ID` begins from: the preset of the environment's kind.

    Args:
        env_id: A Gymnasium id.
        changes: Top-level fields of the config to set (seed=1, total_labels=350), or tables of a part of it
            (ppo={"n_steps": 128}).

    Raises:
        UserError: A field that is not there, or a value of another type; what is out of range `train` refuses.
    """
    preset = preset_for(env_id, str(changes.get("device", "auto")))
    config = under_preset(preset, Config(env_id=env_id), changes)
    return configfile.overlay(config, changes, "default_config")


def under_preset(preset: str, config: Config, given: Mapping[str, object]) -> Config:
    """The config with a preset laid over it, and over that what there is for people and for few labels.

    Args:
        preset: Its name.
        config: What it is laid over.
        given: Settings that will be laid over both, also as they were typed: what cannot be read is refused elsewhere.
    """
    try:
        n_labels = int(str(given.get("total_labels")))
    except ValueError:
        n_labels = config.total_labels
    is_few = n_labels <= FEW_ANSWERS and not given.get("labels_from")
    for name in presets_of(preset, str(given.get("labeler")), is_few=is_few):
        config = configfile.overlay(config, configfile.read_preset(name), f"preset {name}")
    return config


def _dashed(word: str) -> str:
    """A flag as it is written in the help: it may be typed with underscores."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else word


def _read_early(args: list[str]) -> argparse.Namespace:
    """Only what decides on the defaults; everything is read again, and what is wrong said then."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--env-id", "--env", default="")
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--config-file", "--config", "--conf-file", dest="config", default="")
    parser.add_argument("--device", default="")
    parser.add_argument("--labeler", default="")
    parser.add_argument("--total-labels", default="")
    parser.add_argument("--labels-from", default="")
    parser.add_argument("--run-dir", "-f", default=None)
    parser.add_argument("--resume", action="store_true")
    try:
        return parser.parse_known_args(args)[0]
    except argparse.ArgumentError as e:
        raise UserError(str(e)) from e


def _begun(early: argparse.Namespace) -> Config:
    settings = configfile.read_toml(Path(early.config)) if early.config else {}
    env_id = early.env_id or settings.get("env_id", "")
    base = Config(env_id=env_id or tyro.MISSING)
    preset = early.preset
    if preset not in ("auto", "none"):
        configfile.check_preset(preset)
    if preset == "auto":
        device = early.device or settings.get("device", "auto")
        preset = preset_for(env_id, device) if isinstance(env_id, str) and env_id else "none"
    if preset != "none":
        given = {
            name: getattr(early, name) or settings.get(name) for name in ("labeler", "total_labels", "labels_from")
        }
        base = under_preset(preset, base, given)
    return configfile.overlay(base, settings, early.config)


def _resumed(early: argparse.Namespace) -> Config:
    if early.config or early.preset != "auto":
        raise UserError("expected no --config and no --preset with --resume: the run folder has the run's settings")
    if not early.run_dir:
        raise UserError("expected --run-dir with --resume: the folder of the run to go on with")
    run = RunDir(Path(early.run_dir)).must_exist()
    return replace(configfile.load(run.config, to_train=True), run_dir=early.run_dir)
