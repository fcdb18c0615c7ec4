"""The report's sections about answers: what was answered and when, by whom, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefrl.markup import Markup, element
from prefrl.report_data import ReportData
from prefrl.report_layout import bar, empty, section
from prefrl.report_words import duration, number, percent, plural

_CHOICES = {"left": "blue", "right": "vermilion", "equal": "green", "skip": "faint"}
_MOST_LABELERS = 12
"""Labelers that the page shows at once; more are folded away."""
_MOST_PAIRS = 10
"""Pairs of labelers that the page shows, those with the most queries in common."""
_MOST_NAMES = 3
"""Names in a sentence; more are counted."""
_NO_SCREEN = "Not applicable: nobody answered on a screen."

Figures = Mapping[str, Any]
"""Part of what `labeling.statistics.summarize` gives."""


def answers(data: ReportData) -> Markup | None:
    """How often each answer was given, and when."""
    if data.result.get("reward") == "score":
        return None
    found = data.answers
    if not found or not found["n_answers"]:
        return section("Answers", empty("No answers were recorded."))
    mix = bar(
        [
            (choice, _CHOICES.get(choice, "orange"), count, plural(count, "answer"))
            for choice, count in found["n_by_choice"].items()
        ]
    )
    return section("Answers", mix, element("p", _counted_words(found)), *_when(found))


def labelers(data: ReportData) -> Markup | None:
    """Who answered, how fast, with what lean to a side, and how far they agree with themselves and each other."""
    if data.result.get("reward") == "score" or not data.answers or not data.answers["labelers"]:
        return None
    found = data.answers
    findings = {
        "Pace": _pace_words(found),
        "Sides": _side_words(found),
        "Self-consistency": _repeated_words(found),
        "Agreement": _agreement_words(found["agreement"]),
    }
    return section(
        "Labelers",
        _labeler_tables(found["labelers"]),
        element("dl", *(_finding(name, words) for name, words in findings.items()), class_="findings"),
        *_pair_table(found["agreement"]["pairs"]),
    )


def _finding(name: str, words: str) -> Markup:
    return element("div", element("dt", name), element("dd", words))


def _counted_words(found: Figures) -> str:
    parts = [f"{plural(found['n_answers'], 'answer')} {'counts' if found['n_answers'] == 1 else 'count'}"]
    imported = found["imported"]
    if imported:
        sources = ", ".join(f"{number(each['n_answers'])} from {each['source']}" for each in imported)
        parts.append(f"of them {sources}, which the figures below leave out")
    if found["n_repeats"]:
        again = "went to a pair" if found["n_repeats"] == 1 else "went to pairs"
        parts.append(f"{number(found['n_repeats'])} {again} put a second time")
    if found["n_undone"]:
        parts.append(f"{number(found['n_undone'])} more {'was' if found['n_undone'] == 1 else 'were'} undone")
    sides = "" if found["on_screen"] is None else " Left and right are as they stood on the screen."
    return f"{'; '.join(parts)}.{sides}"


def _when(found: Figures) -> list[Markup]:
    """Answers over agent steps and, for each labeler, over time."""
    many = [each for each in found["labelers"] if each["n_answers"]]
    if not many:
        return []
    by_step = _strip_row("all", found["by_step"], max(found["by_step"]))
    steps = _strips("By the agent's steps when asked", [by_step], "0", plural(found["last_step"], "step"))
    shown = many[:_MOST_LABELERS]
    tallest = max(max(each["by_time"]) for each in shown)
    rows = [_strip_row(each["labeler"], each["by_time"], tallest) for each in shown]
    title = "Over time, from the first answer to the last"
    if len(many) > len(shown):
        title += f"; the {number(len(shown))} who answered most"
    return [steps, _strips(title, rows, "0", duration(found["span_seconds"]))]


def _strips(title: str, rows: Sequence[Markup], first: str, last: str) -> Markup:
    ends = element("tr", element("td"), element("td", element("span", first), element("span", last), class_="ends"))
    table = element("table", element("tbody", *rows, ends), class_="strips")
    return Markup(element("h3", title) + table)


def _strip_row(name: str, counts: Sequence[int], tallest: int) -> Markup:
    """One row of bars: SVG, a unit wide for each count and 10 high for `tallest`."""
    bars = [f"M{i} 10v-{10 * count / tallest:.2f}h.82V10z" for i, count in enumerate(counts) if count]
    words = f"{plural(sum(counts), 'answer')}, at most {number(max(counts))} in a bar"
    drawn = element(
        "svg",
        element("title", words),
        element("path", d="".join(bars), fill="currentColor"),
        viewBox=f"0 0 {len(counts)} 10",
        preserveAspectRatio="none",
        role="img",
    )
    return element("tr", element("th", name, scope="row"), element("td", drawn))


def _labeler_tables(rows: Sequence[Figures]) -> Markup:
    shown, folded = rows[:_MOST_LABELERS], rows[_MOST_LABELERS:]
    table = _labeler_table(shown)
    if not folded:
        return table
    summary = element("summary", f"{plural(len(folded), 'more labeler')}")
    return Markup(table + element("details", summary, _labeler_table(folded)))


_COLUMNS = ("Labeler", "Answers", "Per minute", "On screen", "For the left side", "Same again", "Same as others")


def _labeler_table(rows: Sequence[Figures]) -> Markup:
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in _COLUMNS)))
    return element("table", head, element("tbody", *map(_labeler_row, rows)), class_="labelers")


def _labeler_row(labeler: Figures) -> Markup:
    undone = f"{number(labeler['n_undone'])} undone" if labeler["n_undone"] else ""
    return element(
        "tr",
        element("th", labeler["labeler"], scope="row"),
        _cell(1, number(labeler["n_answers"]), undone),
        *_on_screen_cells(labeler["on_screen"]),
        _cell(5, *_share_words(labeler["repeated"])),
        _cell(6, *_share_words(labeler["with_others"])),
    )


def _on_screen_cells(on_screen: Figures | None) -> list[Markup]:
    if on_screen is None:
        return [element("td", "not applicable: answers without a screen", colspan="3", class_="empty")]
    pace, seconds, quarters = (
        on_screen["per_minute"],
        on_screen["median_seconds"],
        on_screen["per_minute_by_quarter"],
    )
    by_quarter = "" if quarters is None else " → ".join(f"{pace:.1f}" for pace in quarters)
    return [
        _cell(2, "–" if pace is None else f"{pace:.1f}", by_quarter),
        _cell(3, "–" if seconds is None else f"{seconds:.1f} s", ""),
        _side_cell(on_screen["left"]),
    ]


def _cell(column: int, figure: str, faint: str) -> Markup:
    """A figure and what stands small below it; the column's name is for narrow screens."""
    below = [element("small", faint)] if faint else []
    return element("td", element("span", figure, class_="figure"), *below, data_label=_COLUMNS[column])


