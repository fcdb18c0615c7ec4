"""The algorithm on one page: collect, ask, fit, as in Christiano et al. 2017, section 2.

PPO drives: whenever it has collected a rollout, and before it learns from it, `PreferenceLoop.after_rollout` is called
and gives the rollout its rewards. This file knows order and budgets; no SQL, no pictures, no networks, no names of
worlds.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO

from prefrl.answers import Answers
from prefrl.asking import Asker
from prefrl.episodes import EpisodeReturns
from prefrl.errors import UserError
from prefrl.fit import FitReport, Fitter
from prefrl.guard import Guard
from prefrl.queue import PeopleQueue
from prefrl.recall import recall
from prefrl.recorder import Recorder
from prefrl.schedules import Schedule, labels_due
from prefrl.scoring import score_rollout
from prefrl.stopwatch import Stopwatch


@dataclass(frozen=True, slots=True)
class LabelBudget:
    """How many labels there are, and when they are asked."""

    schedule: Schedule
    total_labels: int
    initial_labels: int
    """Asked about the untrained policy."""
    window_steps: float
    """Agent steps within which all are asked."""
    hyperbolic_steps: float
    round_steps: int
    """Agent steps between two rounds."""
    end_steps: int
    """Agent steps at the end of the last rollout."""
    first_round_steps: int = 0
    """Agent steps before the first round where a labeler answers at once."""

    def due(self, steps: int) -> int:
        """Labels that should have been asked after this many agent steps."""
        return labels_due(
            self.schedule,
            steps,
            total_labels=self.total_labels,
            initial_labels=self.initial_labels,
            window_steps=self.window_steps,
            hyperbolic_steps=self.hyperbolic_steps,
        )

    def is_last_round(self, steps: int) -> bool:
        """Whether the run ends before the round that would come after one at these steps."""
        return steps + self.round_steps > self.end_steps


class PreferenceLoop:
    """Collect, ask, fit; the agent learns in between."""

    def __init__(
        self,
        recorder: Recorder,
        guard: Guard,
        asker: Asker,
        answers: Answers,
        fitter: Fitter,
        budget: LabelBudget,
        watch: Stopwatch,
        queue: PeopleQueue | None = None,
        fit_share: float = 1.0,
    ) -> None:
        self.recorder = recorder
        self.guard = guard
        self.asker = asker
        self.answers = answers
        self.fitter = fitter
        self.budget = budget
        self.watch = watch
        self.queue = queue
        """None where a labeler answers at once."""
        self.fit_share = fit_share
        """Most of the training's time that goes into fitting."""
        self.episodes = EpisodeReturns(recorder.num_envs)
        self.n_rounds = 0
        self.next_round_at = budget.first_round_steps
        self.next_fit_at = 0.0
        """On the stopwatch; before it people's answers wait for the next fit."""
        self.must_fit = False
        """Whether there are answers that no fit has seen."""
        self.n_learned = 0
        """Labels that the last fit knew of."""
        self.n_taken_back = 0
        """Fits whose model could not be learned from."""
        self.last_fit: FitReport | None = None
        self.disagreement = 0.0
        """Mean standard deviation of the members' rewards on the last rollout."""
        self.agent: PPO

    def after_rollout(self, n_steps: int) -> NDArray[np.float32] | None:
        """PPO has collected `n_steps` of every environment; give it their learned reward, (n_steps, N).

        None while nobody has taught anything: nothing is better than anything else, and there is nothing to learn.
        """
        # Collect: the recorder has written the rollout into the pool.
        steps = self.agent.num_timesteps
        if (self.queue is not None or steps >= self.next_round_at) and self._can_ask(steps):
            self.next_round_at = steps + self.budget.round_steps
            if self.queue is not None:
                self.take_in()  # what people have answered is not owed any more
            self._ask(steps)
            self.take_in()
            self._fit()
            self.n_rounds += 1
        elif not self.n_rounds:
            self._fit()  # to labels that another run has left: they need not wait for the first question
        return self._reward(n_steps)

    def is_starved(self) -> bool:
        """Whether the agent should wait for people: it is further ahead of their answers than it may be."""
        if self.queue is None or not self.n_rounds:
            return False
        if not self._has_pairs() and not self.asker.store.waiting():
            return False  # resumed: nothing can be asked before the agent has acted again
        return self.queue.is_starved(self._owed(self.agent.num_timesteps), is_untaught=self.fitter.n_fits == 0)

    def serve_people(self) -> None:
        """What a round does for people, without the agent moving on: take their answers in, keep the queue filled."""
        self.take_in()
        if self._has_pairs():
            self._ask(self.agent.num_timesteps)

    def learn_last_answers(self) -> int:
        """Learn from people's answers that came after the last rollout, for which no fit has been; how many they are.

        The agent has ended its training by then: what it was trained on did not know of them. 0 also where nothing is
        learned: from skips alone, or by a fit that is taken back, which says so itself.
        """
        if self.queue is None:
            return 0
        self.take_in()
        n_late, n_fits = self.answers.n_labels - self.n_learned, self.fitter.n_fits
        self.next_fit_at = 0.0
        self._fit()
        self.watch.switch(None)
        return max(0, n_late) if self.fitter.n_fits > n_fits else 0

    def _has_pairs(self) -> bool:
        return self.recorder.has_pool and self.asker.has_pairs(self.recorder.pool)

    def take_in(self) -> None:
        """Take in the labels that the store has and this process has not seen."""
        new_labels = self.asker.new_labels(self.answers.cursor)
        unknown = [x.query_id for x in new_labels if not self.answers.knows(x.query_id)]
        if unknown:
            recall(unknown, self.asker.store, self.asker.files, self.answers)
        self.must_fit |= self.answers.take_in(new_labels)

    def _owed(self, steps: int) -> int:
        """Answers of people that are due and have not come."""
        return self._due(steps) - self.answers.n_labels

    def _due(self, steps: int) -> int:
        # Rounds that waited for a clip may have moved the last one to before the end of the window.
        if self.queue is None and self.budget.is_last_round(steps):
            return self.budget.total_labels
        # The first rollout is the untrained policy's: only the first batch is due, however long the rollout was.
        return self.budget.due(steps) if self.n_rounds else self.budget.initial_labels

    def _can_ask(self, steps: int) -> bool:
        """Whether two clips can be cut; while episodes are too short for them, the round waits for the next rollout."""
        pool, clip_steps = self.recorder.pool, self.asker.facts.n_steps
        if self.asker.has_pairs(pool):
            return True
        # Rollouts may be shorter than a clip: the first of them tell nothing of how long episodes last.
        is_late = steps >= self.budget.window_steps and pool.position > clip_steps
        if (is_late or steps >= self.budget.end_steps) and self.asker.n_asked < self.budget.total_labels:
            raise UserError(
                f"expected episodes that last a clip of {clip_steps} steps, got fewer than two such clips in {steps} "
                "steps; lower --clip-seconds or --clips.min-clip-steps"
            )
        return False

    def _ask(self, steps: int) -> None:
        self.watch.switch("query")
        if self.queue is None:
            n = self._due(steps) - self.asker.n_asked
        else:
            left = self.budget.total_labels - self.answers.n_labels
            n = self.queue.room(self._owed(steps), left, steps)
        if n > 0:
            self.asker.ask(
                n,
                self.recorder.pool,
                self.answers,
                agent_step=steps,
                round_number=self.n_rounds,
                fitted=self.fitter.n_fits > 0,
            )

    def _fit(self) -> None:
        self.watch.switch("fit")
        if self.must_fit and not self._may_fit():
            return
        self.n_learned = self.answers.n_labels
        answered = self.answers.answered(self.fitter.config.last_labels)
        if not self.must_fit or answered is None:
            return
        self.must_fit = False
        if (answered.prob_left == 0.5).all():  # a reward fitted to ties alone would be noise, scaled up
            warnings.warn(
                f"all {len(answered.prob_left)} answers so far are ties: nothing can be learned from them; ask for "
                "longer clips, or a labeler who sees a difference",
                stacklevel=2,
            )
            return
        begin = self.watch.total()
        n_unlabeled = round(self.fitter.config.pseudo_labels * len(answered.prob_left)) if self.fitter.n_fits else 0
        unlabeled = self.asker.unlabeled(n_unlabeled, self.recorder.pool) if n_unlabeled else None
        self._take_fit(self.fitter.fit(answered, unlabeled))
        self.next_fit_at = begin + (self.watch.total() - begin) / self.fit_share

    def _take_fit(self, fit: FitReport) -> None:
        if fit.sickness:
            self.n_taken_back += 1
            last = "the one before stays" if self.fitter.n_fits else "the agent waits for one that can be learned from"
            warnings.warn(
                f"the reward model fitted to {fit.n_labels} answers was taken back, as {fit.sickness}; {last}",
                stacklevel=2,
            )
            return
        if fit.doubt and not (self.last_fit is not None and self.last_fit.doubt):  # said once as long as it holds
            warnings.warn(fit.doubt, stacklevel=2)
        self.last_fit = fit

    def _may_fit(self) -> bool:
        """Whether the last fit is so long ago that fitting stays within its share of the time.

        A teacher's rounds are few and far between; people's answers may come faster than they could be fitted.
        """
        return self.queue is None or self.watch.total() >= self.next_fit_at

    def _reward(self, n_steps: int) -> NDArray[np.float32] | None:
        self.watch.switch("score")
        if not self.fitter.n_fits:
            self._count(np.zeros((n_steps, self.recorder.num_envs), np.float32))
            return None
        rewards, self.disagreement = score_rollout(self.fitter.model, self.recorder.pool, n_steps)
        return self._count(rewards)

    def _count(self, rewards: NDArray[np.float32]) -> NDArray[np.float32]:
        self.episodes.add_rollout(rewards, self.guard.take_ends(), self.fitter.n_fits)
        return rewards
