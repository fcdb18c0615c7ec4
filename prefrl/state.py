"""What a run goes on from: the state of its parts, put into a checkpoint and taken out again.

Taken at the boundary of a rollout, before its first step. On a CPU a resumed run comes out bit for bit as one that was
never stopped, where the environments can tell their state (`prefrl.env_state`); where they cannot, they begin new
episodes, the memory of recent behaviour begins empty, and everything that was learned, asked and answered is there.

How large it is: of the memory of recent behaviour only what queries can still be cut from is written, `recent_steps`
agent steps, 17 MB for HalfCheetah-v5; pictures in it are deflated. Atari games are kept as seeds and actions.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_wrapper
from torch import Tensor

from labeling.clip import ClipFiles
from labeling.store import Store
from prefrl.agent_state import (
    agent_state,
    agent_tensors,
    generator_state,
    generator_tensors,
    log_state,
    normalizer_state,
    put_generators,
    put_log,
    put_moment,
    put_normalizer,
    put_return_scale,
    put_weights,
    return_scale_state,
)
from prefrl.checkpoint import Checkpoint
from prefrl.checkpoint_v1 import upgraded
from prefrl.env_state import put_envs, take_envs
from prefrl.fit import FitReport
from prefrl.guard import Guard
from prefrl.loop import PreferenceLoop
from prefrl.plain import NotPlain, Packer, unpack
from prefrl.recall import recall
from prefrl.stopwatch import Stopwatch
from prefrl.tensor_names import prefixed, unprefixed


def take_state(agent: PPO, loop: PreferenceLoop | None, watch: Stopwatch, venv: VecEnv) -> Checkpoint:
    """The state of a run.

    Args:
        agent: PPO.
        loop: The preference loop around it; None on the score.
        watch: The seconds spent so far.
        venv: The world's own environments.
    """
    tensors = {**agent_tensors(agent), **generator_tensors()}
    parts: dict[str, Any] = {
        "agent": agent_state(agent),
        "log": log_state(agent),
        "normalizer": normalizer_state(agent),
        "return_scale": return_scale_state(agent),
        "generators": generator_state(agent),
    }
    if loop is not None:
        tensors |= _loop_tensors(loop)
        parts |= _loop_parts(loop)
    packed = {name: _packed(name, value, tensors) for name, value in parts.items()}
    n_recent = 0 if loop is None else len(parts["recorder"]["pool"]["rows"]["episodes"])
    why_not = ""
    try:
        packed["world"] = _packed("world", take_envs(venv, n_recent), tensors)
    except NotPlain as e:
        why_not = str(e)
    return Checkpoint(
        tensors,
        {"steps": agent.num_timesteps, "seconds": dict(watch.seconds), "why_not_exact": why_not, "parts": packed},
    )


def put_state(
    checkpoint: Checkpoint, agent: PPO, loop: PreferenceLoop | None, watch: Stopwatch, venv: VecEnv, files: ClipFiles
) -> bool:
    """Put a checkpoint's state into a run built from the same config; whether it goes on exactly where it was.

    Where it does not, that is said, and the environments have yet to begin new episodes.

    Args:
        checkpoint: The state.
        agent: PPO.
        loop: The preference loop around it; None on the score.
        watch: The seconds spent so far.
        venv: The world's own environments.
        files: Clips of the run.
    """
    tensors, state = dict(checkpoint.tensors), checkpoint.state
    parts = upgraded(tensors, state) if checkpoint.version == 1 else _unpacked(state["parts"], tensors)
    agent.num_timesteps = state["steps"]
    watch.seconds.update(state["seconds"])
    put_weights(agent, tensors, parts["agent"])
    put_log(agent, parts.get("log", {}))  # older checkpoints have none
    is_exact = _go_on_in_episodes(checkpoint, parts, agent, loop, venv)
    put_normalizer(agent, parts["normalizer"])
    put_return_scale(agent, parts.get("return_scale"))  # older checkpoints have none
    if loop is not None:
        _put_loop(loop, tensors, parts["loop"])
        if is_exact and loop.queue is None and _has_all(loop.asker.store, parts["answers"]):
            _replay_answers(loop, files, parts["answers"])
        else:
            read_back_answers(loop, files, parts["answers"])
    put_generators(agent, parts["generators"], tensors)
    return is_exact


def read_back_answers(loop: PreferenceLoop, files: ClipFiles, known: Mapping[str, Any]) -> None:
    """Fill the loop's answers from the store and the clip files: no label is lost, whenever it was given.

    Args:
        loop: To be resumed.
        files: Clips of its run.
        known: Cursor and queries of the checkpoint, in their order; the reward model has seen no label after them.
    """
    asker, store = loop.asker, loop.asker.store
    unanswered = [query.query_id for query in store.open_queries()]
    answered = [label.query_id for label in store.labels_after(0)]
    there = {query.query_id for query in store.queries()}  # a store that was recovered may have lost some
    asked = [query_id for query_id in known["queries"] if query_id in there]
    read = recall([*asked, *answered, *unanswered], store, files, loop.answers)
    again = [x for x in read if x.query_id in set(unanswered)]
    asker.n_queries = store.counts().n_queries - len(store.imports()) - len(store.repeats())
    # A teacher's env rewards are gone with the old process: what it had not answered is asked about anew.
    asker.n_asked = asker.n_queries - (0 if asker.labeler.needs_views else len(again))
    if asker.labeler.needs_views and again:
        asker.answer_again(again)
    loop.answers.take_in(store.labels_after(0))
    loop.must_fit |= loop.answers.cursor > known["cursor"]
    if loop.must_fit:
        loop.next_round_at = 0


def _has_all(store: Store, known: Mapping[str, Any]) -> bool:
    """Whether the store has all that the checkpoint knew; one that was recovered from damage may not."""
    there = {query.query_id for query in store.queries()}
    return there.issuperset(known["queries"]) and _labels_hash(store, known["cursor"]) == known["labels_sha256"]


def _labels_hash(store: Store, cursor: int) -> str:
    labels = [(x.seq, x.query_id, str(x.choice)) for x in store.labels_after(0) if x.seq <= cursor]
    return hashlib.sha256(repr(labels).encode()).hexdigest()


def _replay_answers(loop: PreferenceLoop, files: ClipFiles, known: Mapping[str, Any]) -> None:
    """Fill the loop's answers with those that the checkpoint knew.

    What was asked after it is ahead: the agent, doing the same again, will ask the same again, and find it answered.
    """
    asker, store = loop.asker, loop.asker.store
    recall(known["queries"], store, files, loop.answers)
    loop.answers.take_in([label for label in store.labels_after(0) if label.seq <= known["cursor"]])
    asker.n_asked, asker.n_queries = known["n_asked"], known["n_queries"]
    aside = {*known["queries"], *store.imports(), *store.repeats()}
    asker.ahead = {query.query_id: query.clip_ids for query in store.queries() if query.query_id not in aside}


def _go_on_in_episodes(
    checkpoint: Checkpoint, parts: dict[str, Any], agent: PPO, loop: PreferenceLoop | None, venv: VecEnv
) -> bool:
    """Put the environments, and all that knows where they are, to where they were; False where that cannot be."""
    why_not = checkpoint.state.get("why_not_exact", "") or "this checkpoint is of an earlier version"
    if "world" in parts:
        assert agent.env is not None
        agent.env.reset()  # makes what there is only after a first reset, the memory of recent behaviour among it
        try:
            put_envs(venv, parts["world"])
        except (ValueError, KeyError, AttributeError) as e:
            why_not = str(e)
        else:
            guard = unwrap_vec_wrapper(agent.env, Guard)
            assert guard is not None
            guard.go_on_elsewhere()
            put_moment(agent, parts["agent"])
            if loop is not None:
                loop.recorder.put_state(parts["recorder"])
                loop.guard.n_steps = parts["loop"]["guard_steps"]
                loop.episodes.put_state(parts["episodes"])
            return True
    warnings.warn(
        f"the environments begin new episodes, for they cannot go on in the old ones: {why_not}", stacklevel=2
    )
    return False


def _loop_tensors(loop: PreferenceLoop) -> dict[str, Tensor]:
    fitter = loop.fitter
    return {
        **prefixed("reward_model", fitter.model.state_dict()),
        "fit_l2": fitter.l2,
        "fit_rng": fitter.generator.get_state(),
    }


def _loop_parts(loop: PreferenceLoop) -> dict[str, Any]:
    asker, answers = loop.asker, loop.answers
    return {
        "loop": {
            "n_fits": loop.fitter.n_fits,
            "n_rounds": loop.n_rounds,
            "next_round_at": loop.next_round_at,
            "must_fit": loop.must_fit,
            "n_learned": loop.n_learned,
            "disagreement": loop.disagreement,
            "n_taken_back": loop.n_taken_back,
            "last_fit": None if loop.last_fit is None else asdict(loop.last_fit),
            "queries_rng": asker.rng.bit_generator.state,
            "guard_steps": loop.guard.n_steps,
        },
        "answers": {
            "cursor": answers.cursor,
            "queries": answers.query_ids,
            "n_asked": asker.n_asked,
            "n_queries": asker.n_queries,
            "labels_sha256": _labels_hash(asker.store, answers.cursor),
        },
        "episodes": loop.episodes.state(),
        "recorder": loop.recorder.state(asker.facts.n_steps, asker.recent_steps(loop.recorder.pool)),
    }


def _put_loop(loop: PreferenceLoop, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    fitter = loop.fitter
    fitter.model.load_state_dict(unprefixed("reward_model", tensors))
    fitter.l2 = tensors["fit_l2"].to(fitter.model.device)
    fitter.generator.set_state(tensors["fit_rng"])
    fitter.n_fits = state["n_fits"]
    loop.n_rounds = state["n_rounds"]
    loop.next_round_at = state["next_round_at"]
    loop.must_fit = state["must_fit"]
    loop.asker.rng.bit_generator.state = state["queries_rng"]
    loop.disagreement = state["disagreement"]
    loop.n_taken_back = state.get("n_taken_back", 0)  # older checkpoints have none
    loop.last_fit = None if state["last_fit"] is None else FitReport(**state["last_fit"])
    # Older checkpoints do not say it: what the last fit was fitted to is that but for skips.
    loop.n_learned = state.get("n_learned", loop.last_fit.n_labels if loop.last_fit is not None else 0)


def _packed(name: str, value: Any, tensors: dict[str, Tensor]) -> Any:
    """A part as JSON; its arrays join the tensors."""
    packer = Packer()
    data = packer.pack(value, name)
    tensors |= prefixed("plain", {at: torch.from_numpy(array.copy()) for at, array in packer.arrays.items()})
    return data


def _unpacked(parts: Mapping[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    arrays = {at: tensor.numpy() for at, tensor in unprefixed("plain", tensors).items()}
    return {name: unpack(data, arrays) for name, data in parts.items()}
