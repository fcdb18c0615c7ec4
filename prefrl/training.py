"""One run from its first step to its result: set up, train, evaluate, write the folder."""

from __future__ import annotations

import shlex
import shutil
import time
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from torch.distributions import Distribution

from labeling.clip import ClipFiles
from labeling.imports import copy_labels, env_id_of
from labeling.plain_files import check_folder
from labeling.store import Store
from prefrl import build, checks, configfile, reproduction, worlds
from prefrl.agent_state import log_state, put_log
from prefrl.checkpoint import Checkpoint, Mark, newest_whole, read_checkpoint, set_aside_after, steps_of
from prefrl.config import Config
from prefrl.errors import UserError
from prefrl.families import PEOPLE
from prefrl.finite import check_finite
from prefrl.foreign_config import check_module
from prefrl.gallery import write_gallery
from prefrl.labelers import LabelFunction, check_function, function_name
from prefrl.labels_check import clip_check
from prefrl.learn import RolloutHooks, export_policy
from prefrl.loop import PreferenceLoop
from prefrl.patience import StoppedWaitingError, stoppable
from prefrl.people import People, check_people
from prefrl.progress import ProgressView, Status
from prefrl.result import summarize
from prefrl.rollout_log import make_logger, record_rollout
from prefrl.rundir import RunDir, write_json, write_text
from prefrl.saving import Saver
from prefrl.state import put_state, take_state
from prefrl.stop_signals import stop_signals
from prefrl.stopwatch import Stopwatch
from prefrl.trainer_lock import only_trainer


