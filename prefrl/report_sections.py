"""The sections of a run's report: each a function from the report's data to markup."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prefrl.errors import UserError
from prefrl.markup import Markup, element
from prefrl.report_answers import answers, labelers
from prefrl.report_curves import learning, reward_model
from prefrl.report_data import GalleryClip, ReportData
from prefrl.report_layout import bar, empty, pairs, section
from prefrl.report_strategies import strategies
from prefrl.report_words import duration, lead, number, plural, reading
from prefrl.video import encode_clip

_PHASES = {"collect": "blue", "learn": "green", "fit": "vermilion", "query": "orange"}


def _header(data: ReportData) -> Markup:
    env_id = str(data.result.get("env_id", "unknown environment"))
    facts = [env_id]
    if (seed := reading(data.result, "seed")) is not None:
        facts.append(f"seed {seed:.0f}")
    if (steps := reading(data.result, "timesteps")) is not None:
        facts.append(f"{number(steps)} steps")
    if (total := reading(data.result, "seconds", "total")) is not None:
        facts.append(duration(total))
    return element(
        "header",
        element("h1", data.title),
        element("ul", *(element("li", f) for f in facts if f not in data.title), class_="facts"),
        element("p", lead(data.result, data.score_return), class_="lead"),
    )


def _result(data: ReportData) -> Markup:
    """A dot for each agent on one scale: random, this run, and the same learner on the score."""
    env_return = reading(data.result, "env_return")
    spread = reading(data.result, "env_return_std")
    on_score = data.result.get("reward") == "score"
    own = ("Trained on the score", "green") if on_score else ("Trained on preferences", "blue")
    rows = [
        ("Acting at random", "orange", reading(data.result, "random_return"), None),
        (*own, env_return, spread),
    ]
    if not on_score and data.score_return is not None:
        rows.append(("Trained on the score", "green", data.score_return, None))
    known = [value for *_, value, _ in rows if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    scale = (low, (high - low) or 1.0)
    episodes = reading(data.result, "eval_episodes")
    how = (
        "Env return: the environment's own score, hidden from the learner"
        if not on_score
        else "Env return: the environment's own score, which this run was trained on"
    )
    if episodes is not None:
        how += f"; mean ± standard deviation over {plural(episodes, 'evaluation episode')}"
    body = element("tbody", *(_result_row(*row, scale) for row in rows))
    return section("Result", element("table", body, class_="result"), element("p", how + "."))


def _result_row(
    name: str,
    color: str,
    value: float | None,
    spread: float | None,
    scale: tuple[float, float],
) -> Markup:
    heading = element("th", name, scope="row")
    if value is None:
        return element("tr", heading, element("td"), element("td", "not measured", class_="empty"))
    low, width = scale
    place = 100 * (value - low) / width
    marks = [element("i", class_="dot", style=f"left:{place:.2f}%")]
    figures = number(value)
    if spread is not None:
        half = 100 * spread / width
        left, right = max(place - half, -4.0), min(place + half, 104.0)
        band = f"left:{left:.2f}%;width:{max(right - left, 0):.2f}%"
        marks.insert(0, element("i", class_="band", style=band))
        figures += f" ± {number(round(spread) if abs(value) >= 100 else spread)}"
    track = element("div", *marks, class_=f"track {color}")
    return element("tr", heading, element("td", track), element("td", figures, class_="figure"))


def _gallery(data: ReportData) -> Markup | None:
    title = "What the reward model likes"
    if data.result.get("reward") == "score" and not data.most_liked:
        return None
    if not data.most_liked and not data.least_liked:
        return section(title, empty(data.gallery_note or "No clips were kept for a gallery."))
    try:
        halves = [
            element("div", element("h3", name), element("div", *map(_clip, clips), class_="clips"))
            for name, clips in (("Most", data.most_liked), ("Least", data.least_liked))
        ]
    except UserError as error:  # no OpenCV: the rest of the report is still worth having
        return section(title, empty(f"The clips could not be drawn. {error}"))
    words = "Clips of the agent by learned return, the sum of the learned reward over the clip."
    note = [element("p", data.gallery_note)] if data.gallery_note else []
    return section(title, element("div", *halves, class_="gallery"), element("p", words), *note)


def _clip(clip: GalleryClip) -> Markup:
    video = base64.b64encode(encode_clip(clip.frames, clip.frame_rate)).decode()
    height, width = clip.frames.shape[1:3]
    value = f"{'+' if clip.learned_return > 0 else ''}{number(clip.learned_return)}"
    return element(
        "figure",
        element(
            "video",
            src=f"data:video/webm;base64,{video}",
            width=str(width),
            height=str(height),
            **dict.fromkeys(("autoplay", "loop", "muted", "playsinline", "controls"), True),
            aria_label=f"{clip.caption}, learned return {value}",
        ),
        element("figcaption", element("b", value), " ", clip.caption),
    )


def _time(data: ReportData) -> Markup:
    measured = {phase: reading(data.result, "seconds", phase) for phase in _PHASES}
    parts = [
        (phase, _PHASES[phase], seconds, duration(seconds))
        for phase, seconds in measured.items()
        if seconds is not None
    ]
    if not parts:
        return section("Wall clock", empty("Wall clock: not measured in this run."))
    total = reading(data.result, "seconds", "total")
    if total is not None and (rest := total - sum(part[2] for part in parts)) > 0.005 * total:
        parts.append(("other", "faint", rest, duration(rest)))
    return section("Wall clock", bar(parts))


def _notes(data: ReportData) -> Markup | None:
    if not data.notes:
        return None
    return section("Notes", element("ul", *(element("li", note) for note in data.notes)))


def _provenance(data: ReportData) -> Markup:
    versions = data.result.get("versions")
    named = versions.items() if isinstance(versions, Mapping) else ()
    config = list(_flat(data.config))
    if not named and not config:
        return section("Made with", empty("Versions and config: not recorded."))
    folded = element(
        "details",
        element("summary", f"The full config, {plural(len(config), 'setting')}"),
        pairs(config),
    )
    listed = pairs((str(name), str(version)) for name, version in named)
    return section("Made with", listed if named else empty("Versions: not recorded."), folded)


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as ("train.n_steps", "256") pairs, in their order."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield f"{prefix}{key}", value
        else:
            yield f"{prefix}{key}", json.dumps(value, default=str, ensure_ascii=False)


SECTIONS: tuple[Callable[[ReportData], Markup | None], ...] = (
    _header,
    _result,
    _gallery,
    learning,
    reward_model,
    answers,
    labelers,
    strategies,
    _time,
    _notes,
    _provenance,
)
"""The page from top to bottom; a section that does not apply to the run is None."""
