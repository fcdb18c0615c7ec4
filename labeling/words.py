"""What the labeling window says, in words; pure."""

from __future__ import annotations

from labeling.agent_status import AgentStatus
from labeling.choice import Choice
from labeling.desk import Tally
from labeling.playback import Playback

_SAID = {
    Choice.LEFT: "Left is better",
    Choice.RIGHT: "Right is better",
    Choice.EQUAL: "Equally good",
    Choice.SKIP: "Can't tell",
}
_SPEEDS = {0.25: "1/4 speed", 0.5: "1/2 speed", 2.0: "double speed", 4.0: "4 times as fast"}


def saved_words(choice: Choice, n_answered: int, total_labels: int) -> str:
    """What is said once an answer is stored."""
    return f"{_SAID[choice]}: saved, {n_answered:,} / {total_labels:,}"


def playing_words(playback: Playback) -> str:
    """What is special about how a pair is played; empty where nothing is."""
    words = [_SPEEDS[playback.speed]] if playback.speed in _SPEEDS else []
    if playback.is_paused:
        words.insert(0, f"paused at frame {max(playback.frames()) + 1}")
    return ", ".join(words)


def agent_line(status: AgentStatus | None, how_to_resume: str) -> str:
    """How the agent is doing, in one line."""
    if status is None:
        return "Agent: not started yet"
    done = f"{status.steps:,} of {status.total_steps:,} steps"
    if status.state == "stopped":
        return f"Agent: stopped at {status.steps:,} steps; to go on: {how_to_resume}"
    doing = {"training": "training", "waiting": "waiting for your answers", "ended": "finished"}[status.state]
    return f"Agent: {doing}, {done}"


def why_none_waits(
    status: AgentStatus | None,
    trouble: str | None,
    n_waiting: int,
    tally: Tally,
    total_labels: int,
    how_to_resume: str,
) -> tuple[str, tuple[str, ...]]:
    """A heading and lines on why there is no pair to answer, and what to do."""
    given = f"You have answered {tally.n_answered:,} of {total_labels:,}."
    agent = agent_line(status, how_to_resume)
    if trouble:
        return "Clips cannot be drawn", (trouble, given)
    if n_waiting:
        return "The next clips are being drawn", ("This takes a few seconds.", given, agent)
    if status is None:
        return "Waiting for the agent to start", ("The first pairs come as soon as it has tried something.",)
    if status.state == "stopped":
        return "The agent has stopped", ("No pair is left to answer. To go on:", how_to_resume, given)
    if status.state == "ended":
        return "All done", ("The agent has finished training; no pair is left to answer. Thank you!", given)
    if status.labels >= status.total_labels:
        return "All answers are in", ("Thank you! The agent goes on training with them.", given, agent)
    if status.state == "waiting":
        return "The agent is choosing new pairs", (given, agent)
    return "The agent is practising", ("New pairs come after its next round; leave this window open.", given, agent)


def summary(n_given: int, seconds: float, tally: Tally, total_labels: int) -> tuple[str, ...]:
    """How a session went."""
    if n_given == 0:
        return (f"No new answers this time; {tally.n_answered:,} of {total_labels:,} are saved.",)
    minutes = max(1, round(seconds / 60))
    answers = "1 answer" if n_given == 1 else f"{n_given:,} answers"
    time = "1 minute" if minutes == 1 else f"{minutes:,} minutes"
    return (f"You gave {answers} in {time}.", f"All are saved: {tally.n_answered:,} of {total_labels:,} so far.")
