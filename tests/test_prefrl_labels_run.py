"""`prefrl labels`: what is listed, played, exported and imported is what people answered."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from labeled import BOB, T0, make_clip, make_label, make_query, make_run
from rich.console import Console

from labeling.choice import Choice
from labeling.clip import ClipFiles
from labeling.export import Row, label_rows
from labeling.store import Store, StoreError
from prefrl import cli
from prefrl.errors import UserError
from prefrl.labels_list import label_table, summary
from prefrl.labels_parquet import write_tables
from prefrl.labels_play import Shown, label_frames
from prefrl.labels_run import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run")


def rows_of(run: Path) -> list[Row]:
    with Store.open_read_only(run / "labels.sqlite") as store:
        return label_rows(store, "into the ring")


def read_parquet(path: Path) -> list[dict[str, Any]]:
    parquet = importlib.import_module("pyarrow.parquet")
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


# --- list ---


def printed(rows: list[Row], width: int = 120) -> list[str]:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(label_table(rows))
    return [line.strip() for line in console.export_text().splitlines() if line.strip()]


def test_the_table_says_what_was_answered_as_it_was_shown(run: Path) -> None:
    lines = printed(rows_of(run))
    assert lines[0].split() == ["answered", "(UTC)", "labeler", "as", "shown", "seen", "step", "query"]
    told = [" ".join(line.split()) for line in lines[2:]]
    assert told == [
        "2023-11-14 22:13:20 ann right better 1.0 s 0 q0 sides swapped",
        "2023-11-14 22:13:21 ann right better 1.0 s 1,000 q1 undone",
        "2023-11-14 22:13:23 ann right better 1.0 s 1,000 q1",
        f"2023-11-14 22:13:21 {BOB} equally good 1.0 s 2,000 q2",
        f"2023-11-14 22:13:21 {BOB} can't tell 1.0 s 3,000 q3",
        "2023-11-14 22:13:21 ann left better 1.0 s 4,000 q4 repeats q0",
        f"2023-11-14 22:13:21 {BOB} right better 1.0 s 0 q0",
    ]


def test_a_narrow_table_leaves_nothing_out(run: Path) -> None:
    imported = {"imported_from": "0123456789ab", "query_id": "0123456789ab:q123456", "agent_step": 1_234_567}
    lines = printed([rows_of(run)[0] | imported], width=80)
    assert max(map(len, lines)) <= 80
    assert lines[2].startswith("2023-11-14 22:13:20  ann      right better  1.0 s  1,234,567  0123456  ")
    folded = "".join(line.replace(" ", "") for line in lines[2:])
    assert "imported" in folded
    assert "swapped" in folded


def test_the_summary_counts_what_counts(run: Path) -> None:
    assert summary(rows_of(run), 5) == (
        f"6 labels on 5 queries; 1 left, 3 right, 1 equal, 1 can't tell; ann 3, {BOB} 3; "
        "1 undone, 1 repeated to see whether people agree with themselves"
    )
    assert summary([], 1) == "0 labels on 1 query"


def test_list_prints_names_as_they_are_and_the_newest_last(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main([str(run), "list", "--last", "2"]) == 0
    out = capsys.readouterr().out
    assert "q3" not in out
    assert out.index("repeats q0") < out.index("[red]")
    assert out.splitlines()[-1].startswith("6 labels on 5 queries; ")


def test_list_is_what_comes_without_a_word(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run)]) == 0
    assert "6 labels on 5 queries" in capsys.readouterr().out


def test_json_is_one_row_per_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "list", "--json", "--labeler", BOB]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows == [row for row in rows_of(run) if row["labeler"] == BOB]
    assert [row["label_id"] for row in rows] == ["b0", "b1", "b2"]


# --- play ---


def grey(value: int, n_frames: int = 5) -> Any:
    return np.full((n_frames, 100, 80, 3), value, np.uint8)


def shown(choice: Choice | None, **changes: Any) -> Shown:
    fields: dict[str, Any] = {"left": grey(50), "right": grey(200), "frame_rate": 10.0, "title": "t", "caption": "c"}
    return Shown(choice=choice, **{**fields, **changes})


BLUE, ORANGE, GREY, BACK = (86, 180, 233), (230, 159, 0), (110, 120, 134), (22, 26, 31)


@pytest.mark.parametrize(
    ("choice", "left", "right"),
    [
        (Choice.LEFT, BLUE, BACK),
        (Choice.RIGHT, BACK, ORANGE),
        (Choice.EQUAL, BLUE, ORANGE),
        (Choice.SKIP, GREY, GREY),
        (None, BACK, BACK),
    ],
)
def test_the_better_clip_is_framed(choice: Choice | None, left: Any, right: Any) -> None:
    frame = next(label_frames([shown(choice)]))
    assert frame.shape == (52 + 300 + 8 + 84, 2 * (20 + 240 + 8) + 20, 3)  # 100 x 80, enlarged by 3
    assert tuple(frame[200, 22]) == left
    assert tuple(frame[200, 24]) == (50, 50, 50)
    assert tuple(frame[200, 263]) == (50, 50, 50)
    assert tuple(frame[200, 290]) == right
    assert tuple(frame[200, 292]) == (200, 200, 200)


def test_short_clips_are_played_for_three_seconds_and_held() -> None:
    frames = list(label_frames([shown(None), shown(None, frame_rate=5.0)]))
    # 5 frames of 0.1 s six times, then half a second; at half the rate each frame stands twice, three times over.
    assert len(frames) == 30 + 5 + 30 + 5


def test_clips_move_in_step_and_a_shorter_one_waits() -> None:
    left = np.stack([np.full((100, 80, 3), 10 * i, np.uint8) for i in range(4)])
    frames = list(label_frames([shown(None, left=left, right=left[:2])]))
    assert [int(frame[200, 100, 0]) for frame in frames[:5]] == [0, 10, 20, 30, 0]
    assert [int(frame[200, 400, 0]) for frame in frames[:5]] == [0, 10, 10, 10, 0]


def test_clips_of_another_size_keep_their_proportions() -> None:
    frame = next(label_frames([shown(None, right=np.full((5, 100, 40, 3), 200, np.uint8))]))
    assert [int(v) for v in frame[200, [292, 351, 352, 412, 471, 472], 0]] == [43, 43, 200, 200, 200, 43]


def test_long_names_are_cut_to_the_picture() -> None:
    frame = next(label_frames([shown(None, caption="x" * 500, title="日本 " * 200)]))
    assert (frame[:, -20:] == BACK).all()


def test_play_writes_the_sides_as_the_labeler_saw_them(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "play.webm"
    assert main([str(run), "play", "--query", "q0", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"video of 2 labels: {out}\n"
    capture = cv2.VideoCapture(str(out))
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][:, :, ::-1].astype(int))
    assert len(frames) == 2 * (30 + 5)  # 1.5 s twice, half a second of rest
    ann, bob = frames[0], frames[35]
    # Ann saw the sides swapped, and chose the query's left clip, on her right; Bob, unswapped, the other, on his right.
    half = ann.shape[1] // 2
    assert np.abs(ann[60:370, 28:338] - bob[60:370, 28 + half - 10 : 338 + half - 10]).mean() < 3
    assert np.abs(ann[60:370, 28:338] - bob[60:370, 28:338]).mean() > 3
    for frame in (ann, bob):
        assert np.abs(frame[100:300, half + 12 : half + 13] - ORANGE).mean() < 25


def test_a_query_that_nobody_has_answered_is_played_without_a_verdict(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", labeled=False)
    clips = (make_clip(0), make_clip(1))
    ClipFiles(run / "clips").write_many(clips)
    with Store(run / "labels.sqlite") as store:
        store.add_queries([make_query(0, clips)])
    assert main([str(run), "play", "--query", "q0", "--out", str(tmp_path / "x.webm")]) == 0
    assert (tmp_path / "x.webm").stat().st_size > 1000
    with pytest.raises(UserError, match=r"expected labels in .* to play, found none yet"):
        main([str(run), "play", "--out", str(tmp_path / "y.webm")])


# --- export ---


def test_pairs_are_in_the_columns_that_preference_learners_expect(run: Path, tmp_path: Path) -> None:
    assert main([str(run), "export", "--out", str(tmp_path / "out")]) == 0
    pairs, ties = (read_parquet(tmp_path / "out" / name) for name in ("labels.parquet", "labels_ties.parquet"))
    assert [(p["label_id"], p["choice"]) for p in pairs] == [("a0", "left"), ("a2", "right"), ("b2", "right")]
    assert [(t["label_id"], t["choice"], t["labeler"]) for t in ties] == [("b0", "equal", BOB), ("b1", "skip", BOB)]
    chosen = make_clip(3)
    assert pairs[1]["chosen"] == {
        "clip_id": chosen.clip_id,
        "obs": chosen.obs.tolist(),
        "obs_shape": [15, 6],
        "obs_dtype": "<f4",
        "actions": chosen.actions.tolist(),
        "n_stack": 1,
        "frame_rate": 10.0,
        "agent_step": 300,
    }
    assert pairs[1]["rejected"]["clip_id"] == make_clip(2).clip_id
    assert pairs[0]["answered_at"].timestamp() * 1000 == T0
    others = {name: pairs[1][name] for name in pairs[1] if name not in ("chosen", "rejected", "answered_at")}
    assert others == {
        "prompt": "into the ring",
        "query_id": "q1",
        "label_id": "a2",
        "labeler": "ann",
        "choice": "right",
        "ms_on_screen": 999,
        "swapped": False,
        "agent_step": 1000,
        "round": 1,
        "strategy": "uniform",
        "is_random": False,
        "score": 0.125,
        "imported_from": None,
    }
    assert ties[0]["left"]["clip_id"] == make_clip(4).clip_id
    assert ties[0]["right"]["obs"] == make_clip(5).obs.tolist()


def test_the_readme_tells_datasets_where_the_tables_are(run: Path, tmp_path: Path) -> None:
    main([str(run), "export", "--out", str(tmp_path / "out")])
    readme = (tmp_path / "out" / "README.md").read_text()
    assert readme.startswith(
        "---\nconfigs:\n- config_name: pairs\n  data_files: labels.parquet\n"
        "- config_name: ties\n  data_files: labels_ties.parquet\n---\n# Preferences over clips of prefrl/Dot-v0\n"
    )
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    assert (about["env_id"], about["run"], about["task"]) == ("prefrl/Dot-v0", "run", "into the ring")
    assert len(about["source"]) == 12


def test_pictures_are_bytes_beside_their_shape(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = [
        make_clip(
            i,
            obs=rng.integers(0, 256, (18, 36, 30), dtype=np.uint8),
            n_stack=4,
            actions=rng.uniform(-1, 1, (15, 2)).astype(np.float32),
        )
        for i in range(2)
    ]
    files = ClipFiles(tmp_path / "clips")
    files.write_many(clips)
    with Store(tmp_path / "labels.sqlite") as store:
        store.add_queries([make_query(0, (clips[0], clips[1]))])
        store.add_labels([make_label("a", "q0", "ann", Choice.RIGHT)])
        assert write_tables(tmp_path, label_rows(store), files) == {"pairs": "labels.parquet"}
    (pair,) = read_parquet(tmp_path / "labels.parquet")
    chosen = pair["chosen"]
    np.testing.assert_array_equal(
        np.frombuffer(chosen["obs"], chosen["obs_dtype"]).reshape(chosen["obs_shape"]), clips[1].obs
    )
    np.testing.assert_array_equal(np.array(pair["rejected"]["actions"], np.float32), clips[0].actions)
    assert chosen["n_stack"] == 4
    assert not (tmp_path / "labels_ties.parquet").exists()


def test_more_rows_than_are_written_at_once(tmp_path: Path) -> None:
    files = ClipFiles(tmp_path / "clips")
    files.write_many([make_clip(0), make_clip(1)])
    with Store(tmp_path / "labels.sqlite") as store:
        store.add_queries([make_query(0, (make_clip(0), make_clip(1)))])
        store.add_labels([make_label(f"l{i}", "q0", f"p{i}", Choice.LEFT) for i in range(70)])
        write_tables(tmp_path, label_rows(store), files)
    assert [pair["labeler"] for pair in read_parquet(tmp_path / "labels.parquet")] == [f"p{i}" for i in range(70)]


def test_without_pyarrow_it_is_said_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'prefrl\[datasets\]'"):
        write_tables(tmp_path, rows_of(run), ClipFiles(run / "clips"))
    assert main([str(run), "export", "--out", str(tmp_path / "out")]) == 0
    assert "without Parquet tables; for those, pip install 'prefrl[datasets]'" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "README.md",
        "clips",
        "export.json",
        "labels.jsonl",
    ]


def test_lost_clips_are_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    ClipFiles(run / "clips").path(make_clip(4).clip_id).unlink()
    with pytest.warns(UserWarning, match="1 labels are exported without clips"):
        main([str(run), "export", "--out", str(tmp_path / "out")])
    assert [tie["label_id"] for tie in read_parquet(tmp_path / "out" / "labels_ties.parquet")] == ["b1"]


# --- import ---


def test_an_export_goes_into_another_run_once(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, other = tmp_path / "out", make_run(tmp_path / "other", labeled=False)
    main([str(run), "export", "--out", str(out)])
    capsys.readouterr()
    for source, n_new in ((out, 5), (out, 0), (run, 0)):
        assert main([str(other), "import", "--from", str(source)]) == 0
        assert capsys.readouterr().out == f"{n_new} new labels from {source} in {other}\n"
    fields = ("labeler", "choice", "left", "right", "swapped", "answered_at", "ms_on_screen", "agent_step", "score")
    before = [[row[f] for f in fields] for row in rows_of(run) if not row["undone"] and not row["repeat_of"]]
    assert [[row[f] for f in fields] for row in rows_of(other)] == before


def test_import_goes_on_beside_an_open_store(run: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", labeled=False)
    with Store(other / "labels.sqlite") as trainers:
        assert trainers.labels_after(0) == []
        main([str(other), "import", "--from", str(run)])
        assert len(trainers.labels_after(0)) == 5


def test_clips_that_do_not_fit_are_refused(run: Path, tmp_path: Path) -> None:
    longer = make_run(tmp_path / "longer", labeled=False, clips={"min_clip_steps": 20})
    with pytest.raises(UserError, match="expected clips of 20 steps as in this run, got 15 in clip"):
        main([str(longer), "import", "--from", str(run)])
    pushed = make_run(tmp_path / "pushed", labeled=False, world={"env_kwargs": ["action:continuous"]})
    with pytest.raises(UserError, match=r"expected actions \(2,\) of float32, got \(\) of int64 in clip"):
        main([str(pushed), "import", "--from", str(run)])
    assert not (longer / "clips").exists()
    assert not (pushed / "clips").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs": np.zeros((15, 17), np.float32)}, r"expected observations \(6,\) of float32, got \(17,\) of float32"),
        ({"obs": np.zeros((15, 6), np.uint8)}, r"expected observations \(6,\) of float32, got \(6,\) of uint8"),
        ({"actions": np.full(15, 5)}, "expected actions 0 to 4, got 5 to 5"),
        ({"obs": np.full((15, 6), np.nan, np.float32)}, "expected finite observations and actions"),
    ],
)
def test_clips_of_another_world_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    source, other = make_run(tmp_path / "source", labeled=False), make_run(tmp_path / "other", labeled=False)
    clips = (make_clip(0, **changes), make_clip(1))
    ClipFiles(source / "clips").write_many(clips)
    with Store(source / "labels.sqlite") as store:
        store.add_queries([make_query(0, clips)])
        store.add_labels([make_label("a", "q0", "ann", Choice.LEFT)])
    with pytest.raises(UserError, match=message):
        main([str(other), "import", "--from", str(source)])
    with Store(other / "labels.sqlite") as store:
        assert store.queries() == []


def test_labels_of_another_environment_need_a_word(run: Path, tmp_path: Path) -> None:
    main([str(run), "export", "--out", str(tmp_path / "out")])
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    (tmp_path / "out" / "export.json").write_text(json.dumps(about | {"env_id": "my:Dot-v1"}))
    other = make_run(tmp_path / "other", labeled=False)
    with pytest.raises(UserError, match=r"expected labels of prefrl/Dot-v0, got those of my:Dot-v1; .*--any-env"):
        main([str(other), "import", "--from", str(tmp_path / "out")])
    assert main([str(other), "import", "--from", str(tmp_path / "out"), "--any-env"]) == 0
    assert len(rows_of(other)) == 5


def test_a_file_is_no_source_of_labels(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither for a run that is there nor for a new one, whose folder goes again."""
    other, file = make_run(tmp_path / "other", labeled=False), run / "labels.sqlite"
    new = ["--labeler", "oracle", "--run-dir", str(tmp_path / "new"), "--labels-from", str(file)]
    for command in (
        ["labels", str(other), "import", "--from", str(file)],
        ["train", "--env-id", "prefrl/Dot-v0", *new],
    ):
        assert cli.main(command) == 2
        said = capsys.readouterr().err
        assert said == f"prefrl: expected a folder at {file}, got a file; name the folder in which it lies\n"
    assert not (tmp_path / "new").exists()


