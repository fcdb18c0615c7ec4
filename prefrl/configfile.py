"""Configs as TOML: presets and a user's file laid over the defaults, and the resolved config written into the run."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from labeling import plain_files
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.foreign_config import check_config, check_settings
from prefrl.removed_settings import check_can_go_on, was_removed, without_removed
from prefrl.spelling import nearest, nearest_or_all

_MAX_RUN_CONFIG_BYTES = 2**18
PRESETS = Path(__file__).parent / "presets"
_C = TypeVar("_C")


def preset_names() -> list[str]:
    """Names that `--preset` takes; `people` is none of them, it is laid over any by `--labeler`."""
    return sorted(path.stem for path in PRESETS.glob("*.toml") if path.stem != "people")


def check_preset(name: str) -> None:
    """Make sure that `--preset` takes this name.

    Raises:
        UserError: It does not.
    """
    if name not in preset_names():
        raise UserError(
            f"expected --preset to be one of {', '.join(preset_names())}, got {name!r}{nearest(name, preset_names())}"
        )


def read_preset(name: str) -> dict[str, Any]:
    """The settings of a preset, `people` being one."""
    return read_toml(PRESETS / f"{name}.toml")


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a TOML file.

    Raises:
        UserError: The file cannot be read, or is not TOML.
    """
    try:
        return _parse(path.read_text(encoding="utf-8"), path)
    except OSError as e:
        raise UserError(f"expected a TOML file at {path}, got: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise UserError(f"expected TOML in {path}, got: {e}") from e


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as e:  # of TOML, or of a number with too many digits
        raise UserError(f"expected TOML in {path}, got: {str(e)[:200]}") from e


def overlay(config: _C, settings: dict[str, Any], source: str) -> _C:
    """The config with these settings laid over it.

    Raises:
        UserError: A key that is not in the config (the nearest is named; see also `removed_settings`), or a value of
            another type.
    """
    assert dataclasses.is_dataclass(config)
    assert not isinstance(config, type)
    known = [f.name for f in dataclasses.fields(config)]
    hints = get_type_hints(type(config))
    changes: dict[str, Any] = {}
    for key, value in settings.items():
        if was_removed(config, key, value, source):
            continue
        if key not in known:
            raise UserError(f"unknown key {key!r} in {source}{nearest_or_all(key, known)}")
        old = getattr(config, key)
        if dataclasses.is_dataclass(old):
            if not isinstance(value, dict):
                raise UserError(f"expected a table [{key}] in {source}, got {value!r}")
            changes[key] = overlay(old, value, f"{source} [{key}]")
        else:
            changes[key] = _typed(value, hints[key], f"{key!r} in {source}")
    return dataclasses.replace(config, **changes)


def dump(config: Config) -> str:
    """The whole config as TOML."""
    lines: list[str] = []
    tables: list[str] = []
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            tables.append(f"\n[{f.name}]")
            tables += [f"{g.name} = {_toml(getattr(value, g.name))}" for g in dataclasses.fields(value)]
        else:
            lines.append(f"{f.name} = {_toml(value)}")
    return "\n".join(lines + tables) + "\n"


def check_readable(config: Config) -> None:
    """Make sure that `load` will take what `dump` writes of this config.

    Raises:
        UserError: It would not.
    """
    typed = overlay(Config(env_id=config.env_id), dataclasses.asdict(config), "the config")  # Python lets any type in
    if typed != config:
        raise UserError(
            "expected tuples where settings are several, got a list; make the config by prefrl.default_config, which "
            "takes both"
        )
    check_settings(config)
    text = dump(config)
    if len(text.encode()) > _MAX_RUN_CONFIG_BYTES:
        raise UserError(
            f"expected settings of at most {_MAX_RUN_CONFIG_BYTES:,} bytes in all, got {len(text.encode()):,}; shorten "
            "the lists among them"
        )
    assert _read(text, Path("config.toml"), to_train=True) == config


def load(path: Path, *, to_train: bool = False) -> Config:
    """The config that `dump` wrote, whoever may have written this one.

    Args:
        path: Where it lies.
        to_train: Whether the run is trained by it, and not only read.

    Raises:
        UserError: It is not there, not such a config, or not one to be trusted; or the run would be trained on without
            a setting that it had (see `removed_settings`).
    """
    try:
        config = _read(plain_files.read_text(path, _MAX_RUN_CONFIG_BYTES), path, to_train=to_train)
    except OSError as e:
        raise UserError(f"expected the config of a run at {path}, got: {e.strerror}") from e
    except plain_files.PlainFileError as e:
        raise UserError(str(e)) from e
    check_config(config, path)
    return config


def _read(text: str, path: Path, *, to_train: bool) -> Config:
    settings, on = without_removed(_parse(text, path))
    if to_train:
        check_can_go_on(on, path)
    if not isinstance(settings.get("env_id"), str):
        raise UserError(f"expected env_id in {path}; it is not the config of a run")
    return overlay(Config(env_id=settings["env_id"]), settings, str(path))


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(x) for x in value) + "]"
    if isinstance(value, str | bool):
        # JSON's strings are TOML's but for two things: surrogate pairs, and DEL as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _typed(value: Any, hint: Any, where: str) -> Any:
    """The value as the config wants it, or a UserError; a whole number may stand for a float."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in args:
            raise UserError(f"expected {where} to be one of {', '.join(map(str, args))}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"expected {where} to be a list, got {value!r}")
        return tuple(_typed(x, args[0], where) for x in value)
    if origin is types.UnionType:
        hint = next(a for a in args if a is not types.NoneType)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise UserError(f"expected {where} to be {_WORDS[hint]}, got {repr(value)[:80]}")
    return value


_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
