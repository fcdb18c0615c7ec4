"""Asking: cut candidates out of the pool, pick the pairs worth asking about, make them durable, put them to a labeler.

The store is all that the learner and the labeler share: a query is in the store before anybody can see it, and an
answer counts once it comes back out of the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.clip import Clip, ClipFiles
from labeling.store import Label, Query, Store, StoredLabel
from prefrl.answers import Answers
from prefrl.config import QueryConfig
from prefrl.fit_data import Unlabeled
from prefrl.labelers import Asked, Labeler, Score
from prefrl.patience import when_there_is_room
from prefrl.pool import Cuts, Pool
from prefrl.queries import STRATEGIES, Candidates, Chosen, IndexArray, choose, uniform
from prefrl.reward_model import RewardModel


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What every clip of a run has in common."""

    n_steps: int
    """T."""
    frame_rate: float
    n_stack: int
    pack_view: Callable[[NDArray[Any]], NDArray[Any]]
    """The world's, turning rows of views into what a clip file keeps."""


class Asker:
    """Puts queries before a labeler.

    Args:
        config: Which pairs are asked about.
        facts: Of the clips.
        model: The ensemble, for strategies that ask it.
        store: Where queries and labels go.
        files: Where clips go.
        labeler: Who answers.
        rng: Of candidates and of choices among them.
    """

    def __init__(
        self,
        config: QueryConfig,
        facts: ClipFacts,
        model: RewardModel,
        store: Store,
        files: ClipFiles,
        labeler: Labeler,
        rng: np.random.Generator,
    ) -> None:
        self.config = config
        self.facts = facts
        self.model = model
        self.store = store
        self.files = files
        self.labeler = labeler
        self.rng = rng
        self.n_asked = 0
        """Queries that count against the budget of labels."""
        self.n_queries = 0
        """Queries ever put into the store, which number them."""
        self.ahead: dict[str, tuple[str, ...]] = {}
        """Clips of the queries that a killed run asked after the checkpoint it goes on from: they come again."""

    def ask(self, n: int, pool: Pool, answers: Answers, *, agent_step: int, round_number: int, fitted: bool) -> None:
        """Ask `n` queries about recent behaviour; those of labelers that answer at once are answered on return.

        Args:
            n: Queries to ask.
            pool: Behaviour to ask about.
            answers: Where the queries' clips are kept for the fit.
            agent_step: Steps the agent has taken.
            round_number: Rounds before this one.
            fitted: Whether the ensemble has ever been fitted; if not, pairs are picked uniformly.
        """
        pairs, chosen, strategy = self._pick(n, pool, fitted=fitted)
        asked = self._cut(pairs, pool, agent_step)
        if not self._is_as_before(asked):
            left = n - self._leave_ahead()
            if left > 0:
                self.ask(left, pool, answers, agent_step=agent_step, round_number=round_number, fitted=fitted)
            return
        queries = [
            Query(
                query_id=a.query_id,
                clip_ids=(a.left.clip_id, a.right.clip_id),
                asked_at_step=agent_step,
                round=round_number,
                strategy="uniform" if is_random else strategy,
                is_random=bool(is_random),
                score=None if np.isnan(score) else float(score),
            )
            for a, is_random, score in zip(asked, chosen.is_random, chosen.score, strict=True)
            if a.query_id not in self.ahead
        ]
        when_there_is_room(lambda: self.files.write_many([clip for a in asked for clip in (a.left, a.right)]))
        when_there_is_room(lambda: self.store.add_queries(queries, self.labeler.answers_wanted))
        for a in asked:
            answers.add_query(
                a.query_id,
                np.stack([a.left.obs, a.right.obs]),
                np.stack([a.left.actions, a.right.actions]),
            )
        score = self._score(pairs, pool) if self.labeler.reads_score else None
        self.n_asked += n
        self.n_queries += n
        self._answer(asked, score)
        for a in asked:
            self.ahead.pop(a.query_id, None)

    def recent_steps(self, pool: Pool) -> int:
        """Newest steps of each environment that candidates come from."""
        return max(self.facts.n_steps, self.config.recent_steps // pool.n_envs)

    def has_pairs(self, pool: Pool) -> bool:
        """Whether there are two different clips to ask about."""
        return pool.n_clips(self.facts.n_steps, self.recent_steps(pool)) > 1

    def new_labels(self, cursor: int) -> list[StoredLabel]:
        """The store's rows after the cursor, up to the first on a query that is yet to come again."""
        labels = self.store.labels_after(cursor)
        return list(takewhile(lambda label: label.query_id not in self.ahead, labels))

    def _is_as_before(self, asked: Sequence[Asked]) -> bool:
        """Whether queries that come again are about the same clips, as they are where a run is resumed exactly."""
        ids = {a.query_id: (a.left.clip_id, a.right.clip_id) for a in asked if a.query_id in self.ahead}
        return all(self.ahead[query_id] == clip_ids for query_id, clip_ids in ids.items())

    def _leave_ahead(self) -> int:
        """Let the answers that a killed run got count, since this one goes another way; returns how many they are."""
        answered = self._answered_ahead()
        self.n_asked += len(answered)
        self.n_queries += len(self.ahead)
        self.ahead.clear()
        return len(answered)

    def _answered_ahead(self) -> set[str]:
        if not self.ahead:
            return set()
        return {label.query_id for label in self.store.current_labels() if label.query_id in self.ahead}

    def unlabeled(self, n: int, pool: Pool) -> Unlabeled:
        """Pairs of recent behaviour that nobody is asked about."""
        pairs, n_steps = self._candidates(n, pool), self.facts.n_steps
        return Unlabeled(
            np.stack([pool.obs(side, n_steps) for side in pairs], axis=1),
            np.stack([pool.actions(side, n_steps) for side in pairs], axis=1),
        )

    def answer_again(self, asked: Sequence[Asked]) -> None:
        """Have queries answered that were asked before the run was stopped, by a labeler who sees clips alone."""
        self._answer(asked, None)

    def _score(self, pairs: tuple[Cuts, Cuts], pool: Pool) -> Score:
        """What a teacher is told of queries that are about to be asked."""
        n_steps = self.facts.n_steps
        recent = self.recent_steps(pool)
        return Score(
            env_rewards=np.stack([pool.env_rewards(side, n_steps) for side in pairs], axis=1),
            recent_returns=pool.recent_returns(n_steps, recent),
            n_answered=self.n_asked,
        )

    def _answer(self, asked: Sequence[Asked], score: Score | None) -> None:
        name, given = self.labeler.name, self._answered_ahead()
        if not self.labeler.reads_score:  # a teacher draws a batch as one, and says the same again
            asked = [a for a in asked if a.query_id not in given]
        for batch in self.labeler.answer(asked, score):
            labels = [
                Label(label_id=f"{name}:{x.query_id}", query_id=x.query_id, labeler=name, choice=x.choice)
                for x in batch
                if x.query_id not in given
            ]
            when_there_is_room(partial(self.store.add_labels, labels))

    def _pick(self, n: int, pool: Pool, *, fitted: bool) -> tuple[tuple[Cuts, Cuts], Chosen, str]:
        name = self.config.strategy if fitted else "uniform"  # B-Pref, too, begins uniformly
        strategy = STRATEGIES[name]
        n_candidates = n if strategy is uniform else n * self.config.candidate_factor
        left, right = self._candidates(n_candidates, pool)
        chosen = choose(strategy, self._numbers(left, right, pool), n, self.config.random_share, self.rng)
        return (left.take(chosen.index), right.take(chosen.index)), chosen, name

    def _candidates(self, n: int, pool: Pool) -> tuple[Cuts, Cuts]:
        """Pairs of clips that are not the same clip twice."""
        n_steps = self.facts.n_steps
        recent = self.recent_steps(pool)
        left = pool.sample(n, n_steps, self.rng, recent)
        right = pool.sample(n, n_steps, self.rng, recent)
        for _ in range(100):
            same = (left.envs == right.envs) & (left.starts == right.starts)
            if not same.any():
                return left, right
            again = pool.sample(int(same.sum()), n_steps, self.rng, recent)
            right.envs[same], right.starts[same] = again.envs, again.starts
        raise ValueError(
            f"expected two different clips of {n_steps} steps, found one alone in the {pool.n_steps} steps held of "
            "each environment; use shorter clips or longer rollouts"
        )

    def _numbers(self, left: Cuts, right: Cuts, pool: Pool) -> Candidates:
        """What strategies may read of the pairs; what none reads is never computed."""
        n_steps = self.facts.n_steps
        ages = (pool.position - np.minimum(left.starts, right.starts)) * pool.n_envs

        def clips(index: IndexArray) -> tuple[NDArray[Any], NDArray[Any]]:
            pairs = left.take(index), right.take(index)
            obs = np.stack([pool.obs(side, n_steps) for side in pairs], axis=1)
            return obs, np.stack([pool.actions(side, n_steps) for side in pairs], axis=1)

        @cache  # of all pairs in one pass: a network's last bits depend on how many it is given
        def logits() -> NDArray[np.float32]:
            return self.model.preference_logits(*clips(np.arange(len(left))))

        return Candidates(
            np.arange(len(left)),
            logits_of=lambda index: logits()[:, index],
            features_of=lambda index: self.model.features(*clips(index)),
            ages_of=lambda index: ages[index],
        )

    def _cut(self, pairs: tuple[Cuts, Cuts], pool: Pool, agent_step: int) -> list[Asked]:
        lefts, rights = (cut_clips(self.facts, side, pool, agent_step) for side in pairs)
        return [
            Asked(f"q{self.n_queries + i:06d}", left, right)
            for i, (left, right) in enumerate(zip(lefts, rights, strict=True))
        ]


def cut_clips(facts: ClipFacts, cuts: Cuts, pool: Pool, agent_step: int) -> list[Clip]:
    """The clips that these cuts mark in the pool, with all that lets them be drawn; no env reward is among it."""
    obs, actions = pool.obs(cuts, facts.n_steps), pool.actions(cuts, facts.n_steps)
    views = pool.views(cuts, facts.n_steps)
    episodes, starts = pool.episode_of(cuts)
    ages = (pool.position - cuts.starts) * pool.n_envs
    return [
        Clip(
            obs=obs[i],
            actions=actions[i],
            view=None if views is None else facts.pack_view(views[i]),
            n_stack=facts.n_stack,
            frame_rate=facts.frame_rate,
            env_index=int(cuts.envs[i]),
            episode=int(episodes[i]),
            start_step=int(starts[i]),
            agent_step=int(agent_step - ages[i]),
        )
        for i in range(len(cuts))
    ]
