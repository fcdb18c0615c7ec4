"""Checks of chance and of copies: the same seed gives the same game, and copies leave each other alone."""

from __future__ import annotations

import pickle
import random
import threading
from collections.abc import Iterator

import numpy as np

from prefrl.check_env_calls import Trouble
from prefrl.check_env_finding import Finding, Status
from prefrl.check_env_game import Copy, Game, Play, difference, flat, keep, play, same, spec_of

_OWN_CHANCE = "draw every number of chance from self.np_random, which super().reset(seed=seed) sets"


def same_seed(game: Game) -> Iterator[Finding]:
    """Two copies play the same under one seed, one copy does so twice, and another seed plays another game."""
    name, n = "same seed", game.n_steps
    game.base = game.play()
    used = game.make()
    actions = game.actions(used.env.action_space, n)
    first = play(used, actions, seed=0)
    second = play(used, actions, seed=0)
    passed_on = used.env.unwrapped.np_random_seed == 0
    used.close()
    apart = difference(game.base, first)
    game.is_alike = apart is None
    if apart is not None:
        yield Finding(name, "warn", f"two copies with the same seed differ: {apart}", _why(game, passed_on))
        return
    apart = difference(first, second)
    if apart is not None:
        game.is_alike = False
        detail = f"a copy that has played before differs under the same seed: {apart}"
        yield Finding(name, "warn", detail, "reset() leaves something of the last game: set everything there anew")
        return
    other = difference(game.base, game.play(seed=1)) is None
    more = "; every seed plays the same, so there is no chance in it" if other else "; another seed plays another game"
    yield Finding(name, "ok", f"two copies play the same {n} steps{more}")


def _why(game: Game, passed_on: bool) -> str:
    """What makes copies differ."""
    if not passed_on:
        return "reset() does not hand on its seed: super().reset(seed=seed) in its first line"

    def pinned() -> Play:
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002  # the global numbers that a game may draw from are meant
        return game.play()

    state, np_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        if difference(pinned(), pinned()) is None:
            return f"it draws from random or np.random: {_OWN_CHANCE}"
    finally:
        random.setstate(state)
        np.random.set_state(np_state)  # noqa: NPY002
    return f"{_OWN_CHANCE}; move by a fixed time step and not by the clock; no threads"


def controls(game: Game) -> Iterator[Finding]:
    """What the agent does makes a difference to what it observes."""
    base = game.base
    if base is None or not game.is_alike:
        return
    if all(same(base.obs[0], obs) for obs in base.obs):
        remedy = "return what the game looks like now, after the step"
        yield Finding("controls", "bad", f"the observation is the same in all of {game.n_steps} steps", remedy)
        return
    n = min(game.n_steps, 100)
    one = game.make()
    actions = [game.actions(one.env.action_space, n, seed) for seed in (0, 1, 2)]
    one.close()
    plays = []
    for chosen in actions:
        one = game.make()
        plays.append(play(one, chosen, seed=0))
        one.close()
    if all(difference(plays[0], other) is None for other in plays[1:]):
        detail = "the observations are the same whatever the agent does"
        yield Finding("controls", "bad", detail, "use the action in step(), in place of the keys")
    else:
        yield Finding("controls", "ok", "what the agent does changes what it observes")


def copies(game: Game) -> Iterator[Finding]:
    """A second copy in the same process disturbs neither the game nor the pictures of the first."""
    name, n_envs = "copies", game.config.world.n_envs
    status: Status = "bad" if n_envs > 1 else "ok"
    alone = "" if n_envs > 1 else "; fine with --num-envs 1"
    remedy = f"keep everything in self and nothing in the module{_HOW_ALONE}"
    one = game.make(render=game.framed is not None)
    try:
        other = game.make(render=game.framed is not None)
    except Trouble as e:
        one.close()
        detail = f"there can be but one copy at a time: {e.detail}{alone}"
        several = f"let several be made: training plays copies, and so does the evaluation at its end{_HOW_ALONE}"
        yield Finding(name, status, detail, several if n_envs > 1 else "", trace=e.trace)
        return
    n = min(game.n_steps, 60)
    expected = game.framed or game.base
    if game.is_alike and expected is not None:
        apart = _disturbed(game, one, other, n, expected)
        if apart is not None:
            detail = f"a second copy disturbs the first: {apart}{alone}"
            yield Finding(name, status, detail, remedy)
            return
        detail = f"two copies played in turn for {n} steps and did not disturb each other"
    else:
        detail = "two can be made; whether they disturb each other cannot be told while the same seed differs"
    other.close()
    one.reset(0)
    try:
        one.step(one.env.action_space.sample())
        if game.framed is not None:
            one.render()
    except Trouble as e:
        said = f"close() of one copy breaks the others: {e.detail}"
        yield Finding(
            name, "warn", said, "release in close() only what this copy holds; no pygame.quit()", trace=e.trace
        )
        return
    finally:
        one.close()
    yield Finding(name, "ok" if game.is_alike else "warn", detail)


_HOW_ALONE = ", or train one copy: --num-envs 1"


def _disturbed(game: Game, one: Copy, other: Copy, n: int, expected: Play) -> str | None:
    """Play two copies in turn; how the first departs from what it played alone."""
    space = one.env.observation_space
    mine, theirs = (game.actions(one.env.action_space, game.n_steps, seed) for seed in (0, 7))
    got = Play([flat(space, one.reset(0)[0])], [], [])
    other.reset(1)
    for i in range(n):
        obs, _, terminated, truncated, _ = one.step(mine[i])
        ended = bool(terminated) or bool(truncated)
        if ended:
            obs = one.reset()[0]
        got.obs.append(flat(space, obs))
        got.ends.append(ended)
        _, _, terminated, truncated, _ = other.step(theirs[i])
        if terminated or truncated:
            other.reset()
        if expected.frames:
            other.render()
            if not same(keep(one.render()), expected.frames[i + 1]):
                return f"after step {i + 1} its picture is another"
    return difference(expected, got)


def processes(game: Game) -> Iterator[Finding]:
    """Other processes can have it, and closing leaves nothing behind."""
    spec = spec_of(game.env_id)
    name = "processes"
    threads = threading.active_count()
    one = game.make()
    one.reset(0)
    try:
        pickle.dumps(one.env.unwrapped)
        state = "and its state can be copied"
    except Exception as e:  # whatever pickling raises is the finding
        first = (str(e).splitlines() or [""])[0]
        state = f"but not copy its state, which is not needed ({type(e).__name__}: {first})"
    one.close()
    one.close()
    if threading.active_count() > threads:
        detail = f"close() leaves {threading.active_count() - threads} threads running"
        yield Finding("close", "warn", detail, "end them in close(): stop, then join")
    else:
        yield Finding("close", "ok", "leaves nothing running, and may be called twice")
    try:
        pickle.dumps(spec.entry_point)
    except Exception as e:  # the same
        if ":" not in game.env_id:
            detail = f"other processes cannot make it: {type(e).__name__}: {(str(e).splitlines() or [''])[0]}"
            remedy = "register it in a module and name that: my_game:MyGame-v0"
            yield Finding(name, "warn", detail, remedy)
            return
    yield Finding(name, "ok", f"any process can make it by its id, {state}")
