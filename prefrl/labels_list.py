"""Labels as a table for people: when, who, what, how long it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from labeling.choice import Choice, swapped
from labeling.export import Row

WORDS = {
    Choice.LEFT: "left better",
    Choice.RIGHT: "right better",
    Choice.EQUAL: "equally good",
    Choice.SKIP: "can't tell",
}
_STYLES = {Choice.LEFT: "green", Choice.RIGHT: "cyan", Choice.EQUAL: "yellow", Choice.SKIP: "dim"}


def choice_as_shown(row: Row) -> Choice:
    """What the labeler chose of the two sides as they saw them."""
    choice = Choice(row["choice"])
    return swapped(choice) if row["swapped"] else choice


def time_text(row: Row) -> str:
    """When it was answered, to the second; the time zone is UTC."""
    return str(row["answered_at"])[:19].replace("T", " ")


def label_table(rows: Sequence[Row]) -> Table:
    """One line per label, in the order given."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("answered (UTC)", no_wrap=True)
    table.add_column("labeler", min_width=7, overflow="fold")
    table.add_column("as shown", no_wrap=True)
    table.add_column("seen", justify="right", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("query", min_width=7, overflow="fold")
    table.add_column("", min_width=8)
    for row in rows:
        choice = choice_as_shown(row)
        table.add_row(
            time_text(row),
            Text(row["labeler"]),  # as text: a name is no markup
            Text(WORDS[choice], style=_STYLES[choice]),
            f"{row['ms_on_screen'] / 1000:.1f} s",
            f"{row['agent_step']:,}",
            Text(row["query_id"]),
            Text(", ".join(_marks(row))),
            style="strike dim" if row["undone"] else "",
        )
    return table


def summary(rows: Sequence[Row], n_queries: int) -> str:
    """One sentence on labels and who gave them."""
    counting = [row for row in rows if not row["undone"]]
    choices = Counter(choice_as_shown(row) for row in counting)
    people = Counter(row["labeler"] for row in counting)
    parts = [
        f"{_n(len(counting), 'label')} on {_n(n_queries, 'query', 'queries')}",
        ", ".join(f"{choices[choice]} {name}" for choice, name in _SHORT.items() if choices[choice]),
        ", ".join(f"{name} {n}" for name, n in people.most_common()),
    ]
    others = (
        (len(rows) - len(counting), "undone"),
        (sum(row["repeat_of"] is not None for row in counting), "repeated to see whether people agree with themselves"),
        (sum(row["imported_from"] is not None for row in counting), "imported"),
    )
    parts.append(", ".join(f"{n} {words}" for n, words in others if n))
    return "; ".join(part for part in parts if part)


_SHORT = {Choice.LEFT: "left", Choice.RIGHT: "right", Choice.EQUAL: "equal", Choice.SKIP: "can't tell"}


def _marks(row: Row) -> list[str]:
    marks = []
    if row["undone"]:
        marks.append("undone")
    if row["swapped"]:
        marks.append("sides swapped")
    if row["repeat_of"] is not None:
        marks.append(f"repeats {row['repeat_of']}")
    if row["imported_from"] is not None:
        marks.append("imported")
    return marks


def _n(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"
