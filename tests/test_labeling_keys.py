"""Keys: every code that a toolkit may send, and presses told from repeats."""

import json

import pytest

from labeling.choice import Choice
from labeling.keys import CHOICES, ROWS, WEB_KEYS, Action, action_of, is_modifier
from labeling.presses import Press, Presses

X11 = {65361: Action.LEFT, 65362: Action.EQUAL, 65363: Action.RIGHT, 65364: Action.SKIP, 65288: Action.UNDO}
WINDOWS = {0x250000: Action.LEFT, 0x260000: Action.EQUAL, 0x270000: Action.RIGHT, 0x280000: Action.SKIP, 8: Action.UNDO}
MAC = {0xF702: Action.LEFT, 0xF700: Action.EQUAL, 0xF703: Action.RIGHT, 0xF701: Action.SKIP, 127: Action.UNDO}
LETTERS = {
    **dict.fromkeys("1aA", Action.LEFT),
    **dict.fromkeys("2dD", Action.RIGHT),
    **dict.fromkeys("0eEwW", Action.EQUAL),
    **dict.fromkeys("sS", Action.SKIP),
    **dict.fromkeys("uU", Action.UNDO),
    " ": Action.PLAY,
    ",": Action.BACK,
    ".": Action.FORWARD,
    "[": Action.SLOWER,
    "]": Action.FASTER,
    **dict.fromkeys("hH?", Action.HELP),
    **dict.fromkeys("qQ", Action.QUIT),
    "\x1b": Action.ESCAPE,
}
SHIFT, LOCK, CONTROL, ALT, NUM_LOCK, SUPER, ALT_GR = (1 << (16 + bit) for bit in (0, 1, 2, 3, 4, 6, 7))


@pytest.mark.parametrize("codes", [X11, WINDOWS, MAC, {ord(c): action for c, action in LETTERS.items()}])
def test_keys_of_every_system_do_what_the_table_says(codes: dict[int, Action]) -> None:
    assert {code: action_of(code) for code in codes} == codes


def test_locks_and_shift_do_not_matter() -> None:
    for locks in (SHIFT, LOCK, NUM_LOCK, LOCK | NUM_LOCK, ALT_GR, SHIFT | LOCK | NUM_LOCK):
        assert action_of(65361 | locks) is Action.LEFT
        assert action_of(ord("D") | locks) is Action.RIGHT
        assert action_of(ord("[") | locks) is Action.SLOWER


def test_keys_of_the_desktop_do_nothing() -> None:
    for held in (CONTROL, ALT, SUPER, CONTROL | NUM_LOCK):
        assert action_of(ord("q") | held) is None
        assert action_of(65361 | held) is None


def test_pad_digits_are_digits_whatever_num_lock_says() -> None:
    on, off = (0xFFB0, 0xFFB1, 0xFFB2), (0xFF9E, 0xFF9C, 0xFF99)  # 0 1 2 and Insert End Down of the pad
    for codes in (on, off):
        assert [action_of(code) for code in codes] == [Action.EQUAL, Action.LEFT, Action.RIGHT]


def test_other_keys_do_nothing() -> None:
    labels = {ord(c) for c in LETTERS} | {8, 127}
    others = [code for code in range(256) if code not in labels]
    assert not [code for code in others if action_of(code) is not None]
    assert [action_of(code) for code in (-1, 65535, 65470, 0x700000, 1734)] == [None] * 5
    # Shift, Caps Lock, Num Lock, Control, Alt, AltGr.
    assert all(is_modifier(code) for code in (65505, 65509, 65407, 65507, 65513, 65027))
    assert not any(is_modifier(code) for code in (65361, ord("a"), 65535))


