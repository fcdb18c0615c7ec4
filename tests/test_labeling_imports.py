"""Labels from elsewhere: the same labels arrive, once, and nothing of what cannot be trusted does."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from labeled import BOB, T0, add_labels, make_clip, make_label

from labeling.choice import Choice
from labeling.clip import Clip, ClipFiles
from labeling.export import label_rows, source_id
from labeling.export_folder import write_folder
from labeling.imports import LabelImportError, copy_labels, env_id_of
from labeling.label import Label
from labeling.store import Store


def accept(clip: Clip) -> None:
    """Any clip fits."""


def folder(path: Path, first: int | None = None) -> Path:
    path.mkdir()
    if first is None:
        Store(path / "labels.sqlite").close()
    else:
        add_labels(path, first)
    return path


def export(run: Path, out: Path) -> Path:
    with Store(run / "labels.sqlite") as store:
        about = {"source": source_id(store), "env_id": "prefrl/Dot-v0"}
        write_folder(out, label_rows(store, "into the ring"), ClipFiles(run / "clips"), about)
    return out


def copy(source: Path, run: Path, check: Callable[[Clip], None] = accept) -> int:
    with Store(run / "labels.sqlite") as store:
        return copy_labels(source, store, ClipFiles(run / "clips"), check)


def labels_in(run: Path) -> list[Label]:
    with Store(run / "labels.sqlite") as store:
        names = [name for name in Label.__dataclass_fields__]
        return [Label(**{name: getattr(stored, name) for name in names}) for stored in store.current_labels()]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, as every durable write takes its time."""
    path = tmp_path_factory.mktemp("originals")
    export(folder(path / "a", first=0), path / "exported")
    folder(path / "fresh")
    return path


@pytest.fixture
def a(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals / "a", tmp_path / "a"))


@pytest.fixture
def fresh(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals / "fresh", tmp_path / "fresh"))


@pytest.fixture
def exported(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals / "exported", tmp_path / "exported"))


def key_of(run: Path) -> str:
    with Store(run / "labels.sqlite") as store:
        key = source_id(store)
    assert key is not None
    return key


# --- the same labels arrive ---


@pytest.mark.parametrize("source", ["a", "exported"])
def test_labels_arrive_the_same_but_for_their_ids(
    source: str, a: Path, exported: Path, fresh: Path, tmp_path: Path
) -> None:
    assert copy(tmp_path / source, fresh) == 5
    key = key_of(a)
    assert labels_in(fresh) == [
        make_label(f"{key}:a0", f"{key}:q0", "ann", Choice.LEFT, swapped=True, answered_at_utc_ms=T0),
        make_label(f"{key}:a2", f"{key}:q1", "ann", Choice.RIGHT, answered_at_utc_ms=T0 + 3000),
        make_label(f"{key}:b0", f"{key}:q2", BOB, Choice.EQUAL),
        make_label(f"{key}:b1", f"{key}:q3", BOB, Choice.SKIP),
        make_label(f"{key}:b2", f"{key}:q0", BOB, Choice.RIGHT),
    ]
    with Store(a / "labels.sqlite") as store, Store(fresh / "labels.sqlite") as copied:
        queries = [replace(query, query_id=f"{key}:{query.query_id}") for query in store.queries()[:4]]
        assert sorted(copied.queries(), key=lambda query: query.query_id) == queries
        assert copied.imports() == {query.query_id: key for query in copied.queries()}
        assert copied.repeats() == {}
        assert copied.waiting() == []  # nobody is asked again
    clips = ClipFiles(fresh / "clips")
    assert [clips.read(make_clip(i).clip_id) for i in range(8)] == [make_clip(i) for i in range(8)]


def test_doing_it_again_adds_nothing_from_folder_or_export(a: Path, exported: Path, fresh: Path) -> None:
    assert [copy(exported, fresh), copy(exported, fresh), copy(a, fresh)] == [5, 0, 0]
    assert len(labels_in(fresh)) == 5


def test_later_labels_are_added_and_later_undoing_is_followed(a: Path, fresh: Path) -> None:
    copy(a, fresh)
    with Store(a / "labels.sqlite") as store:
        store.undo("a0", "u2", "ann")
        store.add_labels([make_label("a5", "q0", "ann", Choice.RIGHT), make_label("a6", "q3", "ann", Choice.LEFT)])
        store.undo("b1", "u3", BOB)
    assert copy(a, fresh) == 2
    given = {label.label_id.partition(":")[2]: label.choice.value for label in labels_in(fresh)}
    assert given == {"a2": "right", "b0": "equal", "b2": "right", "a5": "right", "a6": "left"}
    assert copy(a, fresh) == 0