def _share_words(share: Figures) -> tuple[str, str]:
    if not share["of"]:
        return "–", ""
    return percent(share["share"]), f"of {number(share['of'])}{_interval(share, ', ')}"


def _interval(share: Figures, before: str = "") -> str:
    if share["low"] is None:
        return ""
    return f"{before}{percent(share['low'])} to {percent(share['high'])}"


def _side_cell(left: Figures) -> Markup:
    """The share of the left side as a dot on a line from 0 to 100%, its interval as a band around it."""
    if not left["of"]:
        return _cell(4, "–", "")
    low, high = 100 * left["low"], 100 * left["high"]
    track = element(
        "div",
        element("i", class_="middle"),
        element("i", class_="band", style=f"left:{low:.2f}%;width:{high - low:.2f}%"),
        element("i", class_="dot", style=f"left:{100 * left['share']:.2f}%"),
        class_=f"track {'blue' if _lean(left) is None else 'vermilion'}",
        aria_hidden="true",
    )
    figure = element("span", percent(left["share"]), class_="figure")
    return element("td", figure, track, element("small", _interval(left)), data_label=_COLUMNS[4], class_="side")


def _lean(left: Figures) -> str | None:
    """The side that is preferred more than chance explains, None where the interval covers 50%."""
    if not left["of"] or left["low"] <= 0.5 <= left["high"]:
        return None
    return "left" if left["share"] > 0.5 else "right"


