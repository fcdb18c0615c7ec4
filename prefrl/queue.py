"""The queue of queries that wait for people: as many as the label schedule says, never beyond its size, and fresh."""

from __future__ import annotations

from collections.abc import Sequence

from labeling.store import Store, WaitingQuery
from prefrl.patience import when_there_is_room

STALE = "stale"
"""How the reason begins for which a query is withdrawn that was asked too long ago."""


class PeopleQueue:
    """Says how many queries to put before people now, and takes those off that have grown stale.

    Args:
        store: Where queries wait.
        size: Most answers that are waited for at a time.
        ahead: Answers that are waited for even where none is owed.
        stale_steps: Agent steps after which a query that nobody has answered or is looking at is withdrawn.
        answers_per_query: Labels of as many people that each query waits for.
        pauses: Whether the agent waits when answers lag behind by more than the queue.
    """

    def __init__(
        self, store: Store, *, size: int, ahead: int, stale_steps: int, answers_per_query: int, pauses: bool
    ) -> None:
        self.store = store
        self.size = size
        self.ahead = ahead
        self.stale_steps = stale_steps
        self.answers_per_query = answers_per_query
        self.pauses = pauses

    def room(self, owed: int, left: int, agent_step: int) -> int:
        """Queries to ask now, after stale ones are withdrawn.

        Args:
            owed: Answers that the label schedule wants by now and that have not come.
            left: Answers that have not come of all that the run will ask for.
            agent_step: Steps the agent has taken.
        """
        waiting = self.store.waiting()
        stale = [
            query
            for query in waiting
            if (agent_step - query.asked_at_step > self.stale_steps and not query.n_given and not query.is_held)
            or query.is_abandoned
        ]
        when_there_is_room(lambda: self._withdraw(stale))
        gone = {query.query_id for query in stale}
        wanted = sum(query.n_wanted - query.n_given for query in waiting if query.query_id not in gone)
        missing = min(max(owed, self.ahead), left, self.size) - wanted
        # Rounded up, or the last answers that are owed would never be asked for.
        return max(0, -(-missing // self.answers_per_query))

    def _withdraw(self, stale: Sequence[WaitingQuery]) -> None:
        with self.store.together():
            for query in stale:
                why = "too few people to answer it" if query.is_abandoned else f"asked at step {query.asked_at_step:,}"
                self.store.withdraw(query.query_id, f"{STALE}: {why}")

    def is_starved(self, owed: int, *, is_untaught: bool) -> bool:
        """Whether the agent should wait: answers lag by more than the queue, or nobody has taught it anything yet."""
        return self.pauses and owed > (0 if is_untaught else self.size)