# --- bad input ---

BAD = {
    "no run": (["nothing", "list"], "expected the folder of a run"),
    "unknown labeler": (["RUN", "list", "--labeler", "an"], "expected --labeler to be one of .*; did you mean ann"),
    "no rows": (["RUN", "list", "--last", "0"], "expected --last to be at least 1, got 0"),
    "no video": (["RUN", "play", "--last", "0", "--out", "x.webm"], "expected --last to be at least 1, got 0"),
    "mp4": (["RUN", "play", "--out", "x.mp4"], "expected --out to end in .webm, got 'x.mp4'"),
    "no folder": (["RUN", "play", "--out", "none/x.webm"], "expected a folder for --out, found none at none"),
}


@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=list(BAD))
def test_bad_input_is_one_clear_line(args: list[str], message: str, run: Path) -> None:
    with pytest.raises(UserError, match=message) as refused:
        main([str(run) if arg == "RUN" else arg for arg in args])
    assert len(str(refused.value).splitlines()) == 1


def test_an_unknown_query_and_a_run_on_the_score_are_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no query 'q77'"):
        main([str(run), "play", "--query", "q77", "--out", str(tmp_path / "x.webm")])
    score = make_run(tmp_path / "score", labeled=False, reward="score")
    (score / "labels.sqlite").unlink()
    with pytest.raises(UserError, match="found none: it is a run on the score"):
        main([str(score), "list"])
    assert not (score / "labels.sqlite").exists()