def _pace_words(found: Figures) -> str:
    on_screen = found["on_screen"]
    if on_screen is None:
        return _NO_SCREEN
    n_people = sum(each["on_screen"] is not None for each in found["labelers"])
    pace, seconds = on_screen["per_minute"], on_screen["median_seconds"]
    if pace is None:
        return "Not known from so few answers."
    who = "" if n_people == 1 else f" by {plural(n_people, 'labeler')}"
    time = "" if seconds is None else f", each after {seconds:.1f} s on the screen (median)"
    arrows = any(each["on_screen"] and each["on_screen"]["per_minute_by_quarter"] for each in found["labelers"])
    quarters = " In small, the pace in each quarter of a labeler's answers." if arrows else ""
    return (
        f"{pace:.1f} answers a minute{who}{time}, "
        f"in {duration(on_screen['active_seconds'])} of answering without breaks.{quarters}"
    )


def _side_words(found: Figures) -> str:
    if found["on_screen"] is None:
        return _NO_SCREEN
    seen = [each for each in found["labelers"] if each["on_screen"] and each["on_screen"]["left"]["of"]]
    if not seen:
        return "No clear answer was given, so a lean to a side is not known."
    leaning = [(each["labeler"], each["on_screen"]["left"]) for each in seen]
    leaning = [(name, left) for name, left in leaning if _lean(left)]
    if not leaning:
        who = "the 95% interval covers" if len(seen) == 1 else "every 95% interval covers"
        return f"No lean shows: {who} 50%, which is what clips on random sides give."
    named = [
        f"{name} leans to the {_lean(left)} ({percent(left['share'])} of {plural(left['of'], 'clear answer')} "
        f"for the left side, 95% interval {_interval(left)}, which does not cover 50%)"
        for name, left in leaning[:_MOST_NAMES]
    ]
    more = len(leaning) - len(named)
    tail = f", and {plural(more, 'other')} {'leans' if more == 1 else 'lean'} to a side" if more else ""
    rest = "" if len(leaning) == len(seen) else " Of the others none does."
    return f"{', '.join(named)}{tail}.{rest}"


def _repeated_words(found: Figures) -> str:
    same = found["repeated"]
    if found["n_repeats"] == 0:
        return "No query was answered twice by the same person: self-consistency is not known."
    if not same["of"]:
        return "Every pair put a second time was skipped at least once: self-consistency is not known."
    return (
        f"{percent(same['share'])} of {plural(same['of'], 'pair')} put a second time got the same "
        f"answer, 95% interval {_interval(same)}."
    )


def _agreement_words(found: Figures) -> str:
    same, alpha = found["same"], found["alpha"]
    if not found["n_queries"]:
        return "No query was answered by two labelers: their agreement is not known."
    words = (
        f"{percent(same['share'])} of {plural(same['of'], 'pair')} of answers to the same query are the "
        f"same, over {number(found['n_queries'])} {'query' if found['n_queries'] == 1 else 'queries'}. "
    )
    if alpha is None:
        return f"{words}All these answers are one and the same, so agreement beyond chance is not defined."
    return f"{words}Krippendorff's α is {number(round(alpha, 2))}: 1 is full agreement, 0 is chance."


def _pair_table(pairs: Sequence[Figures]) -> list[Markup]:
    if not pairs:
        return []
    head = [element("th", name, scope="col") for name in ("Labelers", "Same answers", "Cohen's κ")]
    rows = [
        element(
            "tr",
            element("th", element("bdi", pair["first"]), " and ", element("bdi", pair["second"]), scope="row"),
            element(
                "td",
                element("span", percent(pair["same"]["share"]), class_="figure"),
                element("small", f"of {number(pair['same']['of'])}{_interval(pair['same'], ', ')}"),
                data_label="Same answers",
            ),
            element(
                "td",
                "not defined" if pair["kappa"] is None else number(round(pair["kappa"], 2)),
                class_="figure",
                data_label="Cohen's κ",
            ),
        )
        for pair in pairs[:_MOST_PAIRS]
    ]
    table = element("table", element("thead", element("tr", *head)), element("tbody", *rows), class_="labelers two")
    more = len(pairs) - _MOST_PAIRS
    note = [element("p", f"{plural(more, 'more pair')} of labelers share fewer queries.")] if more > 0 else []
    return [element("h3", "Each two of them"), table, *note]
