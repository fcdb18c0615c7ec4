"""Names that people who label may have: each stands beside their answers, and must be no other labeler's."""

from __future__ import annotations

from labeling.label import MAX_NAME_CHARS, StoreError, check_text
from labeling.teachers import TEACHERS

_TAKEN = frozenset({"window", "web", *TEACHERS})
"""What a run says of who answers it: ways of asking people, and teachers, who are the labelers of their answers."""
_FUNCTION = "function:"
"""How the labeler is called that is a function of the user's own."""


def check_person(name: str) -> None:
    """Refuses what is no name for a person; asked before anything is written, and again at every door.

    Raises:
        StoreError: It is not 1 to 64 printable characters, or another labeler's, however it is written.
    """
    check_text("the name of a person", name, MAX_NAME_CHARS)
    if name.casefold() in _TAKEN or name.casefold().startswith(_FUNCTION):
        raise StoreError(
            f"expected a person's name, got {name!r}: labelers of that name are no people; choose another by --name or "
            "--invite"
        )