def test_labels_that_travel_by_two_ways_arrive_once(a: Path, tmp_path: Path) -> None:
    b, c = folder(tmp_path / "b", first=20), folder(tmp_path / "c")
    assert copy(a, b) == 5
    assert copy(b, c) == 10
    assert copy(a, c) == 0
    assert copy(export(b, tmp_path / "exported_b"), c) == 0
    with Store(c / "labels.sqlite") as store:
        assert set(store.imports().values()) == {key_of(a), key_of(b)}


def test_a_runs_own_labels_do_not_come_back(a: Path, exported: Path, tmp_path: Path) -> None:
    b = folder(tmp_path / "b", first=20)
    copy(a, b)
    assert copy(b, a) == 5
    assert len(labels_in(a)) == 6 + 5
    with pytest.raises(LabelImportError, match="expected labels of another run, got this run's own"):
        copy(exported, a)


def test_long_ids_are_hashed(a: Path, fresh: Path) -> None:
    with Store(a / "labels.sqlite") as store:
        store.add_labels([make_label("x" * 128, "q3", "eve", Choice.LEFT)])
    assert copy(a, fresh) == 6
    assert copy(a, fresh) == 0
    ids = [label.label_id for label in labels_in(fresh)]
    assert len(ids[-1]) == 12 + 1 + 64


def test_a_damaged_clip_is_left_aside_by_an_export_and_refused_from_a_run(a: Path, fresh: Path, tmp_path: Path) -> None:
    ClipFiles(a / "clips").path(make_clip(4).clip_id).unlink()
    with pytest.raises(LabelImportError, match=r"is missing; nothing was imported \(an export"):
        copy(a, fresh)
    assert copy(export(a, tmp_path / "out"), fresh) == 4


def test_the_check_comes_before_anything_is_written(a: Path, fresh: Path) -> None:
    def check(clip: Clip) -> None:
        raise ValueError(f"expected another shape than {clip.obs.shape}")

    with pytest.raises(ValueError, match=r"another shape than \(15, 6\)"):
        copy(a, fresh, check)
    assert untouched(fresh)


def test_the_environment_is_read_from_either(a: Path, exported: Path) -> None:
    assert env_id_of(exported) == "prefrl/Dot-v0"
    (a / "config.toml").write_text('env_id = "Hopper-v5"\n')
    assert env_id_of(a) == "Hopper-v5"
    (a / "config.toml").write_text("env_id = ")
    with pytest.raises(LabelImportError, match="expected TOML"):
        env_id_of(a)


# --- hostile exports: one line, and nothing is written ---


def untouched(run: Path) -> bool:
    with Store(run / "labels.sqlite") as store:
        return not store.queries() and not (run / "clips").exists()


def change(**changes: Any) -> Callable[[Path], None]:
    """Change the first row."""

    def damage(exported: Path) -> None:
        path = exported / "labels.jsonl"
        first, *rest = path.read_text().splitlines()
        path.write_text("\n".join([json.dumps(json.loads(first) | changes), *rest]) + "\n")

    return damage


def first_line(line: str) -> Callable[[Path], None]:
    def damage(exported: Path) -> None:
        path = exported / "labels.jsonl"
        path.write_text("\n".join([line, *path.read_text().splitlines()[1:]]) + "\n")

    return damage


def about(**changes: Any) -> Callable[[Path], None]:
    def damage(exported: Path) -> None:
        path = exported / "export.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def about_text(text: str) -> Callable[[Path], None]:
    def damage(exported: Path) -> None:
        (exported / "export.json").write_text(text)

    return damage


def repeat_line(**changes: Any) -> Callable[[Path], None]:
    """Say the first label again, otherwise."""

    def damage(exported: Path) -> None:
        path = exported / "labels.jsonl"
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines, json.dumps(json.loads(lines[0]) | changes)]) + "\n")
        about(n_labels=8)(exported)

    return damage


def cut(exported: Path) -> None:
    path = exported / "labels.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def clip_path(exported: Path, number: int = 0) -> Path:
    return ClipFiles(exported / "clips").path(make_clip(number).clip_id)


def forge_clip(exported: Path) -> None:
    shutil.copy(clip_path(exported, 1), clip_path(exported))


def clip_bomb(exported: Path) -> None:
    clip_path(exported).write_bytes(b"PK" + bytes(2**20))


def endless(exported: Path) -> None:
    (exported / "labels.jsonl").unlink()
    (exported / "labels.jsonl").symlink_to("/dev/zero")


