"""How often crash tests crash: a few times in every run of the tests, as often as was promised in `make crash`."""

import os
import random


def trials(few: int, promised: int) -> int:
    return promised if os.environ.get("PREFRL_CRASH") == "full" else few


def seeded(seed: int) -> random.Random:
    """Chance that is the same in every run of the tests."""
    return random.Random(seed)  # noqa: S311  # nothing is kept secret by it
