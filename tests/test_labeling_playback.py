"""Playback: which frames are shown when, by a clock set by hand."""

import math

import pytest

from labeling.playback import REST_SECONDS, Playback


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def run(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_both_clips_start_on_the_first_frame_and_go_in_step(clock: Clock) -> None:
    playback = Playback((10, 10), (20.0, 20.0), clock=clock)
    seen = []
    for _ in range(10):
        seen.append(playback.frames())
        clock.run(playback.seconds_to_change())
    assert seen == [(i, i) for i in range(10)]
    assert playback.frames() == (9, 9)  # rests
    assert playback.seconds_to_change() == pytest.approx(REST_SECONDS)
    clock.run(playback.seconds_to_change() + 1e-6)
    assert playback.frames() == (0, 0)


def test_the_shorter_clip_waits_on_its_last_frame(clock: Clock) -> None:
    playback = Playback((3, 5), (10.0, 10.0), clock=clock)
    seen = []
    for _ in range(5):
        seen.append(playback.frames())
        clock.run(0.1)
    assert seen == [(0, 0), (1, 1), (2, 2), (2, 3), (2, 4)]
    clock.run(REST_SECONDS + 1e-6)
    assert playback.frames() == (0, 0)


def test_clips_of_different_rates_keep_their_own_time(clock: Clock) -> None:
    playback = Playback((10, 20), (10.0, 20.0), clock=clock)
    clock.run(0.25)
    assert playback.frames() == (2, 5)


def test_speed_changes_keep_the_place(clock: Clock) -> None:
    playback = Playback((40, 40), (20.0, 20.0), clock=clock)
    clock.run(0.5)
    assert playback.frames() == (10, 10)
    assert playback.change_speed(-1) == 0.5
    assert playback.frames() == (10, 10)
    clock.run(0.2)
    assert playback.frames() == (12, 12)
    assert [playback.change_speed(1) for _ in range(5)] == [1.0, 2.0, 4.0, 4.0, 4.0]
    clock.run(0.1)
    assert playback.frames() == (20, 20)
    assert [playback.change_speed(-1) for _ in range(5)] == [2.0, 1.0, 0.5, 0.25, 0.25]
    assert Playback((4, 4), (20.0, 20.0), speed=0.25, clock=clock).seconds_to_change() == pytest.approx(0.2)


def test_the_rest_is_as_long_at_any_speed(clock: Clock) -> None:
    for speed in (0.25, 1.0, 4.0):
        playback = Playback((8, 8), (8.0, 8.0), speed=speed, clock=clock)
        clock.run(1 / speed)
        assert playback.seconds_to_change() == pytest.approx(REST_SECONDS)
    clock.run(REST_SECONDS / 2)
    playback.change_speed(-1)  # half of the rest is over, whatever the speed
    assert playback.frames() == (7, 7)
    assert playback.seconds_to_change() == pytest.approx(REST_SECONDS / 2)


def test_pause_stands_still_and_plays_on_from_there(clock: Clock) -> None:
    playback = Playback((20, 20), (20.0, 20.0), clock=clock)
    clock.run(0.26)
    playback.toggle()
    clock.run(50)
    assert playback.is_paused
    assert playback.frames() == (5, 5)
    assert playback.seconds_to_change() == math.inf
    playback.toggle()
    clock.run(0.05)
    assert playback.frames() == (6, 6)


def test_play_at_the_end_starts_over(clock: Clock) -> None:
    playback = Playback((20, 20), (20.0, 20.0), clock=clock)
    clock.run(1.1)
    playback.toggle()
    assert playback.frames() == (19, 19)
    playback.toggle()
    assert playback.frames() == (0, 0)
    assert not playback.is_paused


def test_single_frames_go_around_and_pause(clock: Clock) -> None:
    playback = Playback((4, 4), (30.0, 30.0), clock=clock)
    seen = []
    for step in (1, 1, 1, 1, -1, -1):
        playback.step(step)
        clock.run(3)
        seen.append(playback.frames()[0])
    assert seen == [1, 2, 3, 0, 3, 2]
    assert playback.is_paused


def test_progress_ends_at_one(clock: Clock) -> None:
    playback = Playback((4, 2), (10.0, 10.0), clock=clock)
    seen = []
    for _ in range(6):
        seen.append(playback.progress())
        clock.run(0.1)
    assert seen == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_one_frame_is_a_clip(clock: Clock) -> None:
    playback = Playback((1, 1), (15.0, 15.0), clock=clock)
    clock.run(12.34)
    assert playback.frames() == (0, 0)
    playback.step(1)
    assert playback.frames() == (0, 0)


@pytest.mark.parametrize(
    ("n_frames", "rates", "speed", "said"),
    [
        ((0, 3), (1.0, 1.0), 1.0, "at least one"),
        ((3, 3), (1.0, math.inf), 1.0, "rates"),
        ((3, 3), (1.0, 1.0), 3.0, "3.0"),
    ],
)
def test_what_cannot_be_played_is_refused(
    n_frames: tuple[int, int], rates: tuple[float, float], speed: float, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Playback(n_frames, rates, speed=speed)