class Interrupted(Exception):  # noqa: N818  # no error: the user asked for it
    """Ctrl-C or SIGTERM came; the run can go on, from where it was unless `not_saved` says why not."""

    def __init__(self, run: Path, not_saved: str) -> None:
        super().__init__(str(run))
        self.not_saved = not_saved


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished run gives to a caller in Python."""

    run: RunDir
    summary: dict[str, Any]
    """What result.json says."""


def train(config: Config, *, labeler: LabelFunction | None = None, resume: bool = False) -> Result:
    """Train an agent as the config says, and write its run folder.

    Args:
        config: Every setting.
        labeler: A function of your own that answers instead of `config.labeler`: it gets the left and the right clip,
            and returns a `Choice`. It never sees the env reward.
        resume: Go on from the newest checkpoint of the run folder instead of making a new one.

    Raises:
        UserError: Bad input; nothing has been written.
        WorldFault: The environment broke while running.
        LearnerFault: Weights or rewards came to numbers that are not finite.
        Interrupted: The user stopped the run, which is saved unless it says why not.
    """
    with ExitStack() as stack:
        return _Training(config, labeler, resume, stack).run_to_end()


def default_run_dir(config: Config) -> str:
    """Where a run goes when the user names no folder; `ENV__REWARD__SEED__TIME`, as CleanRL names its runs."""
    env = config.env_id.replace("/", "-").replace(":", "-")
    return f"runs/{env}__{config.reward}__{config.seed}__{int(time.time())}"


class _Training:
    """A run in progress."""

    def __init__(self, config: Config, labeler: LabelFunction | None, resume: bool, stack: ExitStack) -> None:
        if labeler is not None:  # so that nobody else goes on answering when the run is resumed
            check_function(labeler)
            config = replace(config, labeler=function_name(labeler))
        checks.check_names(config, own_labeler=labeler is not None)
        if not config.run_dir:
            config = replace(config, run_dir=default_run_dir(config))
        torch.set_num_threads(config.torch_threads)
        self.validates = Distribution._validate_args
        stack.callback(Distribution.set_default_validate_args, self.validates)
        self.config = config
        self.run = RunDir(Path(config.run_dir))
        check_module(config.env_id, self.run.config)  # as every reader of the run will
        self.seeds = build.Seeds.of(config.seed)
        answering = build.make_labeler(config, labeler, self.seeds.labeler)
        self.with_labels = config.reward == "preferences"
        self.views = self.with_labels and build.wants_views(config, answering)
        if resume:
            stack.enter_context(only_trainer(self.run.must_exist().trainer_lock))
            checks.check_resumable(configfile.load(self.run.config, to_train=True), config)
        self.world = worlds.make_world(config, n_envs=config.world.n_envs, seed=self.seeds.policy, views=self.views)
        self.closing = stack.enter_context(ExitStack())
        self.closing.callback(self.world.venv.close)
        clip_steps = worlds.clip_steps(config, self.world)
        if self.with_labels:
            build.check_memory(config, self.world, clip_steps)
            build.check_model_memory(config, self.world)
        if config.labeler in PEOPLE and self.with_labels:
            check_people(config, self.world)
        if not resume:
            self.run.create()
            stack.enter_context(only_trainer(self.run.trainer_lock))
        write_text(self.run.config, configfile.dump(config))
        self.watch = Stopwatch()
        self.loop: PreferenceLoop | None = None
        self.agent: PPO
        if self.with_labels:
            store = stack.enter_context(Store(self.run.labels))
            self.loop = build.build_loop(config, self.world, store, self.run, answering, self.watch)
            self.agent = self.loop.agent
        else:
            self.agent = build.build_agent(config, self.world, self.seeds)
        self.agent.set_logger(Logger(None, []))  # PPO's numbers of a resumed run wait there for their row
        self.people: People | None = None
        self.stopping = False
        self.resumed = resume
        self.saver = Saver(self.run.checkpoints, config.checkpoint_steps, self._take_state)
        if resume:
            self._resume_checked()
        elif config.labels_from and self.loop is not None:
            self._begin_with_labels(Path(config.labels_from), self.loop, clip_steps)
        self.start_steps = self.agent.num_timesteps

    def _begin_with_labels(self, source: Path, loop: PreferenceLoop, clip_steps: int) -> None:
        """Take in the labels of another run or an export; where that fails, the new run's folder goes again."""
        try:
            check_folder(source)
            env_id = env_id_of(source)
            if env_id not in (None, self.config.env_id):
                raise UserError(f"expected --labels-from a run of {self.config.env_id}, got one of {env_id}")
            copy_labels(source, loop.asker.store, ClipFiles(self.run.clips), clip_check(self.world, clip_steps))
        except BaseException:  # whatever it was: without its labels the run could neither go on nor begin again
            loop.asker.store.close()
            shutil.rmtree(self.run.path)
            raise
        loop.take_in()

    def run_to_end(self) -> Result:
        """Train, then write everything that a finished run holds."""
        with reproduction.kept(self.config, self.run.path, self.views):
            return self._run_to_end()

    def _run_to_end(self) -> Result:
        with ProgressView(self.config.total_timesteps, self.config.progress, self.start_steps) as self.progress:
            self._learn_with_people()
            self._learn_last_answers()
        if self.agent.num_timesteps > self.start_steps:
            self._checkpoint()
        export_policy(self.agent, self.config.ppo, self.run.policy)
        if self.loop is not None:
            tensors = {k: v.contiguous() for k, v in self.loop.fitter.model.state_dict().items()}
            save_file(tensors, self.run.reward)
            if self.agent.num_timesteps > self.start_steps:  # else there is nothing new to show
                write_gallery(
                    self.run.gallery,
                    ClipFiles(self.run.clips),
                    self.loop,
                    self.seeds.evaluation,
                    with_clips=self.world.drawer is not None,
                )
        self.closing.close()  # of some games there can be but one at a time, and evaluation makes its own
        summary = summarize(self.config, self.run, self.agent, self.loop, self.watch.seconds)
        write_json(self.run.result, summary)
        return Result(self.run, summary)

    def _learn_with_people(self) -> None:
        if self.loop is None or self.loop.queue is None:
            self._learn()
            return
        self.people = People(self.config, self.run, self.loop, self.progress.say)
        self.people.tell("training")
        self.people.open()
        state = "stopped"
        try:
            self._learn()
            state = "ended"
        finally:
            self.people.close(state)

    def _learn_last_answers(self) -> None:
        """Answers that came when the agent had learned for the last time are in the reward model, and it is said."""
        n_late = self.loop.learn_last_answers() if self.loop is not None else 0
        if n_late:
            came = "1 answer came" if n_late == 1 else f"{n_late} answers came"
            again = f"prefrl train --run-dir {shlex.quote(str(self.run.path))} --resume --total-timesteps"
            self.progress.say(
                f"prefrl: {came} after the agent's last rollout: the reward model has learned from them, the agent has "
                f"not; to let it, train on: {again} {2 * self.agent.num_timesteps}"
            )

    def _learn(self) -> None:
        remaining = self.config.total_timesteps - self.agent.num_timesteps
        if remaining <= 0:
            return
        waiting = log_state(self.agent)
        self.agent.set_logger(make_logger(self.run, self.start_steps))
        put_log(self.agent, waiting)
        hooks = RolloutHooks(self._before_rollout, self._after_rollout)
        try:
            with stop_signals(self._stop), stoppable(lambda: self.stopping):
                self.agent.learn(remaining, callback=hooks, log_interval=1, reset_num_timesteps=not self.resumed)
        except StoppedWaitingError as e:
            raise Interrupted(self.run.path, self._in_midst_of_a_rollout()) from e
        self.watch.switch(None)

    def _in_midst_of_a_rollout(self) -> str:
        """Why nothing is saved where a full disk was waited for, and from where the run can go on."""
        place = newest_whole(self.run.checkpoints)
        last = "there is no checkpoint yet" if place is None else f"the last checkpoint is of {steps_of(place):,} steps"
        return f"the disk is full, and what is asked and answered must be stored first; {last}"

    def _before_rollout(self) -> None:
        """PPO's parameters are at rest: the moment to save, or to stop.

        Saved before the first step, every `checkpoint_steps`, and now and then where answers have come.
        """
        if self.people is not None:
            self.people.wait(lambda: self.stopping)
            self.people.tell("training")
            self.people.remind()
        self.watch.switch("save")
        Distribution.set_default_validate_args(self.validates)
        check_finite(self.agent.policy.state_dict(), f"after {self.agent.num_timesteps:,} steps")
        steps = self.agent.num_timesteps
        if self.stopping or self.saver.is_due(steps, self._n_labels(), people=self.people is not None):
            self._checkpoint()
        if self.stopping:
            raise Interrupted(self.run.path, self.saver.trouble)
        self.watch.switch("collect")

    def _after_rollout(self) -> None:
        """The rollout has its rewards; PPO is about to learn from it."""
        loop, config = self.loop, self.config
        env_return = record_rollout(self.agent, loop, self.watch.total())
        fit = loop.last_fit if loop is not None else None
        self.progress.update(
            Status(
                steps=self.agent.num_timesteps,
                labels=self._n_labels(),
                total_labels=config.total_labels if loop is not None else 0,
                env_return=env_return,
                val_accuracy=fit.val_accuracy if fit is not None else None,
            )
        )
        # PPO makes a distribution for each minibatch: looking its numbers over takes an eighth of an update, changes no
        # bit, and finds nothing that is not found before the policy acts again.
        Distribution.set_default_validate_args(False)
        self.watch.switch("learn")

    def _checkpoint(self) -> None:
        self.saver.save(self.agent.num_timesteps, self._n_labels(), self._mark())

    def _take_state(self) -> Checkpoint:
        state = take_state(self.agent, self.loop, self.watch, self.world.venv)
        check_finite(state.tensors, f"after {self.agent.num_timesteps:,} steps")
        return state

    def _mark(self) -> Mark | None:
        """How good the agent is by what it is trained on; None before an episode has ended under this reward."""
        if self.loop is None:
            recent = [e["r"] for e in self.agent.ep_info_buffer or ()]
            return Mark(float(np.mean(recent)), "env reward") if recent else None
        mean = self.loop.episodes.mean_of_fit()
        return None if mean is None else Mark(mean, f"reward model, fit {self.loop.fitter.n_fits}")

    def _n_labels(self) -> int:
        return self.loop.answers.n_labels if self.loop is not None else 0

    def _resume_checked(self) -> None:
        try:
            self._resume()
        except Exception as e:  # whatever a checkpoint of somebody else's may lead to
            if isinstance(e, UserError) or type(e).__module__.startswith("labeling."):
                raise
            first = (str(e).splitlines() or [""])[0][:200]
            raise UserError(f"expected a checkpoint of this run under {self.run.checkpoints}, got: {first}") from e
        check_finite(self.agent.policy.state_dict(), "in the checkpoint")

    def _resume(self) -> None:
        place = newest_whole(self.run.checkpoints)
        if place is None:
            raise UserError(
                f"expected a whole checkpoint under {self.run.checkpoints} to go on from, found none; start the run "
                "anew in another folder"
            )
        checkpoint, files = read_checkpoint(place), ClipFiles(self.run.clips)
        if not put_state(checkpoint, self.agent, self.loop, self.watch, self.world.venv, files):
            # New episodes, and not those that the run began with.
            self.world.venv.seed(self.seeds.policy + self.agent.num_timesteps)
        damaged = set_aside_after(place)
        if damaged:
            warnings.warn(
                f"the run goes on from {self.agent.num_timesteps:,} steps, as the checkpoints after them are damaged; "
                f"they are set aside as {', '.join(path.name for path in damaged)} in {self.run.checkpoints}",
                stacklevel=2,
            )
        self.saver.go_on(self.agent.num_timesteps, self._n_labels())

    def _stop(self) -> None:
        self.stopping = True
