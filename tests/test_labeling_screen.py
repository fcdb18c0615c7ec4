"""The window's pictures: numpy in, numpy out, no display needed."""

from dataclasses import replace

import numpy as np
import pytest

from labeling.choice import Choice

pytest.importorskip("cv2", reason="the window's pictures need OpenCV")

from labeling import lettering, screen, surround
from labeling.screen import Frame
from labeling.surround import Facts

FACTS = Facts(
    title="run",
    task="Make it do a backflip",
    n_answered=12,
    total_labels=700,
    per_minute=8.0,
    agent="Agent: training, 120,000 of 500,000 steps",
    message="Left is better: saved, 12 / 700",
)
SIZES = [(1280, 800), (800, 500), (500, 900), (3840, 2160), (320, 240), (120, 90)]


def flat(colour: tuple[int, int, int], shape: tuple[int, int] = (210, 160)) -> Frame:
    return np.full((*shape, 3), colour, np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_every_screen_has_exactly_the_size_asked_for(size: tuple[int, int]) -> None:
    pair = screen.pair_picture(size, FACTS, flat((200, 10, 10)), flat((10, 200, 10)), 0.5)
    note = screen.note_picture(size, FACTS, "Waiting", ("a line",), "Q quit", 0.5)
    for picture in (pair, screen.help_picture(size, FACTS, pair), screen.help_picture(size, FACTS), note):
        assert picture.shape == (size[1], size[0], 3)
        assert picture.dtype == np.uint8


@pytest.mark.parametrize("size", [(1280, 800), (800, 500), (500, 900)])
def test_the_left_clip_is_on_the_left_in_its_own_colours(size: tuple[int, int]) -> None:
    picture = screen.pair_picture(size, FACTS, flat((200, 10, 20)), flat((10, 200, 20)), 0.5)
    is_left = (picture == (20, 10, 200)).all(axis=2)  # blue, green, red
    is_right = (picture == (20, 200, 10)).all(axis=2)
    width = size[0]
    assert is_left[:, : width // 2].sum() == is_left.sum() > 5000
    assert is_right[:, width // 2 :].sum() == is_right.sum() == is_left.sum()


def test_small_frames_are_enlarged_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (84, 84, 3), np.uint8)
    scaled = screen.scale_frame(frame, 600, 520)
    assert scaled.shape == (504, 504, 3)
    np.testing.assert_array_equal(scaled[::6, ::6], frame)
    np.testing.assert_array_equal(scaled[5::6, 5::6], frame)


def test_small_frames_fill_the_room_where_a_whole_factor_would_not() -> None:
    frame = np.zeros((210, 160, 3), np.uint8)
    frame[:, 80:] = 255
    scaled = screen.scale_frame(frame, 390, 330)  # 1.57 times: twice does not fit, once is small
    assert scaled.shape == (330, 251, 3)
    n_blended = int(((scaled[0, :, 0] > 0) & (scaled[0, :, 0] < 255)).sum())
    assert n_blended <= 1  # borders stay sharp: at most one column of pixels is between


def test_large_frames_are_scaled_smoothly_and_keep_their_shape() -> None:
    ramp = np.repeat(np.linspace(0, 255, 320).astype(np.uint8)[None, :, None], 240, axis=0).repeat(3, axis=2)
    scaled = screen.scale_frame(ramp, 598, 540)
    assert scaled.shape == (448, 598, 3)
    assert np.diff(scaled[0, :, 0].astype(int)).max() <= 2
    assert screen.scale_frame(ramp, 100, 500).shape == (75, 100, 3)


def test_the_answered_side_is_lit() -> None:
    frames = flat((0, 0, 0)), flat((0, 0, 0))

    def n_lit(glow: Choice | None, colour: tuple[int, int, int]) -> int:
        picture = screen.pair_picture((1280, 800), replace(FACTS, message="", glow=glow), *frames, 0.5)
        return int((picture == colour).all(axis=2).sum())

    blue, orange = n_lit(None, surround.BLUE), n_lit(None, surround.ORANGE)
    assert n_lit(Choice.LEFT, surround.BLUE) > 3 * blue + 3000
    assert n_lit(Choice.LEFT, surround.ORANGE) == orange
    assert n_lit(Choice.RIGHT, surround.ORANGE) > 3 * orange + 3000
    assert n_lit(Choice.RIGHT, surround.BLUE) == blue
    assert n_lit(Choice.EQUAL, surround.BLUE) == n_lit(Choice.LEFT, surround.BLUE)


def test_an_error_is_red_and_nothing_else_is() -> None:
    frames = flat((0, 0, 0)), flat((0, 0, 0))
    for is_error in (False, True):
        picture = screen.pair_picture((1280, 800), replace(FACTS, is_error=is_error), *frames, 0.5)
        n_red = int((picture == surround.RED).all(axis=2).sum())
        assert n_red > 3000 if is_error else n_red == 0


def test_the_bar_of_the_playback_grows() -> None:
    def n_done(shown: float) -> int:
        picture = screen.pair_picture((1280, 800), FACTS, flat((0, 0, 0)), flat((0, 0, 0)), shown)
        return max(int((row == surround.DIM).all(axis=1).sum()) for row in picture[600:700])

    assert [n_done(shown) for shown in (0.25, 0.5, 1.0)] == [310, 620, 1240]


def test_pictures_drawn_before_are_not_drawn_into() -> None:
    first = screen.pair_picture((800, 500), FACTS, flat((9, 99, 199)), flat((1, 2, 3)), 0.2)
    kept = first.copy()
    again = screen.pair_picture((800, 500), FACTS, flat((50, 60, 70)), flat((1, 2, 3)), 0.9)
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, again)


def test_long_texts_are_cut_and_hostile_ones_harm_nothing() -> None:
    text = "A very long word-" * 40 + "日本語" * 50 + "\x00\x1b[31m\ud800\n" + "\u202e\U0001f642"
    facts = replace(FACTS, task=text, title=text, agent=text, message=text, playing=text, notice=text)
    for size in ((1280, 800), (320, 240)):
        assert screen.pair_picture(size, facts, flat((1, 2, 3)), flat((1, 2, 3)), 0.5).shape[:2] == size[::-1]
        screen.note_picture(size, facts, text, (text, text), text)
        screen.help_picture(size, facts)


def test_words_are_wrapped_into_the_width() -> None:
    lines = lettering.wrapped("Prefer the one that is closer to turning over backwards", 200, 20)
    assert len(lines) > 1
    assert " ".join(lines) == "Prefer the one that is closer to turning over backwards"
    assert all(lettering.width_of(line, 20) <= 200 for line in lines)
    two = lettering.wrapped("one two three four five six seven eight nine", 90, 20, n_lines=2)
    assert len(two) == 2
    assert two[1].endswith("…")
    assert all(lettering.width_of(line, 20) <= 90 for line in two)
    assert lettering.wrapped("", 90, 20) == []
