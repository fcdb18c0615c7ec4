"""What a run goes on from: the state of its parts, put into a checkpoint and taken out again.

Taken at the boundary of a rollout. Environments begin new episodes and the pool of recent behaviour begins empty when a
run is resumed; everything that was learned, asked and answered is there.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from labeling.clip import ClipFiles
from prefrl.checkpoint import Checkpoint, pack_optimizer, prefixed, unpack_optimizer, unprefixed
from prefrl.fit import FitReport
from prefrl.loop import PreferenceLoop
from prefrl.recall import recall
from prefrl.stopwatch import Stopwatch


def take_state(agent: PPO, loop: PreferenceLoop | None, watch: Stopwatch) -> Checkpoint:
    """The state of an agent, of the preference loop around it where there is one, and the seconds spent so far."""
    tensors: dict[str, Tensor] = {
        **prefixed("policy", agent.policy.state_dict()),
        **prefixed("policy_optimizer", pack_optimizer(agent.policy.optimizer)),
        "torch_rng": torch.get_rng_state(),
    }
    state: dict[str, Any] = {
        "steps": agent.num_timesteps,
        "n_updates": agent._n_updates,
        "seconds": dict(watch.seconds),
    }
    normalizer = agent.get_vec_normalize_env()
    if normalizer is not None:
        tensors.update(prefixed("normalizer", _normalizer_tensors(normalizer)))
    if loop is not None:
        tensors.update(prefixed("reward_model", loop.fitter.model.state_dict()))
        tensors["fit_l2"] = loop.fitter.l2
        tensors["fit_rng"] = loop.fitter.generator.get_state()
        state |= {
            "n_fits": loop.fitter.n_fits,
            "n_rounds": loop.n_rounds,
            "next_round_at": loop.next_round_at,
            "label_cursor": loop.answers.cursor,
            "queries_rng": loop.asker.rng.bit_generator.state,
            "disagreement": loop.disagreement,
            "last_fit": None if loop.last_fit is None else asdict(loop.last_fit),
        }
    return Checkpoint(tensors, state)


def put_state(checkpoint: Checkpoint, agent: PPO, loop: PreferenceLoop | None, watch: Stopwatch) -> None:
    """Put a checkpoint's state into an agent, and into the loop around it, built from the same config."""
    tensors, state = checkpoint.tensors, checkpoint.state
    agent.policy.load_state_dict(unprefixed("policy", tensors))
    unpack_optimizer(agent.policy.optimizer, unprefixed("policy_optimizer", tensors))
    agent.num_timesteps = state["steps"]
    agent._n_updates = state["n_updates"]
    watch.seconds.update(state["seconds"])
    torch.set_rng_state(tensors["torch_rng"])
    normalizer = agent.get_vec_normalize_env()
    if normalizer is not None:
        _put_normalizer(normalizer, unprefixed("normalizer", tensors))
    if loop is None:
        return
    loop.fitter.model.load_state_dict(unprefixed("reward_model", tensors))
    loop.fitter.l2 = tensors["fit_l2"].to(loop.fitter.model.device)
    loop.fitter.generator.set_state(tensors["fit_rng"])
    loop.fitter.n_fits = state["n_fits"]
    loop.n_rounds = state["n_rounds"]
    loop.next_round_at = state["next_round_at"]
    loop.asker.rng.bit_generator.state = state["queries_rng"]
    loop.disagreement = state["disagreement"]
    loop.last_fit = None if state["last_fit"] is None else FitReport(**state["last_fit"])


def read_back_answers(loop: PreferenceLoop, files: ClipFiles, label_cursor: int) -> None:
    """Fill the loop's answers from the store and the clip files: no label is lost, whenever it was given.

    Args:
        loop: To be resumed.
        files: Clips of its run.
        label_cursor: The newest label that the checkpoint's reward model has seen; 0 where there is no checkpoint.
    """
    asker, store = loop.asker, loop.asker.store
    unanswered = [query.query_id for query in store.open_queries()]
    answered = [label.query_id for label in store.labels_after(0)]
    read = recall(answered + unanswered, store, files, loop.answers)
    again = [asked for asked in read if asked.query_id in set(unanswered)]
    asker.n_queries = store.counts().n_queries - len(store.imports()) - len(store.repeats())
    # A teacher's env rewards are gone with the old process: what it had not answered is asked about anew.
    asker.n_asked = asker.n_queries - (0 if asker.labeler.needs_views else len(again))
    if asker.labeler.needs_views and again:
        asker.answer_again(again)
    loop.answers.take_in(store.labels_after(0))
    loop.must_fit = loop.answers.cursor > label_cursor
    if loop.must_fit:
        loop.next_round_at = 0


def _normalizer_tensors(normalizer: VecNormalize) -> dict[str, Tensor]:
    stats = (
        {"ret": normalizer.ret_rms, "obs": normalizer.obs_rms} if normalizer.norm_obs else {"ret": normalizer.ret_rms}
    )
    tensors = {"returns": torch.as_tensor(normalizer.returns)}
    for name, rms in stats.items():
        assert not isinstance(rms, dict)
        for part in ("mean", "var", "count"):
            tensors[f"{name}_{part}"] = torch.as_tensor(getattr(rms, part), dtype=torch.float64)
    return tensors


def _put_normalizer(normalizer: VecNormalize, tensors: dict[str, Tensor]) -> None:
    for name in ("ret", "obs") if normalizer.norm_obs else ("ret",):
        rms = getattr(normalizer, f"{name}_rms")
        rms.mean = tensors[f"{name}_mean"].numpy()
        rms.var = tensors[f"{name}_var"].numpy()
        rms.count = float(tensors[f"{name}_count"])
    normalizer.returns = tensors["returns"].numpy()
