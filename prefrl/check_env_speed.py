"""Checks of length and cost: episodes and clips, speed, real time, memory."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from prefrl.build import check_memory
from prefrl.check_env_calls import Trouble, call
from prefrl.check_env_finding import Finding
from prefrl.check_env_game import Copy, Game
from prefrl.world import World
from prefrl.worlds import clip_steps, make_world

_TIMED_SECONDS = 1.0
_TIMED_STEPS = 3000
_REAL_TIME_RATE = 100.0
"""Steps per second below which an idle processor means waiting for a clock."""
_IDLE = 0.3
_LONG_SECONDS = 3 * 3600.0
_FEW = 0.3
_LEAK_BYTES = 2**20
_LARGE_LEAK_BYTES = 500 * 2**20
_OTHER_SECONDS, _LEARN_SECONDS = 1.5e-4, 4e-4
"""Of a step: choosing the action, asking and fitting; PPO's update, where the proof has not measured it."""
_LABEL_SECONDS = 5.0
"""A label at a person's calm pace; Christiano et al. 2017 report 3 to 5 s."""


def episodes(game: Game) -> Iterator[Finding]:
    """How long they are, and whether the game says so."""
    base = game.base
    assert base is not None
    lengths = base.lengths
    own = (
        f"ends by itself, after {np.mean(lengths):.0f} steps on average: the agent is not shown that, it plays on from "
        "a reset"
        if lengths
        else f"did not end in {len(base.ends)} steps"
    )
    detail = f"{own}; a time limit every {game.horizon} steps"
    if game.registered_steps is None:
        remedy = 'say how long a game is: gym.register("MyGame-v0", MyGame, max_episode_steps=600)'
        yield Finding("episodes", "warn", f"{detail}, which is assumed", remedy)
    else:
        yield Finding("episodes", "ok", detail)


