"""One page that says what a run came to: its score, its clips, its curves, its labels, its time.

The page is a single HTML file without scripts that fetches nothing, so that it can be mailed, kept
and opened years later. All text in it, labels and names too, is escaped by construction
(`prefrl.markup`), and a strict content security policy stands behind that.
"""

from __future__ import annotations

import os
import tempfile
from importlib import resources
from pathlib import Path

from prefrl.markup import Markup, element
from prefrl.report_data import GalleryClip, ReportData
from prefrl.report_sections import SECTIONS

__all__ = ["GalleryClip", "ReportData", "render_html", "write_report"]

# Styles stand in the page itself, also in attributes, which no hash can cover.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
)


def write_report(path: Path, data: ReportData) -> None:
    """Write the page of `data` to `path`; a page that stood there stays until this one is whole."""
    page = render_html(data)
    handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        Path(part).chmod(0o644)  # mkstemp makes files private; a report is there to be shown
        os.replace(part, path)
    except BaseException:
        Path(part).unlink()
        raise


def render_html(data: ReportData) -> str:
    """The whole page as text."""
    sections = [part for draw in SECTIONS if (part := draw(data)) is not None]
    style = resources.files("prefrl").joinpath("report.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{data.title} · prefrl"),
        element("style", Markup(style)),
    )
    page = element("html", head, element("body", element("main", *sections)), lang="en")
    return f"<!doctype html>\n{page}\n"
