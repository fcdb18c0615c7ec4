"""Gathers what a run folder holds for its report; reads data only, and runs nothing that the folder brings."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling import backups
from labeling.clip import ClipError, ClipFiles
from labeling.statistics import summarize
from labeling.store import Store
from prefrl import configfile
from prefrl.config import Config
from prefrl.drawers import make_drawer
from prefrl.errors import UserError
from prefrl.judge_queries import judge
from prefrl.metrics_file import read_metrics
from prefrl.report import GalleryClip, ReportData, write_report
from prefrl.rundir import RunDir, read_json
from prefrl.world import checked_size

_MOST_SHOWN = 16


def report_run(run: RunDir, out: Path, score: RunDir | None = None) -> None:
    """Write the report of a run; `score` is a run of the same learner on the env reward, to compare with.

    Raises:
        UserError: A file of the run is not what it should be, or `score` is no run on the score.
        DamagedStoreError: The store of labels is damaged, or gone though there are backups of it.
    """
    config, result, metrics = configfile.load(run.config), run.read_result(), read_metrics(run.metrics)
    score_return = None if score is None else _score_return(score)
    gallery = _read_gallery(run.gallery)
    most, least, note = _draw_gallery(run, config, gallery)
    answers, strategies = _asked(run.labels)
    write_report(
        out,
        ReportData(
            title=f"{config.env_id}, seed {config.seed}",
            config=dataclasses.asdict(config),
            result=result,
            metrics=metrics,
            answers=answers,
            strategies=strategies,
            learned_vs_env=_returns(gallery),
            most_liked=most,
            least_liked=least,
            gallery_note=note,
            score_return=score_return,
            notes=_missing(run, config, result, metrics),
        ),
    )


def _score_return(score: RunDir) -> float | None:
    env_return = _number(score.read_result().get("env_return"))
    if configfile.load(score.config).reward != "score":
        raise UserError(
            f"expected --score-run to be a run on the score (--reward score), got {score.path}, which is one on "
            "preferences"
        )
    return env_return


def _missing(run: RunDir, config: Config, result: dict[str, Any], metrics: dict[str, list[float | None]]) -> list[str]:
    """What a finished run had written, and its folder lacks; an unfinished one may have written nothing yet."""
    steps = _number(result.get("timesteps"))
    if steps is None:
        return []
    notes = []
    last = max((x for x in metrics.get("time/total_timesteps", []) if x is not None), default=0)
    if not run.metrics.is_file():
        notes.append(f"{run.metrics.name} is missing: the curves cannot be drawn.")
    elif last < steps:
        notes.append(f"{run.metrics.name} ends at step {last:,.0f} of {steps:,.0f}: the curves lack what came after.")
    if config.reward == "preferences" and _number(result.get("labels")):
        lost = {
            run.labels: "what was answered is not known",
            run.clips: "no label can be shown or learned from again",
            run.gallery: "what the reward model likes is not known",
        }
        notes += [f"{path.name} is missing: {what}." for path, what in lost.items() if not path.exists()]
    return notes


def _read_gallery(path: Path) -> dict[str, Any]:
    gallery = read_json(path)
    for name in ("most_liked", "least_liked"):
        entries = gallery.get(name) or []
        if not isinstance(entries, list) or len(entries) > _MOST_SHOWN or not all(map(_is_entry, entries)):
            raise UserError(f"expected at most {_MOST_SHOWN} clips with their returns as {name} in {path}")
    for name in ("learned_returns", "env_returns"):
        if not all(_number(x) is not None for x in _listed(gallery.get(name))):
            raise UserError(f"expected a list of numbers as {name} in {path}")
    return gallery


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("clip_id"), str):
        return False
    return all(_number(entry.get(name)) is not None for name in ("learned_return", "env_return"))


def _listed(values: object) -> list[object]:
    if values is None:
        return []
    return values if isinstance(values, list) else ["no list"]


def _returns(
    gallery: dict[str, Any],
) -> tuple[NDArray[np.floating], NDArray[np.floating]] | None:
    learned, env = gallery.get("learned_returns"), gallery.get("env_returns")
    if not learned or not env or len(learned) != len(env):
        return None
    return np.array(learned, float), np.array(env, float)


def _asked(labels: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is said of a run's answers, and of the strategies that picked its queries."""
    if not labels.is_file() and not backups.found(labels):
        return {}, []
    with Store.open_read_only(labels) as store:
        return summarize(store), judge(store)


def _draw_gallery(
    run: RunDir, config: Config, gallery: dict[str, Any]
) -> tuple[list[GalleryClip], list[GalleryClip], str | None]:
    """Clips the model likes most and least; and why there are none, where there are none."""
    entries = [gallery.get(name) or [] for name in ("most_liked", "least_liked")]
    if config.reward == "score":
        return [], [], "A run on the score has no reward model that could like a clip."
    if not any(entries):
        return (
            [],
            [],
            ("No pictures were recorded for this run; train with --world.record-views always to see clips here."),
        )
    drawer = make_drawer(config)
    files = ClipFiles(run.clips)
    drawn: list[list[GalleryClip]] = []
    for side in entries:
        clips = []
        for entry in side:
            try:
                clip = checked_size(files.read(str(entry["clip_id"])))
            except ClipError as e:
                return [], [], f"A clip of the gallery could not be read: {e}"
            clips.append(
                GalleryClip(
                    frames=drawer.draw(clip.obs, clip.view),
                    frame_rate=clip.frame_rate,
                    learned_return=float(entry["learned_return"]),
                    caption=f"env return {float(entry['env_return']):.2f}, at step {clip.agent_step:,}",
                )
            )
        drawn.append(clips)
    return drawn[0], drawn[1], None


def _number(value: object) -> float | None:
    is_one = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_one else None  # type: ignore[arg-type]  # a number, as was just seen
