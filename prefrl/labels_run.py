"""`prefrl labels RUN ...`: lists, plays back, exports, imports, checks and recovers the labels of a run."""

from __future__ import annotations

import sys
import warnings
from importlib import util
from pathlib import Path
from typing import assert_never

from rich.console import Console

from labeling import backups
from labeling.clip import ClipFiles
from labeling.export import Row, label_rows, source_id, to_json_lines, utc_text
from labeling.export_folder import write_folder
from labeling.imports import copy_labels, env_id_of
from labeling.label import utc_ms_now
from labeling.plain_files import check_folder
from labeling.store import Store
from prefrl import configfile, labels_health
from prefrl.config import Config
from prefrl.errors import EXIT_DAMAGED, UserError
from prefrl.labels_args import CheckArgs, ExportArgs, ImportArgs, ListArgs, PlayArgs, RecoverArgs, parse_labels
from prefrl.labels_list import WORDS, choice_as_shown, label_table, summary, time_text
from prefrl.labels_parquet import write_tables
from prefrl.labels_play import Shown, label_frames
from prefrl.outputs import check_out_file
from prefrl.rundir import RunDir
from prefrl.spelling import nearest
from prefrl.video import write_video
from prefrl.world import checked_size


def main(args: list[str]) -> int:
    """Parse the command line after `prefrl labels`, do it, and return the exit code.

    Raises:
        UserError: Bad input; nothing has been written.
    """
    options = parse_labels(args)
    run = RunDir(options.run).must_exist()
    if isinstance(options.action, RecoverArgs):
        sys.stdout.write(labels_health.recover_labels(run.labels) + "\n")
        return 0
    config = configfile.load(run.config)
    if not run.labels.is_file() and not backups.found(run.labels):
        raise UserError(f"expected labels in {run.path}, found none: it is a run on the score, or has not begun")
    match options.action:
        case ListArgs() as action:
            _list(run, config, action)
        case PlayArgs() as action:
            _play(run, config, action)
        case ExportArgs() as action:
            _export(run, config, action.out)
        case ImportArgs() as action:
            _import(run, config, action)
        case CheckArgs():
            lines, is_fine = labels_health.check_labels(run)
            sys.stdout.writelines(f"{line}\n" for line in lines)
            return 0 if is_fine else EXIT_DAMAGED
        case _:
            assert_never(options.action)
    return 0


def _list(run: RunDir, config: Config, action: ListArgs) -> None:
    with Store.open_read_only(run.labels) as store:
        rows, n_queries = label_rows(store, config.people.task), store.counts().n_queries
    chosen = _of_labeler(rows, action.labeler)
    if action.last is not None:
        chosen = chosen[-_at_least_1(action.last) :]
    if action.json:
        sys.stdout.write(to_json_lines(chosen))
        return
    console = Console(highlight=False)
    if chosen:
        console.print(label_table(chosen))
    console.print(summary(rows, n_queries), markup=False, soft_wrap=True)


def _of_labeler(rows: list[Row], labeler: str | None) -> list[Row]:
    names = sorted({row["labeler"] for row in rows})
    if labeler is not None and labeler not in names:
        raise UserError(
            f"expected --labeler to be one of {', '.join(names) or 'nobody yet'}, got {labeler!r}"
            + nearest(labeler, names)
        )
    return [row for row in rows if labeler is None or row["labeler"] == labeler]


def _at_least_1(last: int) -> int:
    if last < 1:
        raise UserError(f"expected --last to be at least 1, got {last}")
    return last


def _play(run: RunDir, config: Config, action: PlayArgs) -> None:
    check_out_file(action.out, "--out", ".webm")
    with Store.open_read_only(run.labels) as store:
        rows = [row for row in label_rows(store) if not row["undone"]]
        if action.query is None:
            rows = rows[-_at_least_1(action.last) :]
        else:
            asked = store.query(action.query)
            rows = [row for row in rows if row["query_id"] == action.query] or [
                {"query_id": asked.query_id, "left": asked.left_clip, "right": asked.right_clip, "choice": None}
            ]
    if not rows:
        raise UserError(f"expected labels in {run.path} to play, found none yet")
    shown = _shown(run, config, rows)
    write_video(action.out, label_frames(shown), shown[0].frame_rate, min_height=1)
    sys.stdout.write(f"video of {len(rows)} label{'s' * (len(rows) > 1)}: {action.out}\n")


def _shown(run: RunDir, config: Config, rows: list[Row]) -> list[Shown]:
    """Draws the clips of these labels, on the sides where they were shown."""
    from prefrl.drawers import make_drawer  # slow to import, and not needed to list labels

    drawer = make_drawer(config)
    files, shown = ClipFiles(run.clips), []
    for row in rows:
        clips = [checked_size(files.read(row[side])) for side in ("left", "right")]
        if row.get("swapped"):
            clips.reverse()
        try:
            left, right = (drawer.draw(clip.obs, clip.view) for clip in clips)
        except UserError as e:
            raise UserError(f"{e}; to have clips drawn, train with --world.record-views always") from e
        shown.append(
            Shown(
                left=left,
                right=right,
                frame_rate=clips[0].frame_rate,
                choice=None if row["choice"] is None else choice_as_shown(row),
                title=config.people.task,
                caption=_caption(row),
            )
        )
    return shown


def _caption(row: Row) -> str:
    if row["choice"] is None:
        return f"query {row['query_id']}, not answered yet"
    said = f"{row['labeler']}: {WORDS[choice_as_shown(row)]}"
    taken = f"{row['ms_on_screen'] / 1000:.1f} s on screen"
    return f"{said}   |   {time_text(row)} UTC   |   {taken}   |   step {row['agent_step']:,}   |   {row['query_id']}"


def _export(run: RunDir, config: Config, out: Path) -> None:
    with Store.open_read_only(run.labels) as store:
        rows, source = label_rows(store, config.people.task), source_id(store)
    about = {
        "source": source,
        "run": run.path.resolve().name,
        "env_id": config.env_id,
        "env_kwargs": list(config.world.env_kwargs),
        "task": config.people.task,
        "written_at": utc_text(utc_ms_now()),
    }
    has_parquet = util.find_spec("pyarrow") is not None
    n_without = write_folder(out, rows, ClipFiles(run.clips), about, write_tables if has_parquet else None)
    if n_without:
        warnings.warn(f"{n_without} labels are exported without clips, whose files cannot be read", stacklevel=2)
    sys.stdout.write(f"{len(rows):,} labels: {out}\n")
    if not has_parquet:
        sys.stdout.write("without Parquet tables; for those, pip install 'prefrl[datasets]'\n")


def _import(run: RunDir, config: Config, action: ImportArgs) -> None:
    from prefrl import worlds  # slow to import, and not needed to list labels
    from prefrl.labels_check import clip_check

    check_folder(action.source)
    env_id = env_id_of(action.source)
    if env_id != config.env_id and not action.any_env:
        raise UserError(
            f"expected labels of {config.env_id}, got those of {env_id}; labels stay in a run for ever (to take them "
            "all the same, --any-env)"
        )
    world = worlds.make_world(config, n_envs=1, seed=0, views=False)
    world.venv.close()
    check = clip_check(world, worlds.clip_steps(config, world))
    with Store(run.labels) as store:
        n_new = copy_labels(action.source, store, ClipFiles(run.clips), check)
    sys.stdout.write(f"{n_new:,} new labels from {action.source} in {run.path}\n")
