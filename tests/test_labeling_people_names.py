"""People are told apart from every other labeler by their names, and are otherwise free to choose them."""

from __future__ import annotations

import pytest

from labeling.choice import Choice
from labeling.clip import Clip
from labeling.people_names import check_person
from labeling.store import StoreError
from labeling.teachers import TEACHERS
from prefrl.families import PEOPLE
from prefrl.labelers import function_name


def mine(left: Clip, right: Clip) -> Choice:
    """A labeler of one's own."""
    return Choice.EQUAL


@pytest.mark.parametrize("name", ["Ann", "Windowmaker", "Webster", "Oracle of Delphi", "skipper", "teacher: Jo", "ü"])
def test_people_are_free_to_choose(name: str) -> None:
    check_person(name)


@pytest.mark.parametrize("name", [*PEOPLE, *TEACHERS, function_name(mine), "ORACLE", "Function:x"])
def test_other_labelers_names_are_refused(name: str) -> None:
    with pytest.raises(StoreError, match="labelers of that name are no people; choose another by --name or --invite"):
        check_person(name)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65])
def test_what_would_not_be_stored_is_refused(name: str) -> None:
    with pytest.raises(StoreError, match="the name of a person must be 1 to 64 printable characters"):
        check_person(name)
