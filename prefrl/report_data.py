"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class GalleryClip:
    """A clip to be shown in the report, and what the reward model thinks of it."""

    frames: NDArray[np.uint8]
    """RGB pictures, (T, H, W, 3)."""
    frame_rate: float
    """Frames per second."""
    learned_return: float
    """Sum of the learned reward over the clip."""
    caption: str
    """Where the clip comes from, one short line."""

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8:
            raise ValueError(
                f"Expected clip frames (T, H, W, 3) of uint8, got {self.frames.shape} of {self.frames.dtype}."
            )


@dataclass(frozen=True, slots=True)
class ReportData:
    """All that a report is made of; whatever is missing is said to be, never made up."""

    title: str
    """Name of the run."""
    config: Mapping[str, Any]
    """The resolved config, nested, printed in full."""
    result: Mapping[str, Any]
    """What `result.json` holds; accuracies in it are shares between 0 and 1."""
    metrics: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    """Columns of `metrics.csv`, equally long, None where a row has no such number."""
    answers: Mapping[str, Any] = field(default_factory=dict)
    """What `labeling.statistics.summarize` says of the run's labels; empty where nobody was asked."""
    strategies: Sequence[Mapping[str, Any]] = ()
    """What `judge_queries.judge` says of the run's queries; empty where no strategy picked any."""
    learned_vs_env: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None
    """Learned and env returns of the same clips or episodes, two arrays (n,)."""
    most_liked: Sequence[GalleryClip] = ()
    """Clips of the highest learned return, the highest first."""
    least_liked: Sequence[GalleryClip] = ()
    """Clips of the lowest learned return, the lowest first."""
    gallery_note: str | None = None
    """Why there is no gallery, where there is none."""
    score_return: float | None = None
    """Env return of the same learner trained on the score, where that is known."""
    notes: Sequence[str] = ()
    """Anything a reader should know, a sentence each."""

    def __post_init__(self) -> None:
        if self.learned_vs_env is not None:
            learned, env = self.learned_vs_env
            if learned.ndim != 1 or learned.shape != env.shape:
                raise ValueError(
                    f"Expected as many learned returns as env returns, got {learned.shape} and {env.shape}."
                )