def test_every_action_is_shown_with_all_its_keys() -> None:
    shown = {action: set(row.caps) for row in ROWS for action in row.actions}
    assert set(shown) == set(Action)
    caps = {"ArrowLeft": "←", "ArrowRight": "→", "ArrowUp": "↑", "ArrowDown": "↓", " ": "Space", "Escape": "Esc"}
    for key, action in WEB_KEYS.items():
        assert caps.get(key, key.upper() if len(key) == 1 else key) in shown[action], key
    assert sum(len(row.caps) for row in ROWS) == len(WEB_KEYS)
    assert set(CHOICES.values()) == set(Choice)
    assert json.loads(json.dumps(WEB_KEYS))["a"] == "left"  # as it can be handed to the page


class Keyboard:
    """Keys held down, and a clock, both set by hand."""

    def __init__(self) -> None:
        self.down: set[int] = set()
        self.now = 0.0

    def keys_down(self) -> frozenset[int]:
        return frozenset(self.down)

    def clock(self) -> float:
        return self.now


def came(found: list[Press]) -> list[tuple[int, bool]]:
    return [(press.code, press.is_repeat) for press in found]


def test_by_state_a_held_key_counts_once_even_when_the_loop_stalls() -> None:
    keyboard = Keyboard()
    presses = Presses(keyboard.keys_down, keyboard.clock)
    keyboard.down = {38}
    assert came(presses.turn(97)) == [(97, False)]
    for now in (0.66, 0.70, 1.9, 5.0):
        keyboard.now = now
        assert came(presses.turn(97)) == [(97, True)]
    keyboard.down = set()
    assert came(presses.turn(97)) == [(97, True)]  # was on its way when the key went up
    assert presses.turn(None) == []
    assert came(presses.turn(97)) == [(97, False)]


def test_by_state_quick_presses_all_count() -> None:
    keyboard = Keyboard()
    presses = Presses(keyboard.keys_down, keyboard.clock)
    for _ in range(10):
        keyboard.down = {38}
        assert came(presses.turn(97)) == [(97, False)]
        assert presses.turn(None) == []
        keyboard.down = set()
        assert presses.turn(None) == []
        assert presses.turn(None) == []


def test_by_state_fingers_may_overlap() -> None:
    keyboard = Keyboard()
    presses = Presses(keyboard.keys_down, keyboard.clock)
    keyboard.down = {38}
    assert came(presses.turn(97)) == [(97, False)]
    keyboard.down = {38, 40}
    assert came(presses.turn(100)) == [(100, False)]
    keyboard.down = {40}  # the first finger is up, the second still down
    assert presses.turn(None) == []
    assert presses.turn(None) == []
    keyboard.down = {38, 40}
    assert came(presses.turn(97)) == [(97, False)]
    assert came(presses.turn(100)) == [(100, True)]


def typed(times: list[float], code: int = 97) -> list[tuple[int, bool]]:
    """What comes of one key arriving at these times, told by time alone, with turns every 10 ms."""
    keyboard = Keyboard()
    presses = Presses(None, keyboard.clock)
    found: list[Press] = []
    for hundredth in range(round(100 * times[-1]) + 30):
        keyboard.now = hundredth / 100
        found += presses.turn(code if hundredth in [round(100 * t) for t in times] else None)
    return came(found)


def test_by_time_a_held_key_counts_once() -> None:
    for delay, interval in ((0.66, 0.04), (0.25, 0.03), (0.5, 0.03), (0.38, 0.09), (1.0, 0.1)):
        held = [0.0, *(delay + i * interval for i in range(10))]
        assert typed(held) == [(97, False)] + [(97, True)] * 10


def test_by_time_quick_presses_all_count() -> None:
    for gap in (0.13, 0.2, 0.5, 0.66, 1.5):
        assert typed([i * gap for i in range(6)]) == [(97, False)] * 6


def test_by_time_another_key_settles_a_doubtful_one_in_order() -> None:
    keyboard = Keyboard()
    presses = Presses(None, keyboard.clock)
    assert came(presses.turn(97)) == [(97, False)]
    keyboard.now = 0.3
    assert presses.turn(97) == []
    keyboard.now = 0.35
    assert presses.turn(100) == [Press(97, False, 0.3), Press(100, False, 0.35)]
