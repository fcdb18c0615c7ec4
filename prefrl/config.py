"""Every setting of a run, each with the sentence that `--help` shows; frozen, and written whole into the run folder.

Sources in brackets: [DRLHP] Christiano et al. 2017 (arXiv 1706.03741), [Ibarz] Ibarz et al. 2018 (arXiv 1811.06521),
[B-Pref] Lee et al. 2021 (arXiv 2111.03026), [SURF] Park et al. 2022 (arXiv 2203.10050), [Ash] Ash and Adams 2020 (arXiv
1910.08475). This file imports nothing heavy, so that `--help` stays quick; names that choose a function (strategy,
schedule, teacher) are checked where the functions are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class WorldConfig:
    """The environment: what happens."""

    n_envs: Annotated[int, tyro.conf.arg(name="n-envs", aliases=("--num-envs", "--n-envs"))] = 8
    """Copies of the environment stepped together."""
    env_kwargs: Annotated[tuple[str, ...], tyro.conf.arg(aliases=("--env-kwargs",))] = ()
    """Arguments for the environment as key:value, values in JSON (ctrl_cost_weight:0)."""
    horizon: int = 1000
    """Steps after which an episode of a game of your own is cut, where the game itself names no limit."""
    frame_size: int = 84
    """Side of the square grey frames that an Atari agent sees, in pixels."""
    masks: Annotated[tuple[str, ...], tyro.conf.arg(aliases=("--mask",))] = ()
    """Areas blacked out for learner and people alike, as x,y,w,h in pixels of the game's own picture."""
    default_masks: bool = True
    """Black out the score areas known for the papers' seven Atari games [DRLHP appendix A]."""
    record_views: Literal["auto", "always", "never"] = "auto"
    """Keep what draws each step later; auto: not where that means rendering every step for a teacher."""
    own_process: bool = True
    """Run a game of your own in a process of its own, so that one that crashes or hangs ends no training (Linux)."""
    step_timeout: float = 60.0
    """Seconds after which a step of all copies of such a game is taken to hang; making it may take ten times that."""
    restarts: int = 3
    """How often the process of such a game is started again after a crash or a hang, before the run stops."""


@dataclass(frozen=True)
class ClipConfig:
    """The short stretches of behaviour that are compared."""

    clip_seconds: Annotated[float, tyro.conf.arg(aliases=("--clip-seconds",))] = 1.0
    """Length of a clip at the environment's real speed; [DRLHP appendix A] took 1.5 s for robots, 1.7 s for Atari."""
    min_clip_steps: int = 15
    """A clip has at least this many agent steps, however slow the environment [DRLHP appendix A: 15 to 60]."""
    max_clip_steps: int = 60
    """A clip has at most this many agent steps, however fast the environment [DRLHP appendix A: 15 to 60]."""
    memory_mib: Annotated[int, tyro.conf.arg(aliases=("--clip-memory",))] = 512
    """Memory for recent behaviour that clips are cut from, in MiB; allocated once."""


@dataclass(frozen=True)
class QueryConfig:
    """Which pairs of clips are asked about, and when."""

    strategy: str = "disagreement"
    """How pairs are picked: uniform; disagreement of the ensemble [DRLHP section 2.2.4]; entropy of its answer
    [B-Pref]; bald (mutual information); k_center or k_medoids (a varied batch of the half with the most
    disagreement); near_on_policy (the newest behaviour)."""
    candidate_factor: int = 10
    """Candidates drawn for each query that is asked [DRLHP section 2.2.4: 10]."""
    random_share: float = 0.1
    """Share of queries picked uniformly whatever the strategy, and logged so, to judge the strategy by later."""
    recent_steps: int = 40_000
    """Candidates come from this many most recent agent steps."""
    schedule: str = "constant"
    """When labels are asked: constant, hyperbolic (rate falls as c / (steps + c), [DRLHP appendix A])."""
    hyperbolic_steps: int = 2_000_000
    """The constant c of the hyperbolic schedule; [DRLHP appendix A] took 2e6 for robots, 5e6 for Atari."""
    initial_share: float = 0.25
    """Share of the labels asked about the untrained policy, before it learns at all [DRLHP appendix A.1: 25%]."""
    label_window: float = 0.4
    """All labels are asked within this share of the training steps: a reward that moves late costs return."""
    round_steps: int = 4096
    """Agent steps between two rounds of asking and fitting."""
    first_round_steps: int = 0
    """Agent steps before the first of a teacher's rounds, in which the agent does not learn; 0: the first rollout is
    asked about. Where all copies of a game begin alike, one clip of its beginning tells no more than another."""


