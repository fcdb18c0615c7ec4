"""The labeling window: its session without a screen, then the real thing on a virtual display with real keys."""

import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from screens import KEYS, Screen, on_screen, promised_ms, virtual_display, wait_for

from labeling.agent_status import AgentStatus
from labeling.choice import Choice
from labeling.desk import Desk
from labeling.keys import Action
from labeling.label import Query
from labeling.pictures import Pictures
from labeling.store import Store
from labeling.window import WindowError, check_window

cv2 = pytest.importorskip("cv2", reason="the window needs OpenCV")

from labeling.lettering import Picture  # noqa: E402  # needs OpenCV
from labeling.session import LEAST_SEEN_SECONDS, Session  # noqa: E402  # needs OpenCV


def clip_id(query: int, side: int) -> str:
    return hashlib.sha256(f"{query} {side}".encode()).hexdigest()


def colour(query: int, side: int) -> tuple[int, int, int]:
    """Of all frames of that clip, red, green, blue."""
    return 60 + 2 * query, 40 if side == 0 else 220, 90


def make_run(folder: Path, n_queries: int) -> None:
    """A store of waiting queries q000, q001, ... whose clips are drawn."""
    pictures = Pictures(folder / "drawn")
    for query in range(n_queries):
        for side in range(2):
            frames = np.full((12, 42, 32, 3), colour(query, side), np.uint8)
            pictures.write_frames(clip_id(query, side), frames, 20.0)
    queries = [
        Query(
            query_id=f"q{query:03}",
            clip_ids=(clip_id(query, 0), clip_id(query, 1)),
            asked_at_step=query,
            round=0,
            strategy="uniform",
            is_random=True,
        )
        for query in range(n_queries)
    ]
    with Store(folder / "labels.sqlite") as store:
        store.add_queries(queries, 1)


def status(state: str = "training", labels: int = 0) -> AgentStatus:
    return AgentStatus(
        steps=1000, total_steps=5000, state=state, labels=labels, total_labels=70, process_id=1, updated_at_utc_ms=0
    )


class Sitting:
    """A session with a clock set by hand; its pictures are looked at without a window."""

    def __init__(self, folder: Path, agent: AgentStatus | None = None) -> None:
        self.now = 1000.0
        self.agent = agent
        self.trouble: str | None = None
        self.store = Store(folder / "labels.sqlite")
        pictures = Pictures(folder / "drawn")
        self.desk = Desk(self.store, is_drawn=pictures.has_frames, repeat_share=0, rng=np.random.default_rng(3))
        self.session = Session(
            self.desk,
            pictures,
            labeler="window",
            task="Turn over",
            title="a run",
            total_labels=70,
            read_status=lambda: self.agent,
            worker_trouble=lambda: self.trouble,
            how_to_resume="prefrl train --run-dir RUN --resume",
            clock=lambda: self.now,
        )

    def look(self, seconds: float = 1.1) -> Picture:
        """Lets time go by until a pair is up, or none is to be had; then paints."""
        end = time.monotonic() + 5
        self.now += seconds
        self.session.tick()
        while self.session.pair is None and len(self.session._ahead) and time.monotonic() < end:
            self.session.tick()  # until the other thread has read the frames
        picture = self.session.picture((800, 500))
        self.session.painted()
        return picture

    def press(self, action: Action | None, after: float = 0.2) -> str:
        """Presses a key some time after the last picture, and returns what is said."""
        self.now += after
        self.session.act(action, self.now)
        return self.message()

    def message(self) -> str:
        return self.session._facts().message

    def rows(self) -> list[tuple[str, Choice | None]]:
        """What was answered, in the order of sides on the screen."""
        return [(row.query_id, on_screen(row)) for row in self.store.labels_after(0)]

    def close(self) -> None:
        self.session.close()
        self.store.close()


@pytest.fixture
def sit(tmp_path: Path) -> Iterator[Callable[..., Sitting]]:
    with contextlib.ExitStack() as stack:

        def begin(n_queries: int, agent: AgentStatus | None = None) -> Sitting:
            make_run(tmp_path, n_queries)
            sitting = Sitting(tmp_path, agent)
            stack.callback(sitting.close)
            return sitting

        yield begin


