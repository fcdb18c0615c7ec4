"""The few shapes that every section of a report is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prefrl.markup import Markup, element
from prefrl.report_words import percent


def section(title: str, *children: str) -> Markup:
    """One card of the page under its heading."""
    return element("section", element("h2", title), *children, class_="card")


def empty(text: str) -> Markup:
    """Words in the place of what is not there."""
    return element("p", text, class_="empty")


def bar(parts: Sequence[tuple[str, str, float, str]]) -> Markup:
    """One bar of shares (name, colour, size, size in words), with its key as a list below."""
    total = sum(size for _, _, size, _ in parts) or 1.0
    pieces = [
        element("i", class_=color, style=f"flex-grow:{1000 * size / total:.1f}")
        for _, color, size, _ in parts
        if size > 0
    ]
    key = [
        element(
            "li",
            element("i", class_=f"swatch {color}"),
            element("b", name),
            element("span", percent(size / total), class_="figure"),
            element("span", words, class_="faint"),
        )
        for name, color, size, words in parts
    ]
    strip = element("div", *pieces, class_="bar", aria_hidden="true")
    return Markup(strip + element("ul", *key, class_="key"))


def pairs(named: Iterable[tuple[str, str]]) -> Markup:
    """A list of names and values in columns."""
    rows = (element("div", element("dt", name), element("dd", value)) for name, value in named)
    return element("dl", *rows)
