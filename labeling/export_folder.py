"""The folder that carries labels elsewhere: JSON lines, the clip files they name, and what it all means.

    labels.jsonl   every label given
    clips/         the clips, as in a run folder
    export.json    format, where it comes from, shapes of observations and actions
    README.md      the columns

It appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from labeling import durable
from labeling.clip import Clip, ClipError, ClipFiles
from labeling.export import COLUMNS, Row, to_json_lines

FORMAT = 1
"""Version of the folder's layout and of the rows."""
LABELS, CLIPS, ABOUT, README = "labels.jsonl", "clips", "export.json", "README.md"

CLIPS_AT_ONCE = 64
"""Clips held in memory while they are copied."""

Tables = Callable[[Path, list[Row], ClipFiles], Mapping[str, str]]
"""Writes further tables: given the folder, the rows whose clips are there, and the clips. Returns names for people to
load them by, each with its file."""


class ExportError(ValueError):
    """The folder cannot be written."""


def write_folder(
    out: Path, rows: list[Row], files: ClipFiles, about: Mapping[str, Any], tables: Tables | None = None
) -> int:
    """Writes the labels and their clips; returns how many labels are without clips, whose files cannot be read.

    Those labels are in labels.jsonl all the same, with `has_clips` false.

    Args:
        out: The folder, which must not exist.
        rows: From `label_rows`.
        files: The run's clips.
        about: Facts for export.json besides those known here: `source` (from `source_id`), `env_id`, `task`, ...
        tables: Writes further tables.

    Raises:
        ExportError: The folder exists, there is no label, or the disk refuses.
    """
    if out.exists():
        raise ExportError(f"expected a folder that does not exist yet to export to, got {out}; choose another")
    if not rows:
        raise ExportError("expected labels to export, found none yet")
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(8)}.tmp")
    try:
        durable.make_folders([temporary])
        n_without = _fill(temporary, rows, files, about, tables)
        temporary.rename(out)
        durable.sync_folders([out.parent])
    except OSError as error:
        raise ExportError(f"cannot write {out}: {error.strerror}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):  # renamed: the usual case
            shutil.rmtree(temporary)
    return n_without


def _fill(folder: Path, rows: list[Row], files: ClipFiles, about: Mapping[str, Any], tables: Tables | None) -> int:
    copied = ClipFiles(folder / CLIPS)
    example, unreadable = _copy_clips(rows, files, copied)
    rows = [row | {"has_clips": not {row["left"], row["right"]} & unreadable} for row in rows]
    whole = [row for row in rows if row["has_clips"]]
    written = tables(folder, whole, copied) if tables is not None and whole else {}
    _sync_files(folder / name for name in written.values())
    facts = {"format": FORMAT, **about, "n_labels": len(rows), **_shapes(example)}
    texts = {
        LABELS: to_json_lines(rows),
        ABOUT: json.dumps(facts, indent=2, allow_nan=False) + "\n",
        README: _readme(about, written),
    }
    durable.write_files([(folder / name, partial(str.encode, text)) for name, text in texts.items()])
    return len(rows) - len(whole)


def _copy_clips(rows: Iterable[Row], source: ClipFiles, target: ClipFiles) -> tuple[Clip | None, set[str]]:
    """Copies what can be read; returns one of the clips, and the ids of those that cannot."""
    clip_ids = list(dict.fromkeys(clip_id for row in rows for clip_id in (row["left"], row["right"])))
    example, unreadable = None, set[str]()
    for first in range(0, len(clip_ids), CLIPS_AT_ONCE):
        clips = []
        for clip_id in clip_ids[first : first + CLIPS_AT_ONCE]:
            try:
                clips.append(source.read(clip_id))
            except ClipError:
                unreadable.add(clip_id)
        target.write_many(clips)
        example = clips[-1] if clips else example
    return example, unreadable


def _shapes(clip: Clip | None) -> dict[str, Any]:
    """What one step of a clip looks like to the learner."""
    if clip is None:
        return {}
    obs, actions = clip.stacked_obs(), clip.actions
    return {
        "observation": {"shape": list(obs.shape[1:]), "dtype": obs.dtype.name},
        "action": {"shape": list(actions.shape[1:]), "dtype": actions.dtype.name},
        "n_stack": clip.n_stack,
        "clip_steps": clip.n_steps,
        "frame_rate": clip.frame_rate,
    }


def _sync_files(paths: Iterable[Path]) -> None:
    for path in paths:
        with path.open("rb+") as file:
            os.fsync(file.fileno())


_TABLES_TEXT = """
## Parquet
The labels that count, without those undone and without silent repeats. `labels.parquet` has the columns `prompt`,
`chosen` and `rejected` that preference learners expect; labels that chose neither (`equal`, `skip`), where there are
any, are in `labels_ties.parquet`, with `left` and `right` in their place. The other columns mean what they mean above.

    from datasets import load_dataset
{loading}

Each clip is a struct:

| field | meaning |
|---|---|
| `clip_id` | SHA-256 of the clip's content; its file in `clips/` is named by it |
| `obs` | observations, one row per step; pictures as bytes: `np.frombuffer(obs, obs_dtype).reshape(obs_shape)` |
| `obs_shape`, `obs_dtype` | shape and NumPy type of `obs` |
| `actions` | actions, one row per step |
| `n_stack` | pictures stacked in one observation; above 1, step t saw the pictures t to t + n_stack - 1, oldest first |
| `frame_rate` | steps per second at the world's real speed |
| `agent_step` | steps the agent had taken when it did this |
"""

_TEXT = """\
# Preferences over clips of {env_id}

People (or a synthetic teacher) saw two short clips of an agent's behaviour at a time and said which is better.

- `labels.jsonl`: every label given, one JSON object per line, undone ones among them.
- `clips/`: the clips, `<first two hex digits>/<clip_id>.npz`, without pickle: `np.load(path)["obs"]`, `["actions"]`,
  and `["view"]`, from which the clip is drawn, where there is one. The env's own reward is not in them.
- `export.json`: where this comes from, and the shapes of observations and actions.

`prefrl labels RUN import --from THIS_FOLDER` and `prefrl train --labels-from THIS_FOLDER` take the labels into a run.

## labels.jsonl

| column | meaning |
|---|---|
{columns}
| `has_clips` | Whether both clip files are here; they may have been lost, labels never are. |
"""


def _readme(about: Mapping[str, Any], tables: Mapping[str, str]) -> str:
    columns = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in COLUMNS.items())
    env_id = "".join(c for c in str(about.get("env_id", "an environment")) if c.isprintable())
    text = _TEXT.format(env_id=env_id, columns=columns)
    if not tables:
        return text
    # The Hugging Face hub, and load_dataset, find tables by these lines.
    configs = "".join(f"- config_name: {name}\n  data_files: {file}\n" for name, file in tables.items())
    loading = "\n".join(f'    {name} = load_dataset("THIS_FOLDER", "{name}", split="train")' for name in tables)
    return f"---\nconfigs:\n{configs}---\n{text}{_TABLES_TEXT.format(loading=loading)}"
