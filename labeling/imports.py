"""Takes labels given in another run into a store: from that run's folder, or from a folder it was exported to.

Nothing that comes is trusted: rows are checked one by one, clips by their hashes, all before a byte is written.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from labeling import plain_files
from labeling.clip import Clip, ClipError, ClipFiles
from labeling.export import Row, label_rows, source_id
from labeling.export_folder import ABOUT, CLIPS, CLIPS_AT_ONCE, FORMAT, LABELS
from labeling.foreign import SOURCE_ID, Foreign, LabelImportError, check_consistent, read_row
from labeling.label import Label, Query
from labeling.store import Store

__all__ = ["LabelImportError", "copy_labels", "env_id_of"]

MAX_LINE_BYTES = 2**16
"""Longest line that is read from an exported file."""

_MAX_ABOUT_BYTES = 2**20
_STORE, _CONFIG = "labels.sqlite", "config.toml"  # of a run folder


def copy_labels(source: Path, store: Store, files: ClipFiles, check: Callable[[Clip], None]) -> int:
    """Puts the labels of another run into a store, and their clips beside it; returns how many labels are new.

    Ids get the source's id before them, so that they collide with none here, and doing it again adds only what came in
    between; a label undone there meanwhile is undone here. Repeats, undone labels, and labels whose clips an export had
    to do without are left out; so are labels that came from this very run.

    Args:
        source: Folder of a run, or of an export.
        store: Where labels go.
        files: Where clips go.
        check: Raises where a clip does not fit this run.

    Raises:
        LabelImportError: One line saying what is wrong; nothing was written.
    """
    given, clips = _read(source, own_id=source_id(store))
    if not given:
        raise LabelImportError(f"expected labels to import in {source}, found none that count")
    wanted = [g for g in given if not g.is_undone]
    check_consistent(wanted)
    known = {query.query_id for query in store.queries()}  # their clips are here already
    fresh = [g.query for g in wanted if g.query.query_id not in known]
    clip_ids = list(dict.fromkeys(clip_id for query in fresh for clip_id in query.clip_ids))
    for clip_id in clip_ids:
        check(_whole_clip(clips, clip_id))
    for first in range(0, len(clip_ids), CLIPS_AT_ONCE):
        files.write_many([_whole_clip(clips, clip_id) for clip_id in clip_ids[first : first + CLIPS_AT_ONCE]])
    with store.together():
        _undo(store, [g.label for g in given if g.is_undone])
        return sum(
            store.add_imported(
                name, _queries(g for g in wanted if g.source == name), [g.label for g in wanted if g.source == name]
            )
            for name in dict.fromkeys(g.source for g in wanted)
        )


def env_id_of(source: Path) -> str | None:
    """The environment that the labels in an export or a run folder are about; None where it does not say.

    Raises:
        LabelImportError: The folder is neither, or cannot be read.
    """
    facts = _about(source) if (source / ABOUT).is_file() else _run_config(source)
    env_id = facts.get("env_id")
    return env_id if isinstance(env_id, str) else None


def _read(source: Path, own_id: str | None) -> tuple[list[Foreign], ClipFiles]:
    """The labels there, but for those given in the run itself, and where their clips are."""
    if (source / ABOUT).is_file():
        about = _about(source)
        key, clips = about["source"], ClipFiles(source / CLIPS)
        numbered = _exported_rows(source / LABELS, about["n_labels"])
    elif (source / _STORE).is_file():
        with Store.open_read_only(source / _STORE) as other:
            key, rows = source_id(other), label_rows(other)
        clips = ClipFiles(source / "clips")
        numbered = ((f"{source / _STORE} label {row['label_id']}", row | {"has_clips": True}) for row in rows)
    else:
        raise _neither(source)
    if key is not None and key == own_id:
        raise LabelImportError(f"expected labels of another run, got this run's own in {source}")
    given = [read_row(row, where, key) for where, row in numbered if row.get("repeat_of") is None]
    return [g for g in given if g is not None and g.source != own_id], clips


def _whole_clip(clips: ClipFiles, clip_id: str) -> Clip:
    try:
        return clips.read(clip_id)
    except ClipError as error:
        raise LabelImportError(
            f"{error}; nothing was imported (an export of a run leaves labels without clips aside)"
        ) from error


def _neither(source: Path) -> LabelImportError:
    return LabelImportError(
        f"expected the folder of a run (with a {_STORE}) or of an export (with an {ABOUT}) at {source}, found "
        + ("neither" if source.exists() else "nothing there")
    )


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_ABOUT_BYTES + 1)
        about = json.loads(data) if len(data) <= _MAX_ABOUT_BYTES else None
    except OSError as error:
        raise LabelImportError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise LabelImportError(f"expected JSON in {path}, got: {error}") from error
    if not isinstance(about, dict) or type(about.get("format")) is not int:
        raise LabelImportError(f"expected {path} to say the format of an export; it is none")
    if about["format"] != FORMAT:
        raise LabelImportError(
            f"{path} has format {about['format']}, and {FORMAT} is known here; update prefrl to read it"
        )
    source = about.get("source")
    if source is not None and not (isinstance(source, str) and SOURCE_ID.fullmatch(source)):
        raise LabelImportError(f"expected a source of 12 hex digits in {path}, got {source!r:.80}")
    if type(about.get("n_labels")) is not int:
        raise LabelImportError(f"expected n_labels, a whole number, in {path}, got {about.get('n_labels')!r:.80}")
    return about


def _run_config(folder: Path) -> dict[str, Any]:
    path = folder / _CONFIG
    try:
        return tomllib.loads(plain_files.read_text(path, _MAX_ABOUT_BYTES))
    except OSError as error:
        raise _neither(folder) from error
    except (ValueError, RecursionError) as error:
        raise LabelImportError(f"expected TOML in {path}, got: {error}") from error


def _exported_rows(path: Path, n_expected: int) -> Iterator[tuple[str, Row]]:
    """Every row with the words that say where it stands."""
    if not path.is_file():
        raise LabelImportError(f"expected the labels of an export in {path}, found no file there")
    n = 0
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path} line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LabelImportError(f"expected JSON in {where}, got: {error}") from error
        if not isinstance(row, dict):
            raise LabelImportError(f"expected a JSON object in {where}, got {type(row).__name__}")
        n += 1
        yield where, row
    if n != n_expected:
        raise LabelImportError(
            f"expected {n_expected} labels in {path}, as {ABOUT} says, found {n}; copy the export again (or set "
            "n_labels, where lines were taken out on purpose)"
        )


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                if len(line) > MAX_LINE_BYTES:
                    raise LabelImportError(
                        f"expected lines of at most {MAX_LINE_BYTES} bytes in {path}, got one that is longer"
                    )
                yield line
    except OSError as error:
        raise LabelImportError(f"cannot read {path}: {error.strerror}") from error


def _queries(given: Iterable[Foreign]) -> list[Query]:
    return list({g.query.query_id: g.query for g in given}.values())


def _undo(store: Store, labels: Sequence[Label]) -> None:
    """Voids those of the labels that were imported earlier and still count here."""
    counting = {label.label_id for label in store.current_labels()}
    for label in labels:
        if label.label_id in counting:
            digest = hashlib.sha256(label.label_id.encode()).hexdigest()
            store.undo(label.label_id, f"undo:{digest}", label.labeler)
