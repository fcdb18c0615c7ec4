"""Say a run's numbers in words: the sentence on top of the report, and how figures are written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def reading(values: Mapping[str, Any], *keys: str) -> float | None:
    """The finite number under nested `keys`, or None where it is missing or no such number."""
    value: Any = values
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def number(value: float) -> str:
    """1234.5 as 1,234; 12.34 as 12.3; 0.1234 as 0.12; with a real minus sign."""
    size = abs(value)
    text = f"{size:,.0f}" if size >= 100 or size == int(size) else f"{size:,.{2 - (size >= 10)}f}"
    return f"−{text}" if value < 0 and text.strip("0.") else text


def percent(share: float) -> str:
    """0.834 as 83%, and no rounding up to a whole 100%."""
    return f"{math.floor(100 * share) if share > 0.99 else round(100 * share)}%"


def plural(count: float, noun: str) -> str:
    """1 answer, 2 answers, 1,200 answers."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """8.2 s, 12 min 40 s, 3 h 05 min."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    if minutes < 60:
        return f"{minutes} min {round(seconds) % 60:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def lead(result: Mapping[str, Any], score_return: float | None) -> str:
    """The run in one or two plain sentences, out of what `result.json` holds."""
    env_return, random = reading(result, "env_return"), reading(result, "random_return")
    after = _after(result)
    if env_return is None:
        return f"{after} the agent has not been evaluated."
    words = f"{after} the agent scores {number(env_return)}"
    if random is not None:
        words += f"; acting at random scores {number(random)}"
    if result.get("reward") == "score" or score_return is None:
        return words + "."
    words += f"; the same learner trained on the score, {number(score_return)}."
    if random is None or score_return <= random:
        return words
    way = (env_return - random) / (score_return - random)
    if way <= 0:
        return f"{words} It has not left random behind."
    if way >= 1:
        return f"{words} Preferences did at least as well as the score."
    return f"{words} That is {percent(way)} of the way from random to the score."


def _after(result: Mapping[str, Any]) -> str:
    if result.get("reward") == "score":
        steps = reading(result, "timesteps")
        for_steps = "" if steps is None else f" for {plural(steps, 'step')}"
        return f"Trained on the score itself{for_steps},"
    labels = reading(result, "labels")
    if labels is None:
        return "After an unknown number of answers"
    return f"After {plural(labels, 'answer')}" if labels else "Without a single answer"