def long_line(exported: Path) -> None:
    with (exported / "labels.jsonl").open("ab") as file:
        file.write(b'{"labeler": "' + b"x" * 100_000_000)


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no JSON": (first_line("{"), "expected JSON in .*labels.jsonl line 1, got"),
    "no object": (first_line("[1]"), "expected a JSON object in .*line 1, got list"),
    "deep": (first_line("[" * 60_000), "expected JSON in .*line 1, got"),
    "empty line": (first_line(""), "expected JSON in .*line 1, got"),
    "100 MB line": (long_line, "lines of at most 65536 bytes"),
    "no file": (lambda x: (x / "labels.jsonl").unlink(), "expected the labels of an export in .*found no file"),
    "endless": (endless, "found no file"),
    "cut short": (cut, "expected 7 labels in .*, as export.json says, found 6"),
    "a missing key": (first_line("{}"), "expected label_id in .*line 1 to be text, got nothing"),
    "choice": (change(choice="maybe"), "expected choice in .*to be left, right, equal or skip, got 'maybe'"),
    "choice of no text": (change(choice=None), "expected choice in .*to be left, right, equal or skip, got None"),
    "chosen": (change(choice="right"), "expected chosen and rejected in .*to agree with the choice right"),
    "a path": (change(left="../../../etc/passwd", chosen="../../../etc/passwd"), "must name clips by 64 lower-case"),
    "the same clip": (change(right=make_clip(0).clip_id, rejected=make_clip(0).clip_id), "two different clips"),
    "an unknown clip": (change(query_id="q9", left="0" * 64, chosen="0" * 64), "clip file .*0.npz is missing; nothing"),
    "a forged clip": (forge_clip, "is damaged: its content is clip"),
    "a clip bomb": (clip_bomb, "is damaged: not an npz file"),
    "a lost clip": (lambda x: clip_path(x).unlink(), "is missing"),
    "a name with a bell": (change(labeler="ann\a"), "labeler must be 1 to 64 printable characters"),
    "half a letter": (change(labeler="\ud800"), "labeler must be 1 to 64 printable characters"),
    "a long name": (change(labeler="x" * 65), "labeler must be 1 to 64"),
    "a number for a name": (change(labeler=5), "expected labeler in .*to be text, got 5"),
    "true for a time": (change(ms_on_screen=True), "expected ms_on_screen in .*a whole number, got True"),
    "a fraction": (change(round=0.5), "expected round in .*a whole number, got 0.5"),
    "before 1970": (change(shown_at_utc_ms=-1), "shown_at_utc_ms must be a whole number from 0 up"),
    "a huge time": (change(asked_at_utc_ms=2**63), "asked_at_utc_ms must be a whole number"),
    "1 for true": (change(swapped=1), "expected swapped in .*true or false, got 1"),
    "no number": (change(score=float("nan")), "score of query .*must be finite"),
    "a huge score": (change(score=10**400), "line 1: int too large to convert to float"),
    "a foreign id": (change(imported_from="0123456789ab"), "begin with the 12 hex digits of imported_from"),
    "no source id": (change(imported_from="../x"), "begin with the 12 hex digits of imported_from"),
    "another query": (repeat_line(agent_step=7, label_id="z", labeler="z"), "expected one query .*q0, got two"),
    "another label": (repeat_line(ms_on_screen=7), "expected one label .*a0, got two that differ"),
    "two answers": (repeat_line(label_id="z"), "expected one label of ann on query .*q0, got two"),
    "newer": (about(format=2), "has format 2, and 1 is known here; update prefrl"),
    "no format": (about(format="1"), "to say the format of an export"),
    "bad source": (about(source="q"), "expected a source of 12 hex digits in .*got 'q'"),
    "no source": (about(source=None), "expected a source in export.json, as .*line 1"),
    "no number of labels": (about(n_labels="7"), "expected n_labels, a whole number"),
    "deep about": (about_text("[" * 100_000), "expected JSON in"),
    "large about": (about_text(" " * 2**21), "to say the format"),
    "neither": (lambda x: (x / "export.json").unlink(), "expected the folder of a run .*found neither"),
    "nothing": (shutil.rmtree, "found nothing there"),
}


@pytest.mark.parametrize(("damage", "message"), HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_exports_are_refused_in_one_line(
    damage: Callable[[Path], None], message: str, exported: Path, fresh: Path
) -> None:
    damage(exported)
    with pytest.raises(LabelImportError, match=message) as refused:
        copy(exported, fresh)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 1000
    assert untouched(fresh)


def test_an_export_of_nothing_that_counts_is_refused(exported: Path, fresh: Path) -> None:
    path = exported / "labels.jsonl"
    lost = [
        json.dumps(json.loads(line) | {"has_clips": False, "undone": False}) for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(lost) + "\n")
    with pytest.raises(LabelImportError, match=r"expected labels to import in .*, found none that count"):
        copy(exported, fresh)
    assert untouched(fresh)
