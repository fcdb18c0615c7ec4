"""The report says every number, says what is missing, and lets no text be anything but text."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefrl.markup import Markup, element, escaped
from prefrl.report import GalleryClip, ReportData, render_html, write_report
from prefrl.report_words import duration, lead, number, percent, plural, reading

RESULT: dict[str, Any] = {
    "env_id": "HalfCheetah-v5",
    "seed": 3,
    "reward": "preferences",
    "labels": 350,
    "timesteps": 491_520,
    "env_return": 1234.4,
    "env_return_std": 56.1,
    "random_return": -280.3,
    "eval_episodes": 10,
    "seconds": {"total": 760.0, "collect": 190.0, "learn": 380.0, "fit": 152.0, "query": 19.0},
    "reward_model": {"val_accuracy": 0.834, "train_accuracy": 0.951, "members": 3},
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
}
METRICS: dict[str, list[float | None]] = {
    "time/total_timesteps": [1000.0, 2000.0, 3000.0],
    "prefs/labels_total": [10.0, 20.0, 30.0],
    "rollout/ep_env_rew_mean": [None, 1.0, 2.0],
    "reward_model/loss": [0.7, 0.5, 0.3],
    "reward_model/val_loss": [0.7, None, 0.4],
    "reward_model/accuracy": [0.6, 0.8, 0.9],
    "reward_model/val_accuracy": [0.5, None, 0.8],
    "eval/mean_reward": [None, 3.0, 4.0],
}

ANSWERS: dict[str, Any] = {
    "n_answers": 100,
    "n_by_choice": {"left": 40, "right": 35, "equal": 20, "skip": 5},
    "imported": [{"source": "runs/before", "n_answers": 100}],
    "n_undone": 0,
    "n_repeats": 0,
    "on_screen": None,
    "labelers": [],
}


def clip(value: float, caption: str = "step 1,000") -> GalleryClip:
    frames = np.zeros((4, 12, 16, 3), np.uint8)
    frames[:, 2:6, 2:6] = 200
    return GalleryClip(frames, 10.0, value, caption)


def full() -> ReportData:
    return ReportData(
        title="cheetah",
        config={"seed": 3, "ppo": {"n_steps": 256, "learning_rate": 3e-4}, "out": "runs/a"},
        result=RESULT,
        metrics=METRICS,
        answers=ANSWERS,
        learned_vs_env=(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])),
        most_liked=[clip(12.5, "step 9,000"), clip(3.0)],
        least_liked=[clip(-7.25, "step 100")],
        score_return=1310.0,
        notes=["Answers came from a teacher."],
    )


class Page(HTMLParser):
    """What a browser would see: the elements, their attributes and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.parts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that opens."""
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that has no inside."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Check that the innermost open element closes."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text that is shown."""
        if "style" not in self.open:
            self.parts.append(data)

    @property
    def text(self) -> str:
        """All text shown, single-spaced."""
        return " ".join(" ".join(self.parts).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of that name."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html() -> str:
    pytest.importorskip("cv2")
    pytest.importorskip("matplotlib")
    return render_html(full())


def test_the_page_says_every_number(html: str) -> None:
    text = Page(html).text
    for words in (
        "After 350 answers the agent scores 1,234; acting at random scores −280; the same learner "
        "trained on the score, 1,310. That is 95% of the way from random to the score.",
        "HalfCheetah-v5 seed 3 491,520 steps 12 min 40 s",
        "Trained on preferences 1,234 ± 56",
        "Acting at random −280",
        "Trained on the score 1,310",
        "over 10 evaluation episodes",
        "3 networks fitted to the answers. Of the answers held out from it, the model predicts 83%",
        "of those it was fitted to, 95%",
        "Over 4 clips the two correlate at r = 0.80.",
        "left 40% 40 answers right 35% 35 answers equal 20% 20 answers skip 5% 5 answers",
        "100 answers count; of them 100 from runs/before, which the figures below leave out.",
        "collect 25% 3 min 10 s learn 50% 6 min 20 s fit 20% 2 min 32 s query 2% 19.0 s other 2% 19.0 s",
        "+12.5 step 9,000",
        "−7.25 step 100",
        "python 3.11.7 torch 2.13.0",
        "ppo.learning_rate 0.0003",
        "out runs/a",
        "The full config, 4 settings",
        "Answers came from a teacher.",
    ):
        assert words in text, words


def test_the_dots_stand_where_the_returns_do(html: str) -> None:
    places = re.findall(r'class="dot" style="left:([\d.]+)%"', html)
    expected = 100 * (1234.4 + 280.3) / (1310 + 280.3)
    assert [float(place) for place in places] == pytest.approx([0, expected, 100], abs=0.01)


def test_the_page_draws_five_plots_and_loops_its_clips(html: str) -> None:
    page = Page(html)
    assert len(page.named("svg")) == 5
    videos = page.named("video")
    assert len(videos) == 3
    for video in videos:
        assert {"autoplay", "loop", "muted", "playsinline"} <= set(video)
        assert (video["src"] or "").startswith("data:video/webm;base64,GkXf")
        assert (video["width"], video["height"]) == ("16", "12")
    assert videos[0]["aria-label"] == "step 9,000, learned return +12.5"


def test_the_page_fetches_nothing_and_runs_nothing(html: str) -> None:
    page = Page(html)
    assert "http:" not in html
    assert "https:" not in html
    assert {name for name, _ in page.elements} & {
        "script",
        "link",
        "iframe",
        "img",
        "object",
    } == set()
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:video/webm;base64,"))
    policies = [m["content"] for m in page.named("meta") if "http-equiv" in m]
    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    ]