def test_answers_are_stored_with_times_and_the_clip_of_each_side_is_on_it(sit: Callable[..., Sitting]) -> None:
    sitting = sit(8)
    for i, action in enumerate((Action.LEFT, Action.RIGHT, Action.EQUAL, Action.SKIP) * 2):
        picture = sitting.look()
        pair = sitting.session.pair
        assert pair is not None
        for side, (x, y) in enumerate(((200, 250), (600, 250))):
            red, green, blue = colour(i, side ^ pair.offer.swapped)
            assert tuple(picture[y, x]) == (blue, green, red)
        assert sitting.press(action, after=1.5).endswith(f"saved, {i + 1} / 70")
    rows = sitting.store.labels_after(0)
    assert [on_screen(row) for row in rows] == [Choice.LEFT, Choice.RIGHT, Choice.EQUAL, Choice.SKIP] * 2
    assert {row.swapped for row in rows} == {False, True}
    assert [row.ms_on_screen for row in rows] == [1500] * 8
    assert all(row.answered_at_utc_ms >= row.shown_at_utc_ms > 1_700_000_000_000 for row in rows)
    assert len({row.label_id for row in rows}) == 8
    assert sitting.session.n_given == 8


def test_undo_shows_the_pair_again_and_then_the_one_that_was_up(sit: Callable[..., Sitting]) -> None:
    sitting = sit(4)
    for action in (Action.LEFT, Action.RIGHT):
        sitting.look()
        sitting.press(action)
    sitting.look()
    assert sitting.press(Action.UNDO) == "Taken back, 1 / 70: answer this pair again"
    sitting.look()
    assert sitting.press(Action.UNDO) == "Taken back, 0 / 70: answer this pair again"
    sitting.look()
    assert sitting.press(Action.UNDO) == "There is no answer to take back"
    for action in (Action.EQUAL, Action.SKIP, Action.LEFT, Action.LEFT):
        sitting.look()
        sitting.press(action)
    counting = [(row.query_id, on_screen(row)) for row in sitting.store.current_labels()]
    wanted = (Choice.EQUAL, Choice.SKIP, Choice.LEFT, Choice.LEFT)
    assert counting == [(f"q{i:03}", choice) for i, choice in enumerate(wanted)]
    assert len(sitting.rows()) == 8
    assert sitting.session.n_given == 4


def test_an_undone_answer_of_an_earlier_session_is_shown_again(sit: Callable[..., Sitting], tmp_path: Path) -> None:
    first = sit(3)
    first.look()
    first.press(Action.LEFT)
    second = Sitting(tmp_path)
    second.look()
    second.press(Action.UNDO)
    second.look()
    assert second.session.pair is not None
    assert second.session.pair.offer.query_id == "q000"
    second.press(Action.RIGHT)
    assert [row.query_id for row in second.store.current_labels()] == ["q000"]
    assert on_screen(second.store.current_labels()[0]) is Choice.RIGHT
    second.close()


def test_keys_that_cannot_be_meant_are_ignored_and_that_is_said(sit: Callable[..., Sitting]) -> None:
    sitting = sit(2)
    assert sitting.press(Action.LEFT) == "No pair is up, so that key was ignored"
    sitting.look()
    too_soon = sitting.press(Action.LEFT, after=LEAST_SEEN_SECONDS / 2)
    assert too_soon == "That key came before this pair could be seen, and was ignored"
    assert sitting.press(None) == "That key does nothing; H shows all keys"
    sitting.press(Action.HELP)
    assert sitting.press(Action.RIGHT) == "Close the help first (H)"
    assert sitting.rows() == []
    sitting.press(Action.ESCAPE)  # closes the help
    assert not sitting.session.is_over
    sitting.press(Action.RIGHT)
    assert sitting.rows() == [("q000", Choice.RIGHT)]


