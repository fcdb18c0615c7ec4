"""The state of Stable-Baselines3's PPO and of the process's random generators, as plain data and tensors."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from prefrl.learn import LearnedRewardBuffer
from prefrl.return_scale import ReturnScale
from prefrl.tensor_names import pack_optimizer, prefixed, unpack_optimizer, unprefixed


def agent_tensors(agent: PPO) -> dict[str, Tensor]:
    """Weights and Adam's moments."""
    return {
        **prefixed("policy", agent.policy.state_dict()),
        **prefixed("policy_optimizer", pack_optimizer(agent.policy.optimizer)),
    }


def agent_state(agent: PPO) -> dict[str, Any]:
    """Counters, what the agent saw last, and the recent episodes; of these not the time of day."""
    episodes = agent.ep_info_buffer or ()
    return {
        "n_updates": agent._n_updates,
        "episode_num": agent._episode_num,
        "last_obs": agent._last_obs,
        "last_original_obs": agent._last_original_obs,
        "last_episode_starts": agent._last_episode_starts,
        "episodes": [{"r": float(e["r"]), "l": int(e["l"])} for e in episodes],
        "successes": [bool(success) for success in agent.ep_success_buffer or ()],
    }


def put_weights(agent: PPO, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """What was learned, and how often: enough to go on with new episodes."""
    agent.policy.load_state_dict(unprefixed("policy", tensors))
    unpack_optimizer(agent.policy.optimizer, unprefixed("policy_optimizer", tensors))
    agent._n_updates = state["n_updates"]


def put_moment(agent: PPO, state: dict[str, Any]) -> None:
    """What the agent saw last, so that it goes on in the middle of its episodes."""
    agent._episode_num = state["episode_num"]
    agent._last_obs = state["last_obs"]
    agent._last_original_obs = state["last_original_obs"]
    agent._last_episode_starts = state["last_episode_starts"]
    window = agent._stats_window_size
    agent.ep_info_buffer = deque(state["episodes"], maxlen=window)
    agent.ep_success_buffer = deque(state["successes"], maxlen=window)


def log_state(agent: PPO) -> dict[str, Any]:
    """The numbers that PPO has recorded for the next row of its logger, and which writers do not get them."""
    logger = agent.logger
    return {name: (value, logger.name_to_excluded[name]) for name, value in logger.name_to_value.items()}


def put_log(agent: PPO, state: dict[str, Any]) -> None:
    """Take over what `log_state` gave."""
    for name, (value, excluded) in state.items():
        agent.logger.record(str(name), value, excluded)


def normalizer_state(agent: PPO) -> dict[str, Any] | None:
    """Running statistics of observations and returns; None where nothing is normalised."""
    normalizer = agent.get_vec_normalize_env()
    if normalizer is None:
        return None
    statistics = {name: _numbers(rms) for name, rms in _statistics(normalizer).items()}
    return {"returns": normalizer.returns, "statistics": statistics}


def put_normalizer(agent: PPO, state: dict[str, Any] | None) -> None:
    """Take over what `normalizer_state` gave."""
    normalizer = agent.get_vec_normalize_env()
    if normalizer is None or state is None:
        return
    normalizer.returns = state["returns"]
    for name, rms in _statistics(normalizer).items():
        its = state["statistics"][name]
        rms.mean, rms.var, rms.count = its["mean"], its["var"], its["count"]


def return_scale_state(agent: PPO) -> dict[str, Any] | None:
    """How large the learned reward is made for PPO; None where it is left as it is."""
    scale = _return_scale(agent)
    return None if scale is None else scale.state()


def put_return_scale(agent: PPO, state: dict[str, Any] | None) -> None:
    """Take over what `return_scale_state` gave."""
    scale = _return_scale(agent)
    if scale is not None and state is not None:
        scale.put_state(state)


def generator_state(agent: PPO) -> dict[str, Any]:
    """The generators that belong to the process, but for torch's, which are tensors."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  # Stable-Baselines3 shuffles by it
        "action_space": agent.action_space._np_random,
    }


def generator_tensors() -> dict[str, Tensor]:
    """The states of torch's generators."""
    tensors = {"torch_rng": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda_rng"] = torch.cuda.get_rng_state()
    return tensors


def put_generators(agent: PPO, state: dict[str, Any] | None, tensors: dict[str, Tensor]) -> None:
    """Take over all generators; of version 1 there is only torch's."""
    torch.set_rng_state(tensors["torch_rng"])
    if "cuda_rng" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda_rng"])
    if state is None:
        return
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002  # as above
    if state["action_space"] is not None:
        agent.action_space._np_random = state["action_space"]


def _return_scale(agent: PPO) -> ReturnScale | None:
    buffer = agent.rollout_buffer
    return buffer.return_scale if isinstance(buffer, LearnedRewardBuffer) else None


def _statistics(normalizer: VecNormalize) -> dict[str, RunningMeanStd]:
    found = {"ret": normalizer.ret_rms}
    if normalizer.norm_obs:
        assert not isinstance(normalizer.obs_rms, dict)
        found["obs"] = normalizer.obs_rms
    return found


def _numbers(rms: RunningMeanStd) -> dict[str, Any]:
    return {"mean": np.asarray(rms.mean), "var": np.asarray(rms.var), "count": float(rms.count)}
