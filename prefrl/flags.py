"""The flags of `prefrl train`: defaults, the presets of world and labeler, the user's TOML file, then what is typed."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from prefrl import configfile
from prefrl.arguments import parse
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.families import preset_for, presets_of
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
    early = _read_early(args)
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
    config = under_preset(preset, Config(env_id=env_id), changes.get("labeler"), changes.get("total_labels"))
    return configfile.overlay(config, changes, "default_config")


def under_preset(preset: str, config: Config, labeler: object, total_labels: object) -> Config:
    """The config with a preset laid over it, and over that what there is for this labeler and so few labels.

    Both may be as they were typed: what cannot be read is left to whoever reads it by its name.
    """
    try:
        n_labels = int(str(total_labels))
    except ValueError:
        n_labels = config.total_labels
    for name in presets_of(preset, str(labeler), n_labels):
        config = configfile.overlay(config, configfile.read_preset(name), f"preset {name}")
    return config


def _read_early(args: list[str]) -> argparse.Namespace:
    """Only what decides on the defaults; everything is read again, and what is wrong said then."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--env-id", "--env", "--env_id", default="")
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--config-file", "--config", "--conf-file", "--config_file", dest="config", default="")
    parser.add_argument("--device", default="")
    parser.add_argument("--labeler", default="")
    parser.add_argument("--total-labels", "--total_labels", default="")
    parser.add_argument("--run-dir", "--run_dir", "-f", default=None)
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
    if preset == "auto":
        device = early.device or settings.get("device", "auto")
        preset = preset_for(env_id, device) if isinstance(env_id, str) and env_id else "none"
    if preset != "none":
        labeler, n_labels = (getattr(early, name) or settings.get(name) for name in ("labeler", "total_labels"))
        base = under_preset(preset, base, labeler, n_labels)
    return configfile.overlay(base, settings, early.config)


def _resumed(early: argparse.Namespace) -> Config:
    if early.config or early.preset != "auto":
        raise UserError("expected no --config and no --preset with --resume: the run folder has the run's settings")
    if not early.run_dir:
        raise UserError("expected --run-dir with --resume: the folder of the run to go on with")
    run = RunDir(Path(early.run_dir)).must_exist()
    return replace(configfile.load(run.config), run_dir=early.run_dir)
