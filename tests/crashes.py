"""How often crash tests crash: a few times in every run of the tests, as often as was promised in `make crash`."""

import os


def trials(few: int, promised: int) -> int:
    return promised if os.environ.get("PREFRL_CRASH") == "full" else few