def test_a_store_that_refuses_keeps_the_pair_for_the_next_key(sit: Callable[..., Sitting], tmp_path: Path) -> None:
    sitting = sit(3)
    sitting.look()
    sitting.store._connection.execute("PRAGMA busy_timeout = 20")  # or this test would take half a minute
    other = sqlite3.connect(tmp_path / "labels.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "locked" in sitting.press(Action.LEFT)
    assert sitting.session._facts().is_error
    assert sitting.session.pair is not None
    assert sitting.press(Action.UNDO).startswith("Not undone: ")
    other.execute("ROLLBACK")
    other.close()
    assert sitting.press(Action.RIGHT) == "Right is better: saved, 1 / 70"
    assert sitting.rows() == [("q000", Choice.RIGHT)]


def test_a_pair_answered_in_another_window_is_let_go(sit: Callable[..., Sitting], tmp_path: Path) -> None:
    sitting = sit(3)
    sitting.look()
    other = Sitting(tmp_path)
    other.look()
    other.press(Action.LEFT)
    other.close()
    assert sitting.press(Action.RIGHT).startswith("Not saved: ")
    sitting.look()
    assert sitting.session.pair is not None
    assert sitting.session.pair.offer.query_id == "q001"
    sitting.press(Action.RIGHT)
    assert sitting.rows() == [("q000", Choice.LEFT), ("q001", Choice.RIGHT)]


def test_a_damaged_clip_is_withdrawn_and_said(sit: Callable[..., Sitting], tmp_path: Path) -> None:
    sitting = sit(3)
    path = Pictures(tmp_path / "drawn").path(clip_id(1, 0), "npz")
    path.write_bytes(path.read_bytes()[:100])
    sitting.look()
    sitting.press(Action.LEFT)
    sitting.look()
    assert list(sitting.store.withdrawals()) == ["q001"]
    assert sitting.message().startswith("A pair was withdrawn: ")
    sitting.press(Action.RIGHT)
    assert sitting.rows() == [("q000", Choice.LEFT), ("q002", Choice.RIGHT)]


def test_why_no_pair_waits_is_told_apart(sit: Callable[..., Sitting]) -> None:
    sitting = sit(0)
    seen = set()
    states = (None, status(), status("waiting"), status("stopped"), status("ended"), status(labels=70))
    for sitting.agent in states:
        seen.add(sitting.look().tobytes())
        assert sitting.session.pair is None
    sitting.trouble = "no OpenGL"
    seen.add(sitting.look().tobytes())
    assert len(seen) == 7


def test_a_break_is_suggested_after_25_minutes_of_labeling(sit: Callable[..., Sitting]) -> None:
    sitting = sit(60)

    def answer(after: float) -> str:
        sitting.look(after)
        sitting.press(Action.LEFT)
        return sitting.session._facts().notice

    notices = [answer(60) for _ in range(30)]
    assert [bool(notice) for notice in notices] == [False] * 25 + [True] + [False] * 4
    assert not answer(6 * 60)  # a break
    assert not any(answer(60) for _ in range(23))


def test_quitting_shows_a_summary_until_a_key_comes(sit: Callable[..., Sitting]) -> None:
    sitting = sit(2)
    sitting.look()
    sitting.press(Action.LEFT)
    sitting.press(Action.QUIT)
    assert not sitting.session.is_over
    sitting.press(Action.RIGHT)
    assert sitting.session.is_over
    assert len(sitting.rows()) == 1


def test_no_display_is_one_clear_line() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("displays have names under Linux only")
    without = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with pytest.raises(WindowError, match="none is set in DISPLAY: run this on a desktop, or label in a browser"):
        check_window(without)
    with pytest.raises(WindowError, match=r"cannot open a window on display :4242 \(.*: run this on a desktop") as told:
        check_window({**without, "DISPLAY": ":4242"})
    assert "\n" not in str(told.value)


# From here on: a real window on a display of its own, real keys.

PROGRAM = """
import sys
from pathlib import Path
from labeling.agent_status import read_status
from labeling.desk import Desk
from labeling.pictures import Pictures
from labeling.store import Store
from labeling.window import label

folder = Path(sys.argv[1])
pictures = Pictures(folder / "drawn")
painted = (folder / "painted.txt").open("w", buffering=1)
with Store(folder / "labels.sqlite") as store:
    desk = Desk(store, is_drawn=pictures.has_frames, repeat_share=0)
    n_given = label(
        desk, pictures, labeler="window", task="Turn over", title="prefrl test", total_labels=70,
        read_status=lambda: read_status(folder / "agent.json"), worker_trouble=lambda: None,
        on_painted=lambda milliseconds: print(milliseconds, file=painted),
    )
painted.close()
(folder / "given.txt").write_text(str(n_given))
"""


class Sitter(Screen):
    """Somebody in front of a window on synthetic clips of one colour each."""

    @contextlib.contextmanager
    def labeling(self, folder: Path) -> Iterator[subprocess.Popen[str]]:
        """The window's process, its window up and in focus."""
        command = [sys.executable, "-W", "error", "-c", PROGRAM, str(folder)]
        with subprocess.Popen(command, env=self.environ, stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_for(lambda: self.window() != "" or process.poll() is not None)
                assert process.poll() is None, process.communicate()[1]
                self.focus()
                yield process
            finally:
                process.kill()

    def left_colour(self, query: int) -> tuple[int, int, int]:
        """Waits until that query is on the screen; red, green, blue of its left clip."""
        seen: list[tuple[int, int, int]] = []

        def is_up() -> bool:
            blue, green, red = (int(value) for value in self.picture()[400, 330])
            seen.append((red, green, blue))
            return seen[-1] in (colour(query, 0), colour(query, 1))

        wait_for(is_up)
        return seen[-1]


def n_rows(folder: Path) -> int:
    with Store.open_read_only(folder / "labels.sqlite") as store:
        return len(store.labels_after(0))


def has_rows(folder: Path, n: int) -> bool:
    return n_rows(folder) == n


def painted_ms(folder: Path) -> list[float]:
    """From each key that called for another pair to when that was on the screen."""
    return [float(line) for line in (folder / "painted.txt").read_text(encoding="utf-8").split()]


def n_given(folder: Path) -> int:
    """As the session itself says at its end."""
    return int((folder / "given.txt").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def screen() -> Iterator[Sitter]:
    with virtual_display() as display:
        yield Sitter(display, "prefrl test")


OTHERS = ("space", "comma", "period", "bracketleft", "bracketright", "x", "F5", "shift+Tab")


@pytest.mark.slow
def test_sixty_keys_store_exactly_what_they_say(screen: Sitter, tmp_path: Path) -> None:
    make_run(tmp_path, 70)
    rng = np.random.default_rng(5)
    answers = [(key, choice) for choice, keys in KEYS.items() for key in keys] * 3
    script: list[tuple[str, Choice | str]] = [*answers, *((key, "other") for key in OTHERS)]
    script += [("BackSpace", "undo")] * 4 + [("u", "undo")] * 3
    script = [script[k] for k in rng.permutation(len(script))]
    script = [("d", Choice.RIGHT), ("Up", Choice.EQUAL), *script]
    assert len(script) == 62
    waiting, given, wanted = deque(range(70)), list[tuple[int, Choice]](), list[tuple[int, Choice | None]]()
    locks = {10: "Caps_Lock", 20: "Num_Lock", 30: "Caps_Lock", 40: "Caps_Lock", 50: "Num_Lock", 55: "Caps_Lock"}
    with screen.labeling(tmp_path) as process:
        screen.left_colour(0)
        for i, (key, meaning) in enumerate(script):
            if i in locks:
                screen.press(locks[i])
            screen.press(key)
            if isinstance(meaning, Choice):
                given.append((waiting.popleft(), meaning))
                wanted.append(given[-1])
            elif meaning == "undo":
                query, _ = given.pop()
                waiting.appendleft(query)
                wanted.append((query, None))
            wait_for(lambda: n_rows(tmp_path) == len(painted_ms(tmp_path)) == len(wanted))
            time.sleep(2 * LEAST_SEEN_SECONDS)  # a person looks before answering
        screen.press("h", "Left", "Escape", "q", "q", pause=0.3)
        assert process.wait(timeout=20) == 0
    with Store(tmp_path / "labels.sqlite") as store:
        rows, counting = store.labels_after(0), store.current_labels()
    assert [(int(row.query_id[1:]), on_screen(row)) for row in rows] == wanted
    assert [(int(row.query_id[1:]), on_screen(row)) for row in counting] == sorted(given)
    assert {row.swapped for row in counting} == {False, True}
    assert n_given(tmp_path) == len(given)
    assert len(painted_ms(tmp_path)) == len(wanted)
    assert np.percentile(painted_ms(tmp_path), 95) <= promised_ms(100)


@pytest.mark.slow
def test_a_held_key_answers_once_and_quick_presses_each(screen: Sitter, tmp_path: Path) -> None:
    make_run(tmp_path, 20)
    with screen.labeling(tmp_path) as process:
        screen.left_colour(0)
        screen.press("d")
        screen.left_colour(1)
        screen.tool("keydown", "a")
        time.sleep(1.5)  # X11 begins to repeat after 0.66 s, 25 times a second
        screen.tool("keyup", "a")
        time.sleep(0.2)
        screen.press(*"aaaaaaaaaa", pause=0.2)
        wait_for(lambda: n_rows(tmp_path) >= 12)
        # Showing the summary, then closing, takes longer than any row still on its way.
        screen.press("q", "q", pause=0.3)
        assert process.wait(timeout=20) == 0
    with Store(tmp_path / "labels.sqlite") as store:
        assert [on_screen(row) for row in store.current_labels()] == [Choice.RIGHT] + [Choice.LEFT] * 11


@pytest.mark.slow
def test_a_window_closed_by_its_x_ends_well_and_the_next_goes_on_from_there(screen: Sitter, tmp_path: Path) -> None:
    make_run(tmp_path, 16)
    for begin, end in ((0, 10), (10, 16)):
        with screen.labeling(tmp_path) as process:
            for i in range(begin, end):
                shown = screen.left_colour(i)
                time.sleep(2 * LEAST_SEEN_SECONDS)
                screen.press("Left")
                wait_for(partial(has_rows, tmp_path, i + 1))
                with Store.open_read_only(tmp_path / "labels.sqlite") as store:
                    row = store.current_labels()[-1]
                assert row.query_id == f"q{i:03}"
                assert shown == colour(i, int(row.swapped))  # what was seen on the left is what won
            screen.close_by_x()
            assert process.wait(timeout=20) == 0
            assert process.communicate()[1] == ""
        assert n_given(tmp_path) == end - begin
    with Store(tmp_path / "labels.sqlite") as store:
        assert [row.query_id for row in store.labels_after(0)] == [f"q{i:03}" for i in range(16)]
