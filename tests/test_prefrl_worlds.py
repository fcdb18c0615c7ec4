"""Worlds by name: how long their clips are, and what options that make no world are answered with."""

from dataclasses import dataclass
from typing import Any

import pytest

from prefrl import flags, worlds
from prefrl.config import Config
from prefrl.errors import UserError


@dataclass
class Timed:
    """The two facts of a world that decide how long a clip is."""

    frame_rate: float
    horizon: int | None


def steps(world: Timed, **clips: Any) -> int:
    config = flags.default_config("prefrl/Dot-v0", clips=clips)
    return worlds.clip_steps(config, world)  # type: ignore[arg-type]  # the two facts are all that is read


def test_a_clip_has_as_many_steps_as_its_seconds_within_its_bounds() -> None:
    dot = Timed(10.0, 50)
    assert steps(dot, clip_seconds=3.0) == 30
    assert steps(dot, clip_seconds=0.1, min_clip_steps=15) == 15
    assert steps(dot, clip_seconds=5.0) == 50
    assert steps(dot, clip_seconds=6.0, max_clip_steps=30) == 30  # fits, however long was wished for
    assert steps(dot, clip_seconds=1e9, max_clip_steps=50) == 50
    assert steps(Timed(60.0, None), clip_seconds=1.0, max_clip_steps=10**6) == 60
    assert steps(Timed(10.0, None), clip_seconds=10_000.0, max_clip_steps=10**6) == 100_000


@pytest.mark.parametrize(
    ("clips", "words"),
    [
        ({"clip_seconds": 6.0, "max_clip_steps": 51}, r"50 steps of 0.1 s .*, got 51 steps \(5.1 s\); lower --clip-s"),
        ({"min_clip_steps": 51}, r"got 51 steps \(5.1 s\); lower --clips.min-clip-steps"),
        ({"clip_seconds": float("inf")}, "expected finite --clip-seconds above 0 .*, got inf, 15 and 60"),
        ({"clip_seconds": float("nan")}, "expected finite --clip-seconds above 0 .*, got nan, 15 and 60"),
        ({"min_clip_steps": 20, "max_clip_steps": 19}, "1 <= min-clip-steps <= max-clip-steps, got 1, 20 and 19"),
    ],
)
def test_a_clip_that_fits_no_episode_is_refused(clips: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        steps(Timed(10.0, 50), **clips)


def test_a_clip_without_end_is_refused() -> None:
    with pytest.raises(UserError, match="at most 100,000 steps, got 100,001; lower --clip-seconds"):
        steps(Timed(10.0, None), clip_seconds=10_000.1, max_clip_steps=10**6)


def test_masks_are_four_whole_numbers() -> None:
    assert worlds.parse_mask("1, 20,3,400") == (1, 20, 3, 400)
    for bad in ("1,2,3", "1,2,3,-4", "²,1,1,1", "1,2,3,4.0", "9" * 5000 + ",1,1,1"):
        with pytest.raises(UserError, match="expected --mask as x,y,w,h in whole pixels"):
            worlds.parse_mask(bad)


def test_env_kwargs_are_json_or_words() -> None:
    pairs = ("a:1", "b:[2.5, null]", "c:plain words", 'd:"1"', "e:" + "[" * 5000)
    assert worlds.parse_env_kwargs(pairs) == {"a": 1, "b": [2.5, None], "c": "plain words", "d": "1", "e": "[" * 5000}


def test_a_fault_of_a_world_that_was_given_no_options_stays_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from envs import toy

    def broken(env_id: str, **_: Any) -> None:
        raise ZeroDivisionError(env_id)

    monkeypatch.setattr(toy, "make", broken)
    config = Config(env_id="prefrl/Dot-v0")
    with pytest.raises(ZeroDivisionError):
        worlds.make_world(config, n_envs=1, seed=0, views=False)
    config = flags.default_config("prefrl/Dot-v0", world={"env_kwargs": ["action:discrete"]})
    with pytest.raises(UserError, match='got action:"discrete": ZeroDivisionError: prefrl/Dot-v0'):
        worlds.make_world(config, n_envs=1, seed=0, views=False)
