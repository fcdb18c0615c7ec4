"""The report's section about query strategies: how picked pairs were answered, beside pairs taken at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefrl.markup import Markup, element
from prefrl.report_data import ReportData
from prefrl.report_layout import section
from prefrl.report_words import number, percent

_COLUMNS = ("Pairs", "Asked", "Answers", "Ties", "Skips")


def strategies(data: ReportData) -> Markup | None:
    """A row for each strategy's own pairs and one for the random share of the same rounds."""
    if not data.strategies:
        return None
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in _COLUMNS)))
    rows = [
        _row(name, judged[kind])
        for judged in data.strategies
        for name, kind in ((f"picked by {judged['strategy']}", "picked"), ("taken at random", "random"))
    ]
    words = (
        "Pairs taken at random in the rounds in which the strategy picked: what it would be like without. "
        "Ties and skips are shares of the answers, with their 95% interval."
    )
    table = element("table", head, element("tbody", *rows), class_="labelers")
    return section("Picked pairs", table, element("p", words))


def _row(name: str, asked: Mapping[str, Any]) -> Markup:
    score = asked["mean_score"]
    faint = "" if score is None else f"mean score {score:.3g}"
    cells = [(number(asked["n_queries"]), faint), (number(asked["n_answers"]), "")]
    cells += [_share_words(asked[kind]) for kind in ("ties", "skips")]
    return element(
        "tr",
        element("th", name, scope="row"),
        *(_cell(column, *words) for column, words in zip(_COLUMNS[1:], cells, strict=True)),
    )


def _cell(column: str, figure: str, faint: str) -> Markup:
    below = [element("small", faint)] if faint else []
    return element("td", element("span", figure, class_="figure"), *below, data_label=column)


def _share_words(share: Mapping[str, Any]) -> tuple[str, str]:
    if not share["of"]:
        return "–", ""
    return percent(share["share"]), f"{percent(share['low'])} to {percent(share['high'])}"