@dataclass(frozen=True)
class RewardModelConfig:
    """The ensemble that learns the reward from labels, and how it is fitted."""

    members: int = 3
    """Networks in the ensemble [DRLHP section 2.2.3 and appendix A: 3]."""
    hidden: tuple[int, ...] = (64, 64)
    """Hidden units of the network on vector observations [DRLHP appendix A.1: 64, 64]."""
    dropout: float = 0.5
    """Dropout of the network on frames [DRLHP appendix A.2: 0.5]; the network on vectors has none."""
    pool_pixels: int = 1
    """Frames are averaged over squares of this side before the network on frames sees them (1: as they are)."""
    error_rate: float = 0.1
    """Share of answers taken to be uniformly random [DRLHP section 2.2.3: 0.1]."""
    pseudo_labels: float = 0.0
    """Unlabeled pairs that join a fit for every label, where the ensemble before it is sure of them [SURF: 4]."""
    pseudo_confidence: float = 0.99
    """Probability of one side from which the ensemble is sure of an unlabeled pair [SURF: 0.99]."""
    pseudo_weight: float = 1.0
    """Weight of an unlabeled pair beside a label [SURF: 1]."""
    warm_start: bool = True
    """Fit from the weights of the fit before; else from the initial weights, with initial_epochs."""
    shrink: float = 1.0
    """With warm_start: share of the weights of the fit before in those that a fit begins from, the rest the initial
    ones, so that mistakes learned by heart are forgotten [Ash section 4: shrink and perturb]; 1: all of them."""
    bootstrap: bool = True
    """Every member is fitted on its own bootstrap of the labels, and validated on the 1/e it never sees."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    batch_size: int = 64
    """Labels in one gradient step."""
    initial_epochs: int = 100
    """Most passes over the labels in the first fit."""
    epochs: int = 10
    """Most passes over the labels in every later fit, which starts from the weights of the one before."""
    min_batches: int = 0
    """Fewest gradient steps in one fit unless it stops early, so that few labels are passed over more often."""
    max_batches: int = 0
    """Most gradient steps in one fit, for networks that cost more than the policy's (Atari on a CPU); 0: no limit."""
    patience: int = 10
    """A fit stops when no member's validation loss has improved for this many passes; each keeps its best weights."""
    l2: float = 1e-4
    """First coefficient of the L2 penalty on the weights [Ibarz appendix A.3: 1e-4]."""
    l2_rate: float = 0.001
    """Relative change of the L2 coefficient per gradient step [Ibarz appendix A.3: 0.001]."""
    l2_low: float = 1.1
    """Below this ratio of validation to training loss the L2 coefficient shrinks [DRLHP section 2.2.3: 1.1]."""
    l2_high: float = 1.5
    """Above this ratio of validation to training loss the L2 coefficient grows [DRLHP section 2.2.3: 1.5]."""
    last_labels: int = 0
    """Fit on this many newest labels only [DRLHP appendix A.2: 3000 for Atari]; 0: on all."""
    reward_std: float = 1.0
    """Standard deviation of each member's reward over the labeled clips [DRLHP: 1 for robots, 0.05 for Atari]; of
    no matter to the agent where `ppo.normalize_learned` is on, as it is for robots."""


@dataclass(frozen=True)
class PPOConfig:
    """Stable-Baselines3's PPO, stock; see its documentation for each."""

    n_steps: int = 256
    """Steps of each copy of the environment in one rollout."""
    batch_size: int = 64
    """Minibatch size of the policy update."""
    n_epochs: int = 10
    """Passes over a rollout."""
    learning_rate: float = 3e-4
    """Adam's step size."""
    linear_decay: bool = False
    """Let learning rate and clip range fall linearly to zero over the training."""
    gamma: float = 0.99
    """Discount factor."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    clip_range: float = 0.2
    """Clipping of the policy ratio."""
    ent_coef: float = 0.0
    """Entropy bonus."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Gradient clipping."""
    normalize_obs: bool = True
    """Normalise vector observations by running statistics (folded into the saved policy); never frames."""
    normalize_score: bool = True
    """With --reward score: scale the env reward by a running standard deviation of its discounted return."""
    normalize_learned: bool = False
    """Scale the learned reward by a running standard deviation of its discounted return, as the score is; else the
    steps of clips have the deviation `reward_model.reward_std`, and the return what comes of it."""


@dataclass(frozen=True)
class TeacherConfig:
    """What synthetic teachers do wrong: each reads its own settings, and the oracle none."""

    beta: float = 3.75
    """stoc: how decided it is per standard deviation of clip returns; 3.75 errs on one random pair in ten."""
    mistake_rate: float = 0.1
    """mistake: share of decided answers that are turned round [B-Pref: 0.1]."""
    equal_share: float = 0.1
    """equal: returns closer than this share of the mean return of recent clips are EQUAL [B-Pref: 0.1]."""
    skip_share: float = 0.1
    """skip: pairs whose better return is below this share of the mean of recent clips are skipped [B-Pref: 0.1]."""
    gamma: float = 0.9
    """myopic, drift: how much less each step of a clip counts than the one after it [B-Pref: 0.9]."""
    lapse_rate: float = 0.1
    """lapse: share of answers that are guesses."""
    fatigue_answers: int = 2000
    """fatigue: answers after which all but 1/e of the answers are guesses."""
    drift_answers: int = 500
    """drift: answers after which it judges as myopic does, having begun as the oracle."""
    position_bias: float = 0.1
    """position_bias: share of answers that are LEFT whatever the clips."""
    reliabilities: tuple[float, ...] = (0.95, 0.9, 0.85, 0.7)
    """crowd: for each person the probability of answering as the oracle does; else it is the opposite."""