def test_ids_are_unique(html: str) -> None:
    ids = [a["id"] for _, a in Page(html).elements if "id" in a]
    assert len(ids) == len(set(ids)) > 100


HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror='a()'>\"&{{7*7}}\u202e\ud800\0"


def test_hostile_text_is_only_text() -> None:
    hostile = ReportData(
        title=HOSTILE,
        config={HOSTILE: {HOSTILE: HOSTILE}, "list": [HOSTILE]},
        result={
            **RESULT,
            "env_id": HOSTILE,
            "env_return": HOSTILE,
            "versions": {HOSTILE: HOSTILE},
            "seconds": HOSTILE,
            "reward_model": [HOSTILE],
        },
        answers={
            **ANSWERS,
            "n_by_choice": {HOSTILE: 3},
            "imported": [{"source": HOSTILE, "n_answers": 3}],
        },
        most_liked=[clip(1.0, HOSTILE)],
        gallery_note=HOSTILE,
        notes=[HOSTILE],
    )
    html = render_html(hostile)
    page = Page(html)
    assert {name for name, _ in page.elements} & {"script", "img"} == set()
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)") >= 10
    assert "{{7*7}}" in page.text
    assert "\u202e" not in html
    html.encode("utf-8")


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"reward": "preferences", "env_return": None, "seconds": None, "versions": None},
        {"env_return": float("nan"), "random_return": float("inf"), "label": True},
    ],
)
def test_what_is_missing_is_said_in_words(result: dict[str, Any]) -> None:
    text = Page(render_html(ReportData("bare", {}, result))).text
    for words in (
        "the agent has not been evaluated",
        "Acting at random not measured",
        "Trained on preferences not measured",
        "No clips were kept for a gallery.",
        "Env return while learning: not measured in this run.",
        "Env return by answers given: not measured in this run.",
        "Accuracy on held-out answers: not measured",
        "Answers predicted: not measured in this run.",
        "Reward model loss: not measured in this run.",
        "Learned against env return: not measured in this run.",
        "No answers were recorded.",
        "Wall clock: not measured in this run.",
        "Versions and config: not recorded.",
    ):
        assert words in text, words
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text)


@pytest.mark.parametrize(
    ("gone", "unmeasured"),
    [
        ({"time/total_timesteps"}, ["Env return while", "Answers predicted", "Reward model loss"]),
        ({"eval/mean_reward", "reward_model/val_loss"}, []),  # training episodes stand in for evaluations
        ({"prefs/labels_total", "rollout/ep_env_rew_mean"}, ["Env return by answers given"]),
        ({"reward_model/accuracy", "reward_model/val_accuracy"}, ["Answers predicted"]),
    ],
)
@pytest.mark.parametrize("is_empty", [True, False])
def test_columns_may_be_missing_or_empty(gone: set[str], unmeasured: list[str], is_empty: bool) -> None:
    empty = {key: [None, None, None] for key in gone} if is_empty else {}
    kept = {name: values for name, values in METRICS.items() if name not in gone}
    data = ReportData("x", {}, RESULT, {**kept, **empty})
    text = Page(render_html(data)).text
    assert text.count("not measured in this run") == len(unmeasured) + 1  # the scatter, too
    for name in unmeasured:
        assert re.search(rf"{name}[\w ]*: not measured in this run\.", text), name


