"""Checkpoints of version 1, which know nothing of episodes: what they have, in the parts of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from prefrl.tensor_names import unprefixed


def upgraded(tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that `prefrl.state` reads; there is no world among them, so that new episodes begin."""
    parts: dict[str, Any] = {
        "agent": {"n_updates": state["n_updates"]},
        "normalizer": _normalizer(unprefixed("normalizer", tensors)),
        "generators": None,
    }
    if "n_fits" in state:
        names = ("n_fits", "n_rounds", "next_round_at", "disagreement", "last_fit", "queries_rng")
        parts["loop"] = {**{name: state[name] for name in names}, "must_fit": False}
        parts["answers"] = {"cursor": state["label_cursor"], "queries": []}
    return parts


def _normalizer(tensors: Mapping[str, Tensor]) -> dict[str, Any] | None:
    if not tensors:
        return None
    statistics: dict[str, dict[str, Any]] = {}
    for name in ("ret", "obs"):
        if f"{name}_mean" in tensors:
            mean, var = (tensors[f"{name}_{part}"].numpy() for part in ("mean", "var"))
            statistics[name] = {"mean": mean, "var": var, "count": float(tensors[f"{name}_count"])}
    return {"returns": tensors["returns"].numpy(), "statistics": statistics}