@dataclass(frozen=True)
class PeopleConfig:
    """People who label, in a window or on a web page."""

    task: Annotated[str, tyro.conf.arg(aliases=("--task",))] = ""
    """What the agent should learn to do, in a sentence; everybody who labels sees it."""
    answers_per_query: Annotated[int, tyro.conf.arg(aliases=("--answers-per-query",))] = 1
    """Ask this many different people about every pair."""
    queue_size: Annotated[int, tyro.conf.arg(aliases=("--queue-size",))] = 10
    """Most answers that are waited for at a time; pairs are asked as the label schedule says, within this bound."""
    ahead: int = 3
    """Pairs that wait even where people are ahead of the label schedule, so that nobody sits before an empty screen."""
    stale_steps: int = 100_000
    """A pair that nobody has answered is dropped for a fresher one once the agent has taken this many more steps."""
    when_starved: Annotated[Literal["pause", "continue"], tyro.conf.arg(aliases=("--when-starved",))] = "pause"
    """When answers lag behind the label schedule by more than the queue: pause and wait for people, or train on."""
    fit_share: float = 0.03
    """Most of the training's time that goes into fitting while people answer; the next fit waits until it stays so."""
    repeat_share: Annotated[float, tyro.conf.arg(aliases=("--repeat-share",))] = 0.05
    """Share of the answers that are silently asked for a second time, to see whether people agree with themselves."""
    lease_seconds: float = 120.0
    """How long a pair shown to one person is kept from the others."""
    name: Annotated[str, tyro.conf.arg(aliases=("--name",))] = ""
    """Name that labels given in the window get, or the first link to the page; default: the login name."""
    invite: Annotated[tuple[str, ...], tyro.conf.arg(aliases=("--invite",))] = ()
    """Names of people who get a link of their own to the page."""
    host: Annotated[str, tyro.conf.arg(aliases=("--host",))] = "127.0.0.1"
    """Network interface of the page; 127.0.0.1 is this machine alone, 0.0.0.0 all of its network."""
    port: Annotated[int, tyro.conf.arg(aliases=("--port",))] = 8765
    """Port of the page."""
    allowed_hosts: Annotated[tuple[str, ...], tyro.conf.arg(aliases=("--allowed-host",))] = ()
    """Names by which browsers may reach the page, where that is not the host itself."""
    public_url: Annotated[str, tyro.conf.arg(aliases=("--public-url",))] = ""
    """Where a proxy or a tunnel shows the page, https://lab.example; the links begin with it."""


@dataclass(frozen=True)
class EvalConfig:
    """How the policy is measured on the env reward, which it never learns from."""

    episodes: int = 20
    """Episodes of the final evaluation, and of the random policy it is compared with."""
    deterministic: bool = True
    """Act by the mode of the policy instead of sampling."""
    max_steps: int = 27_000
    """Longest episode that an evaluation plays, in agent steps (Atari: 108,000 frames, the field's custom)."""


@dataclass(frozen=True)
class Config:
    """Train an agent from preferences: it never sees the score."""

    env_id: Annotated[str, tyro.conf.arg(aliases=("--env",))]
    """What to train on: a Gymnasium id (HalfCheetah-v5, ALE/Pong-v5, my_game:MyGame-v0) or prefrl/Dot-v0."""
    labeler: str = "oracle"
    """Who answers: people in a window on this machine (window), people on a web page (web), or a synthetic teacher, by
    what is wrong with it: oracle (nothing), stoc, mistake, skip, equal, myopic [B-Pref], lapse, fatigue, drift,
    position_bias, crowd."""
    total_labels: int = 700
    """Answers to ask for in all."""
    total_timesteps: Annotated[int, tyro.conf.arg(aliases=("--n-timesteps", "-n"))] = 300_000
    """Agent steps to train for, all copies of the environment together."""
    labels_from: str = ""
    """Begin with the labels of another run (its folder), or of an export; they come beside the answers asked for."""
    seed: int = 0
    """The same seed gives the same bits on a CPU."""
    run_dir: Annotated[str, tyro.conf.arg(aliases=("-f",))] = ""
    """Folder of the run; must not exist. Default: runs/ENV__REWARD__SEED__TIME."""
    reward: Literal["preferences", "score"] = "preferences"
    """What PPO is trained on: the reward learned from preferences, or the env reward (the baseline)."""
    device: str = "auto"
    """cpu, cuda or auto: a GPU when there is one, for networks on frames and for the reward model."""
    torch_threads: int = 1
    """CPU threads of torch; small networks are fastest with 1."""
    checkpoint_steps: int = 100_000
    """Agent steps between checkpoints; one is also written at the end and on Ctrl-C."""
    progress: bool = True
    """Show a progress bar (on a terminal) or a line now and then (elsewhere)."""
    world: WorldConfig = field(default_factory=WorldConfig)
    clips: ClipConfig = field(default_factory=ClipConfig)
    queries: QueryConfig = field(default_factory=QueryConfig)
    reward_model: RewardModelConfig = field(default_factory=RewardModelConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    people: PeopleConfig = field(default_factory=PeopleConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
