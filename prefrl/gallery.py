"""The gallery: clips of the end of training, judged by the finished reward model, for the report to show."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labeling.clip import ClipFiles
from prefrl.asking import cut_clips
from prefrl.loop import PreferenceLoop
from prefrl.pool import Cuts
from prefrl.rundir import write_json

_N_JUDGED = 256
_N_SHOWN = 4


def write_gallery(path: Path, files: ClipFiles, loop: PreferenceLoop, seed: int, with_clips: bool) -> None:
    """Judge recent clips, write the best and the least liked as clip files and every one's two returns as JSON.

    Where no clip can be cut, as soon after a run went on in new episodes, what was written before stays.

    Args:
        path: The JSON file.
        files: Where clips go.
        loop: The finished run.
        seed: Of the draw of clips.
        with_clips: False where clips could not be drawn anyway; then only returns are written.
    """
    pool, facts = loop.recorder.pool, loop.asker.facts
    if not pool.can_cut(facts.n_steps):
        warnings.warn(
            f"no clip of {facts.n_steps} steps can be cut out of the {pool.n_steps} steps that are held of each "
            "environment, so the report gets no new clips",
            stacklevel=2,
        )
        return
    rng = np.random.default_rng(seed)
    cuts = pool.sample(_N_JUDGED, facts.n_steps, rng, loop.asker.recent_steps(pool))
    rewards = loop.fitter.model.rewards(pool.obs(cuts, facts.n_steps), pool.actions(cuts, facts.n_steps))
    learned = rewards.sum(axis=1)
    env = pool.env_rewards(cuts, facts.n_steps).sum(axis=1)
    gallery: dict[str, object] = {
        "learned_returns": learned.tolist(),
        "env_returns": env.tolist(),
    }
    for name, order in (("most_liked", np.argsort(-learned)), ("least_liked", np.argsort(learned))):
        shown = _apart(cuts, order, facts.n_steps)
        clips = cut_clips(facts, cuts.take(shown), pool, loop.agent.num_timesteps) if with_clips else []
        files.write_many(clips)
        gallery[name] = [
            {"clip_id": clip.clip_id, "learned_return": float(learned[i]), "env_return": float(env[i])}
            for clip, i in zip(clips, shown, strict=False)
        ]
    write_json(path, gallery)


def _apart(cuts: Cuts, order: NDArray[np.int64], n_steps: int) -> NDArray[np.int64]:
    """The first of `order` that do not overlap: the same moment is shown once."""
    taken: list[int] = []
    for i in order:
        overlaps = any(cuts.envs[i] == cuts.envs[j] and abs(cuts.starts[i] - cuts.starts[j]) < n_steps for j in taken)
        if not overlaps:
            taken.append(int(i))
        if len(taken) == _N_SHOWN:
            break
    return np.array(taken, np.int64)
