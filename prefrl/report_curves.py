"""The report's curves: how the agent learned, and how far its reward model can be trusted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from prefrl import plots
from prefrl.errors import UserError
from prefrl.markup import Markup, element
from prefrl.report_data import ReportData
from prefrl.report_layout import empty, section
from prefrl.report_words import percent, plural, reading


def learning(data: ReportData) -> Markup:
    """Env return over steps and, where there were labels, over labels."""
    metrics = data.metrics
    steps, labels = metrics.get("time/total_timesteps", ()), metrics.get("prefs/labels_total", ())
    evaluated = metrics.get("eval/mean_reward", ())
    training = metrics.get("rollout/ep_env_rew_mean", ())
    # Evaluations on the way cost time, so most runs have none: training episodes say it almost as well.
    returns = evaluated if any(value is not None for value in evaluated) else training
    baselines = {
        "random_return": reading(data.result, "random_return"),
        "score_return": data.score_return,
    }
    by_steps = _plot(
        "Env return while learning",
        lambda: plots.env_return_over_steps(steps, evaluated, training=training, **baselines),
        steps,
        evaluated,
        training,
    )
    figures = [by_steps]
    if data.result.get("reward") != "score":
        figures.append(
            _plot(
                "Env return by answers given",
                lambda: plots.env_return_over_labels(labels, returns, **baselines),
                labels,
                returns,
            )
        )
    return section("Learning", element("div", *figures, class_="plots"))


def reward_model(data: ReportData) -> Markup | None:
    """Accuracy, loss, and whether the learned return goes with the env return."""
    if data.result.get("reward") == "score":
        return None
    metrics, steps = data.metrics, data.metrics.get("time/total_timesteps", ())
    accuracy = [metrics.get(f"reward_model/{name}", ()) for name in ("accuracy", "val_accuracy")]
    loss = [metrics.get(f"reward_model/{name}", ()) for name in ("loss", "val_loss")]
    figures = [
        _plot(
            "Answers predicted",
            lambda: plots.reward_model_accuracy(steps, *accuracy),
            steps,
            *accuracy,
        ),
        _plot("Reward model loss", lambda: plots.reward_model_loss(steps, *loss), steps, *loss),
    ]
    learned, env = data.learned_vs_env or ((), ())
    figures.append(
        _plot(
            "Learned against env return",
            lambda: plots.learned_against_env(learned, env),
            list(env),
            list(learned),
        )
    )
    if words := _agreement_words(data):
        figures.append(element("p", words))
    grid = element("div", *figures, class_="plots")
    return section("Reward model", element("p", _reward_model_words(data)), grid)


def _plot(name: str, draw: Callable[[], str], x: Sequence[float | None], *ys: Sequence[float | None]) -> Markup:
    """The drawn figure, or words where its columns hold no point."""
    if not any(len(plots.measured(x, y)[0]) for y in ys):
        return empty(f"{name}: not measured in this run.")
    try:
        svg = draw()
    except UserError as error:  # no matplotlib: the rest of the report is still worth having
        return empty(f"{name}: {error}")
    # HTML knows SVG without its namespace, and so the page names no address at all.
    return element("figure", Markup(re.sub(r' xmlns="[^"]*"', "", svg)), class_="plot")


def _reward_model_words(data: ReportData) -> str:
    held_out = reading(data.result, "reward_model", "val_accuracy")
    own = reading(data.result, "reward_model", "train_accuracy")
    members = reading(data.result, "reward_model", "members")
    words = "" if members is None else f"{plural(members, 'network')} fitted to the answers. "
    if held_out is None:
        words += "Accuracy on held-out answers: not measured"
    else:
        words += f"Of the answers held out from it, the model predicts {percent(held_out)}"
    words += "" if own is None else f"; of those it was fitted to, {percent(own)}"
    return words + ". A coin flip gets 50%."


def _agreement_words(data: ReportData) -> str:
    """What the scatter of learned against env returns says, and what it does not."""
    if data.learned_vs_env is None:
        return ""
    r = plots.correlation(*data.learned_vs_env)
    n_clips = int(data.learned_vs_env[0].size)
    if r is None:
        words = f"Over {plural(n_clips, 'clip')} the correlation is not defined: one side is flat."
    else:
        words = f"Over {plural(n_clips, 'clip')} the two correlate at r = {r:.2f}."
    return (
        f"{words} The agent is trained to raise the learned return alone. Where that rises and the "
        "env return does not, either people want something else than the score counts, or the "
        "agent is exploiting an error of the model."
    )