def test_a_run_on_the_score_speaks_of_no_reward_model() -> None:
    result = {key: value for key, value in RESULT.items() if key != "reward_model"}
    data = ReportData("base", {}, {**result, "reward": "score", "labels": 0}, METRICS)
    page = Page(render_html(data))
    assert (
        "Trained on the score itself for 491,520 steps, the agent scores 1,234; "
        "acting at random scores −280." in page.text
    )
    assert "Trained on the score 1,234 ± 56" in page.text
    assert "which this run was trained on" in page.text
    assert not re.search("reward model|answers|preferences|hidden", page.text, re.IGNORECASE)


def test_without_opencv_or_matplotlib_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in list(sys.modules):
        if module.split(".")[0] in {"cv2", "matplotlib"}:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = Page(render_html(full())).text
    assert "The clips could not be drawn. Videos need OpenCV: pip install 'prefrl[window]'" in text
    assert text.count("Plots need matplotlib: pip install 'prefrl[plots]'") == 5
    assert "After 350 answers" in text


def test_write_report_replaces_the_page_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    data = ReportData("Größe", {}, {})
    write_report(path, data)
    assert path.read_text(encoding="utf-8") == render_html(data)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    broken = replace(data, config={"x": {1, 2}}, answers={**ANSWERS, "n_by_choice": {"left": None}})
    with pytest.raises(TypeError):
        write_report(path, broken)
    assert path.read_text(encoding="utf-8") == render_html(data)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(T, H, W, 3\) of uint8, got \(4, 12, 16\)"):
        GalleryClip(np.zeros((4, 12, 16), np.uint8), 10.0, 0.0, "")
    with pytest.raises(ValueError, match=r"got \(2,\) and \(3,\)"):
        ReportData("x", {}, {}, learned_vs_env=(np.zeros(2), np.zeros(3)))


@pytest.mark.parametrize(
    ("change", "score_return", "words"),
    [
        ({}, None, "After 350 answers the agent scores 1,234; acting at random scores −280."),
        ({"labels": 1}, None, "After 1 answer the agent"),
        ({"labels": 0}, None, "Without a single answer the agent"),
        ({"random_return": None}, 1310.0, "trained on the score, 1,310."),
        ({"env_return": -300.0}, 1310.0, "It has not left random behind."),
        ({"env_return": 1400.0}, 1310.0, "Preferences did at least as well as the score."),
        ({"env_return": None}, 1310.0, "After 350 answers the agent has not been evaluated."),
    ],
)
def test_the_sentence_on_top(change: dict[str, Any], score_return: float | None, words: str) -> None:
    assert words in lead({**RESULT, **change}, score_return)


def test_numbers_in_words() -> None:
    values = (0, -0.001, 0.126, -7.25, 12.34, 99.96, 350, -280.3, 1234.5, 1e6)
    assert [number(v) for v in values] == [
        *("0", "0.00", "0.13", "−7.25", "12.3", "100.0", "350", "−280", "1,234", "1,000,000"),
    ]
    assert [percent(v) for v in (0, 0.834, 0.994, 0.999, 1)] == ["0%", "83%", "99%", "99%", "100%"]
    assert [duration(v) for v in (8.24, 59.96, 760, 3599.9, 11_100)] == [
        *("8.2 s", "1 min 00 s", "12 min 40 s", "1 h 00 min", "3 h 05 min"),
    ]
    assert [plural(1, "clip"), plural(2000, "clip")] == ["1 clip", "2,000 clips"]


def test_reading_takes_finite_numbers_only() -> None:
    values = {"a": {"b": 2}, "t": True, "s": "3", "n": float("nan")}
    assert reading(values, "a", "b") == 2.0
    assert [reading(values, *k) for k in (("t",), ("s",), ("n",), ("a",), ("a", "c"), ("s", "b"))] == [None] * 6


def test_markup_escapes_all_but_itself() -> None:
    assert escaped("<&\"'>") == "&lt;&amp;&quot;&#x27;&gt;"
    assert element("b", "<i>", Markup("<i></i>"), class_='"') == ('<b class="&quot;">&lt;i&gt;<i></i></b>')
    assert element("meta", http_equiv="x", hidden=True, lang=False) == '<meta http-equiv="x" hidden>'
    assert escaped("a\tb\nc\x1b[31m\ud83d") == "a\tb\nc\ufffd[31m\ufffd"
