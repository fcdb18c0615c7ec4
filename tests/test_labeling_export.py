"""Labels as rows: each says all that is known, exactly, and stands whole in a folder or not at all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labeled import BOB, T0, add_labels, make_clip, make_label, make_query

from labeling.choice import Choice
from labeling.clip import Clip, ClipFiles
from labeling.export import COLUMNS, Row, counts_for_learning, label_rows, source_id, to_json_lines, utc_text
from labeling.export_folder import ExportError, write_folder
from labeling.store import Store


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    add_labels(folder)
    return folder


def rows_of(run: Path) -> list[Row]:
    with Store.open_read_only(run / "labels.sqlite") as store:
        return label_rows(store, "into the ring")


def test_a_row_says_all_that_is_known_of_a_label(run: Path) -> None:
    left, right = make_clip(0).clip_id, make_clip(1).clip_id
    assert rows_of(run)[0] == {
        "label_id": "a0",
        "query_id": "q0",
        "labeler": "ann",
        "prompt": "into the ring",
        "choice": "left",
        "left": left,
        "right": right,
        "chosen": left,
        "rejected": right,
        "swapped": True,
        "undone": False,
        "shown_at": "2023-11-14T22:13:20.000Z",
        "shown_at_utc_ms": T0,
        "answered_at": "2023-11-14T22:13:20.000Z",
        "answered_at_utc_ms": T0,
        "ms_on_screen": 999,
        "agent_step": 0,
        "round": 0,
        "strategy": "uniform",
        "is_random": True,
        "score": None,
        "asked_at_utc_ms": T0,
        "repeat_of": None,
        "imported_from": None,
    }


def test_every_label_given_has_a_row_in_the_order_stored(run: Path) -> None:
    rows = rows_of(run)
    told = [(r["label_id"], r["query_id"], r["choice"], r["undone"], r["repeat_of"], r["score"]) for r in rows]
    assert told == [
        ("a0", "q0", "left", False, None, None),
        ("a1", "q1", "right", True, None, 0.125),
        ("a2", "q1", "right", False, None, 0.125),
        ("b0", "q2", "equal", False, None, 0.25),
        ("b1", "q3", "skip", False, None, 0.375),
        ("a3", "q4", "left", False, "q0", 0.5),
        ("b2", "q0", "right", False, None, None),
    ]
    assert [r["label_id"] for r in rows if counts_for_learning(r)] == ["a0", "a2", "b0", "b1", "b2"]
    assert [(r["chosen"], r["rejected"]) for r in rows[3:5]] == [(None, None), (None, None)]
    assert (rows[6]["chosen"], rows[6]["rejected"]) == (rows[6]["right"], rows[6]["left"])
    assert all(list(row) == list(COLUMNS) for row in rows)


def test_json_lines_are_one_ascii_line_each_and_read_back_the_same(run: Path) -> None:
    rows = rows_of(run)
    text = to_json_lines(rows)
    assert text.isascii()
    assert [json.loads(line) for line in text.splitlines()] == rows
    assert to_json_lines([{"labeler": "a\nb\u2028"}]) == '{"labeler": "a\\nb\\u2028"}\n'


@pytest.mark.parametrize(
    ("utc_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_709_208_000_001, "2024-02-29T12:00:00.001Z"),
        (2**63 - 1, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_utc_to_the_millisecond(utc_ms: int, text: str) -> None:
    assert utc_text(utc_ms) == text


def test_a_runs_id_never_changes_and_is_no_other_runs(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    add_labels(other, first=20)
    with Store(run / "labels.sqlite") as store, Store(other / "labels.sqlite") as second:
        before = source_id(store)
        assert before is not None
        assert len(before) == 12
        store.undo("a0", "u0", "ann")
        store.add_labels([make_label("a9", "q0", "ann", Choice.RIGHT)])
        assert source_id(store) == before
        assert source_id(second) not in (None, before)


def test_imported_labels_do_not_make_a_runs_id(tmp_path: Path) -> None:
    clips = (make_clip(0), make_clip(1))
    with Store(tmp_path / "labels.sqlite") as store:
        assert source_id(store) is None
        label = make_label("0123456789ab:a", "0123456789ab:q0", "ann", Choice.LEFT)
        store.add_imported("0123456789ab", [make_query(0, clips, query_id="0123456789ab:q0")], [label])
        assert source_id(store) is None
        assert label_rows(store)[0]["imported_from"] == "0123456789ab"
        store.add_queries([make_query(1, clips)])
        store.add_labels([make_label("a", "q1", "ann", Choice.LEFT)])
        assert source_id(store) is not None


# --- the folder ---


def read_lines(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]


def test_the_folder_holds_rows_clips_and_what_they_mean(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    about = {"source": "0123456789ab", "env_id": "prefrl/Dot-v0", "task": "into the ring"}
    rows = rows_of(run)
    assert write_folder(out, rows, ClipFiles(run / "clips"), about) == 0
    assert read_lines(out) == [row | {"has_clips": True} for row in rows]
    named = {row[side] for row in rows for side in ("left", "right")}
    assert {path.stem for path in (out / "clips").rglob("*.npz")} == named
    assert ClipFiles(out / "clips").read(make_clip(3).clip_id) == make_clip(3)
    assert json.loads((out / "export.json").read_text()) == {
        "format": 1,
        **about,
        "n_labels": 7,
        "observation": {"shape": [6], "dtype": "float32"},
        "action": {"shape": [], "dtype": "int64"},
        "n_stack": 1,
        "clip_steps": 15,
        "frame_rate": 10.0,
    }
    readme = (out / "README.md").read_text()
    assert all(f"| `{name}` | {meaning} |" in readme for name, meaning in COLUMNS.items())
    assert readme.startswith("# Preferences over clips of prefrl/Dot-v0\n")
    assert "parquet" not in readme
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "clips", "export.json", "labels.jsonl"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_stacked_pictures_are_described_as_the_learner_sees_them(tmp_path: Path) -> None:
    def stack(number: int) -> Clip:
        planes = np.full((18, 36, 30), number, np.uint8)
        return make_clip(number, obs=planes, n_stack=4, view=None)

    clips = (stack(0), stack(1))
    files = ClipFiles(tmp_path / "clips")
    files.write_many(clips)
    with Store(tmp_path / "labels.sqlite") as store:
        store.add_queries([make_query(0, clips)])
        store.add_labels([make_label("a", "q0", "ann", Choice.LEFT)])
        write_folder(tmp_path / "out", label_rows(store), files, {"env_id": "x"})
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    assert about["observation"] == {"shape": [4, 36, 30], "dtype": "uint8"}
    assert about["n_stack"] == 4


def test_labels_without_clips_are_exported_all_the_same_and_say_so(run: Path, tmp_path: Path) -> None:
    files = ClipFiles(run / "clips")
    files.path(make_clip(4).clip_id).unlink()
    files.path(make_clip(7).clip_id).write_bytes(b"no clip")
    assert write_folder(tmp_path / "out", rows_of(run), files, {"source": None}) == 2
    without = [row["label_id"] for row in read_lines(tmp_path / "out") if not row["has_clips"]]
    assert without == ["b0", "b1"]
    assert not ClipFiles(tmp_path / "out" / "clips").path(make_clip(7).clip_id).exists()


def test_a_folder_that_is_there_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match="does not exist yet"):
        write_folder(tmp_path / "out", rows_of(run), ClipFiles(run / "clips"), {})
    assert list((tmp_path / "out").iterdir()) == []


def test_no_labels_are_no_export(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected labels to export, found none yet"):
        write_folder(tmp_path / "out", [], ClipFiles(tmp_path), {})
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_an_export_that_fails(run: Path, tmp_path: Path) -> None:
    def tables(*_: Any) -> dict[str, str]:
        raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match="No space left on device"):
        write_folder(tmp_path / "out", rows_of(run), ClipFiles(run / "clips"), {}, tables)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_bobs_name_is_in_the_rows_as_it_is(run: Path) -> None:
    assert rows_of(run)[3]["labeler"] == BOB
