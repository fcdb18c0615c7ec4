"""Flags of several values, given several times."""

from __future__ import annotations

import pytest

from prefrl.flags import parse_train
from prefrl.repeated import gather


@pytest.mark.parametrize(
    ("typed", "gathered"),
    [
        ("--mask A --seed 1 --mask B", "--seed 1 --mask A B"),
        ("my_game:X-v0 --mask A B --mask=C", "my_game:X-v0 --mask A B C"),
        ("--world.masks A --mask B", "--world.masks A B"),
        ("--env-kwargs a:1 --mask A --env-kwargs b:2 --mask B", "--env-kwargs a:1 b:2 --mask A B"),
        ("--mask=A B --mask C", "--mask A B C"),
        ("--reward-model.hidden 64 --reward_model.hidden 32", "--reward-model.hidden 64 32"),
        ("--teacher.reliabilities .9 --teacher.reliabilities .6", "--teacher.reliabilities .9 .6"),
        ("--invite ann bo --seed 3", "--invite ann bo --seed 3"),
        ("--mask A --mask", "--mask A --mask"),  # argparse says what is wrong with it
    ],
)
def test_their_values_add_up(typed: str, gathered: str) -> None:
    assert gather(typed.split()) == gathered.split()


def test_no_mask_and_no_argument_of_a_game_is_lost_in_training() -> None:
    typed = "--env-id ALE/Pong-v5 --mask 0,0,1,1 --env-kwargs mode:1 --mask 2,2,1,1 --seed 4 --env-kwargs difficulty:0"
    config, _ = parse_train([*typed.split(), "--invite", "ann", "--people.invite", "bo"])
    assert config.world.masks == ("0,0,1,1", "2,2,1,1")
    assert config.world.env_kwargs == ("mode:1", "difficulty:0")
    assert config.people.invite == ("ann", "bo")
    assert config.seed == 4