def clips(game: Game) -> Iterator[Finding]:
    """What training makes before its first step: all copies, and clips that fit episodes and memory."""
    name, config, base = "clips", game.config, game.base
    assert base is not None
    n_envs = config.world.n_envs
    can_draw = game.framed is not None

    def make() -> World:
        return make_world(config, n_envs=n_envs, seed=0, views=can_draw)

    world: World = call(f"making {n_envs} copies", make, limit=60.0)
    try:
        n_steps = call(name, clip_steps, config, world)
        shortage = _shortage(game, world, n_steps)
    except Trouble as e:
        yield Finding(name, "bad", e.detail, e.remedy, trace=e.trace)
        return
    finally:
        call("close()", world.venv.close)
    if shortage:
        remedy = "draw smaller, 320x240 is enough for people; or add what the command below says"
        yield Finding("clip memory", "warn", "too small for pictures this large", remedy, flags=shortage)
    seconds = n_steps / world.frame_rate
    detail = f"{n_steps} steps, {seconds:.2g} s"
    longest = max([*base.lengths, len(base.ends) - sum(base.lengths)])
    share = sum(n for n in [*base.lengths, len(base.ends) - sum(base.lengths)] if n >= n_steps) / len(base.ends)
    if base.lengths and longest < n_steps:
        shorter = max(2, longest // 2)
        flags = f"--clips.min-clip-steps {shorter} --clip-seconds {shorter / world.frame_rate:.2g}"
        said = f"{detail}, but no episode of an untrained agent lasted longer than {longest}: none could be cut"
        yield Finding(name, "warn", said, "let episodes last longer, or add what the command below says", flags)
    elif share < _FEW:
        said = (
            f"{detail}; {share:.0%} of the steps of an untrained agent are in episodes that long: people see no others"
        )
        yield Finding(name, "warn", said, "let episodes last longer, or take shorter clips: --clip-seconds")
    elif seconds < 0.5:
        remedy = "people see more in a second: raise --clips.max-clip-steps"
        yield Finding(name, "warn", f"{detail}: short, since it plays {world.frame_rate:g} steps per second", remedy)
    else:
        yield Finding(name, "ok", f"{detail}, and an episode lasts longer")


def _shortage(game: Game, world: World, n_steps: int) -> str:
    """The flag that training needs where its clip memory is too small; empty where it is not."""
    try:
        call("clips", check_memory, game.config, world, n_steps)
    except Trouble as e:
        wanted = re.search(r"--clip-memory to (\d+) MiB", f"{e.detail} {e.remedy}")
        if wanted is None:
            raise
        return f"--clip-memory {wanted[1]}"
    return ""


@dataclass(slots=True)
class _Timed:
    """What some steps cost."""

    n_steps: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory: list[int] = field(default_factory=list)
    """Bytes held, every so many steps."""

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.n_steps / max(self.seconds, 1e-9)


def speed(game: Game) -> Iterator[Finding]:
    """Steps per second with pictures and without, whether it waits for a clock, and whether memory grows."""
    plain = _timed(game, render=False)
    drawn = _timed(game, render=True) if game.framed is not None else None
    cost = drawn or plain
    game.step_seconds = 1 / cost.rate
    detail = f"{_rounded(plain.rate)} steps/s" + (f", {_rounded(drawn.rate)} with pictures" if drawn else "")
    idle = 1 - plain.cpu_seconds / max(plain.seconds, 1e-9)
    if plain.rate < _REAL_TIME_RATE and idle > 1 - _IDLE:
        remedy = (
            'no sleep() and no clock.tick() in step(), or only if self.render_mode == "human"; if it cannot run '
            "faster, train with --num-envs 1"
        )
        said = f"{detail}: it waits for the clock ({idle:.0%} of the time idle)"
        yield Finding("speed", "warn", said, remedy, flags=_one_copy(game))
    elif plain.rate < _REAL_TIME_RATE:
        remedy = "find what takes long: python -m cProfile -s cumtime my_game.py"
        yield Finding("speed", "warn", f"{detail}: slow", remedy)
    elif drawn is not None and drawn.rate < _REAL_TIME_RATE:
        yield Finding("speed", "warn", f"{detail}: drawing is slow", "draw smaller: 320x240 is enough for people")
    else:
        yield Finding("speed", "ok", detail)
    yield from _memory(game, cost)


def _one_copy(game: Game) -> str:
    return "--num-envs 1" if game.config.world.n_envs > 1 else ""


def _timed(game: Game, *, render: bool) -> _Timed:
    one = game.make(render=render)
    actions = game.actions(one.env.action_space, _TIMED_STEPS)
    timed = _Timed()
    one.reset(0)
    for action in actions[:5]:  # fonts and pictures are loaded by the first
        _step(one, action, render)
    begin, cpu = time.perf_counter(), time.process_time()
    while timed.n_steps < _TIMED_STEPS and time.perf_counter() - begin < _TIMED_SECONDS:
        _step(one, actions[timed.n_steps], render)
        timed.n_steps += 1
        if timed.n_steps % 50 == 0:
            timed.memory.append(_held_bytes())
    timed.seconds, timed.cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    one.close()
    return timed


def _step(one: Copy, action: object, render: bool) -> None:
    _, _, terminated, truncated, _ = one.step(action)
    if terminated or truncated:
        one.reset()
    if render:
        one.render()


def _held_bytes() -> int:
    """Memory of this process; where only its peak is known, that."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * 4096
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _memory(game: Game, timed: _Timed) -> Iterator[Finding]:
    """Whether it grows with every step, over the last three quarters of what was timed."""
    held = np.array(timed.memory[len(timed.memory) // 4 :], np.float64)
    if len(held) < 4:
        return
    quarters = [part.mean() for part in np.array_split(held, 4)]
    grown = held[-1] - held[0]
    per_step = grown / (50 * (len(held) - 1))
    total = per_step * game.config.total_timesteps
    if min(np.diff(quarters)) <= 0 or grown < _LEAK_BYTES or total < _LARGE_LEAK_BYTES:
        yield Finding("memory", "ok", "does not grow while it plays")
        return
    steps = f"{game.config.total_timesteps:,} steps"
    detail = f"grows by {per_step / 1024:.1f} KiB a step: {total / 2**30:.1f} GiB in {steps}"
    remedy = "empty in reset() the lists that step() adds to; do not load pictures or fonts in step() or render()"
    yield Finding("memory", "warn", detail, remedy)


def whole_time(game: Game) -> Iterator[Finding]:
    """What all that means for a training of usual size."""
    config = game.config
    measured = game.learn_seconds is not None
    learning = _OTHER_SECONDS + (game.learn_seconds or _LEARN_SECONDS)
    seconds = config.total_timesteps * (game.step_seconds + learning)
    labels = config.total_labels * _LABEL_SECONDS
    detail = (
        f"{config.total_labels} labels and {config.total_timesteps:,} steps take about {_duration(seconds)} here, "
        f"{'' if measured else 'if learning is as quick as usual, '}and {_duration(labels)} of answering beside it"
    )
    if seconds > _LONG_SECONDS:
        remedy = (
            f"begin with fewer steps: --total-timesteps {int(3600 / seconds * config.total_timesteps) // 1000 * 1000}"
        )
        yield Finding("time", "warn", detail, remedy)
    else:
        yield Finding("time", "ok", detail)


def _rounded(rate: float) -> str:
    digits = max(0, len(str(int(rate))) - 2)
    return f"{round(rate, -digits):,.0f}" if rate >= 10 else f"{rate:.1f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"
