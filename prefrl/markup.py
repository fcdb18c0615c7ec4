"""Build HTML so that text from outside can only ever be text.

Whatever is not already `Markup` is escaped on its way in; there is no other way to make an element.
"""

from __future__ import annotations

import html
import re

_VOID = {"meta"}
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Give `text` as HTML; control characters and half surrogates become the replacement sign."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNSHOWABLE.sub("\ufffd", text), quote=True))


def element(name: str, /, *children: str, **attributes: str | bool) -> Markup:
    """One HTML element; `class_` stands for `class`, `aria_label` for `aria-label`, True for bare.

    >>> element("a", "1 < 2", class_='"big"')
    '<a class="&quot;big&quot;">1 &lt; 2</a>'
    """
    opening = name
    for key, value in attributes.items():
        if value is False:
            continue
        opening += " " + key.rstrip("_").replace("_", "-")
        if value is not True:
            opening += f'="{escaped(value)}"'
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{''.join(escaped(child) for child in children)}</{name}>")
