"""All checks of a game in their order: what promises nothing can be played, what cannot be played proves nothing."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence

from gymnasium.envs.registration import EnvSpec

from prefrl import check_env_contract, check_env_pictures, check_env_proof, check_env_seeds, check_env_speed
from prefrl.check_env_calls import Printed, Trouble
from prefrl.check_env_finding import Finding
from prefrl.check_env_game import Game, spec_of
from prefrl.check_env_watch import tell_check
from prefrl.errors import UserError
from prefrl.families import family
from prefrl.flags import default_config
from prefrl.worlds import parse_env_kwargs, parse_mask

Check = Callable[[Game], Iterator[Finding]]

FIRST: tuple[tuple[str, Check], ...] = (
    ("found", check_env_contract.found),
    ("constructor", check_env_contract.made),
    ("spaces", check_env_contract.spaces_supported),
    ("step", check_env_contract.kept),
)
"""Without these there is nothing to look at: the first that is bad is the last."""
REST: tuple[tuple[str, Check], ...] = (
    ("same seed", check_env_seeds.same_seed),
    ("controls", check_env_seeds.controls),
    ("pictures", check_env_pictures.pictures),
    ("mask", check_env_pictures.masks),
    ("window", check_env_pictures.windows),
    ("copies", check_env_seeds.copies),
    ("episodes", check_env_speed.episodes),
    ("clips", check_env_speed.clips),
    ("speed", check_env_speed.speed),
    ("processes", check_env_seeds.processes),
    ("proof", check_env_proof.proof),
    ("time", check_env_speed.whole_time),
)


def check(
    env_id: str,
    *,
    env_kwargs: Sequence[str] = (),
    masks: Sequence[str] = (),
    n_steps: int = 300,
    n_envs: int = 8,
    horizon: int = 1000,
) -> Iterator[Finding]:
    """Look at a game, row by row as they are found.

    Args:
        env_id: Its Gymnasium id, or `module:id`.
        env_kwargs: key:value each, as `prefrl train` takes them.
        masks: x,y,w,h each.
        n_steps: Steps of each play.
        n_envs: Copies that training will make.
        horizon: Steps of an episode where the game names no limit.

    Raises:
        UserError: An option is not what it should be; what is wrong with the game is a finding.
    """
    world = {"env_kwargs": list(env_kwargs), "masks": list(masks), "n_envs": n_envs, "horizon": horizon}
    if n_steps < 20 or n_envs < 1 or horizon < 2:
        raise UserError(
            f"expected --steps from 20, --num-envs from 1 and --horizon from 2 on, got {n_steps}, {n_envs} "
            f"and {horizon}"
        )
    kwargs = parse_env_kwargs(tuple(env_kwargs))
    for mask in masks:
        parse_mask(mask)
    if family(env_id) != "custom":
        yield Finding("found", "ok", f"{env_id} is one of prefrl's own worlds: it needs no check, train on it")
        return
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")  # no sound card, and SDL would say so for every copy
    printed = Printed()
    spec = _registered(env_id, printed)
    if isinstance(spec, Finding):
        yield spec
        return
    printed.forget()  # many packages greet when they are imported
    registered = kwargs.pop("max_episode_steps", None) or spec.max_episode_steps
    game = Game(env_id, kwargs, default_config(env_id, world=world), registered, n_steps)
    yield from findings(game, printed)
    if printed.n_lines:
        detail = f'prints {printed.n_lines:,} lines, the first "{printed.first}"'
        remedy = "take print() out of the game: training takes hundreds of thousands of steps"
        yield Finding("prints", "warn", detail, remedy)


def _registered(env_id: str, printed: Printed) -> EnvSpec | Finding:
    """The registration of an id, or why there is none."""
    with _hidden(printed):
        try:
            return spec_of(env_id)
        except Trouble as e:
            return Finding("found", "bad", e.detail, e.remedy, trace=e.trace)


def findings(game: Game, printed: Printed) -> Iterator[Finding]:
    """What all checks say of a game."""
    for name, one in FIRST:
        found = rows(name, one, game, printed)
        yield from found
        if any(finding.status == "bad" for finding in found):
            return
    said: set[str] = set()
    for name, one in REST:
        if name == "proof" and said:
            yield Finding("proof", "warn", "not tried", "put right what is bad above")
            return
        for finding in rows(name, one, game, printed):
            if finding.detail not in said:
                yield finding
            if finding.status == "bad":
                said.add(finding.detail)
        if game.base is None:
            return


def rows(name: str, one: Check, game: Game, printed: Printed) -> list[Finding]:
    """What one check says; where the game fails in it, that is its last row."""
    found: list[Finding] = []
    tell_check(name)
    with _hidden(printed):
        try:
            for finding in one(game):
                found.append(finding)
        except Trouble as e:
            found.append(Finding(name, "bad", e.detail, e.remedy, trace=e.trace))
    return found


@contextlib.contextmanager
def _hidden(printed: Printed) -> Iterator[None]:
    """Keep what the game prints and what Gymnasium warns of out of the table; there are rows for it."""
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
