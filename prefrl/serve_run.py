"""`prefrl serve RUN`: the web page on which people label for a run."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import tyro

from labeling.agent_status import read_status
from labeling.people_names import check_person
from labeling.pictures import Pictures
from labeling.store import Store
from prefrl import configfile
from prefrl.arguments import parse
from prefrl.config import Config
from prefrl.drawing_process import DrawingProcess
from prefrl.errors import UserError
from prefrl.families import names_of
from prefrl.label_run import login_name
from prefrl.metrics_file import read_metrics
from prefrl.repeated import gather
from prefrl.rundir import RunDir

OPERATOR = "operator"
BESIDE_TRAINING = "PREFRL_BESIDE_TRAINING"
"""Environment variable: set, the page ends when its standard input does, and so never outlives a training."""

CURVES = {
    "Learned reward per episode": "rollout/ep_learned_rew_mean",
    "Env return (never seen by the agent)": "rollout/ep_env_rew_mean",
    "Held-out accuracy of the reward model": "reward_model/val_accuracy",
}
"""Curves of the progress page, and their columns in metrics.csv."""


@dataclass(frozen=True)
class ServeArgs:
    """Serve the web page on which people label for a run, beside its training or before it goes on."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    host: str | None = None
    """Network interface; 127.0.0.1 is this machine alone, 0.0.0.0 all of its network. Default: the run's."""
    port: int | None = None
    """Port; 0 takes any that is free. Default: the run's."""
    invite: tuple[str, ...] = ()
    """Names of people who get a link of their own. Default: the run's, or your login name."""
    allowed_host: tuple[str, ...] = ()
    """Names by which browsers may reach the page, where that is not the host itself."""
    public_url: str | None = None
    """Where a proxy or a tunnel shows the page, https://lab.example; the links begin with it. Default: the run's."""


def main(args: list[str]) -> int:
    """Serve until Ctrl-C."""
    options = parse(ServeArgs, "prefrl serve", gather(args))
    run = RunDir(options.run).must_exist()
    config = _with_options(configfile.load(run.config), options)
    if config.people.public_url and options.public_url is None and not os.environ.get(BESIDE_TRAINING):
        _say(f"The links lead to {config.people.public_url}, as {run.config} says; --public-url '' for plain ones")
    serve_run(run, config)
    return 0


def check_page(config: Config) -> None:
    """Make sure that the page could be served, before anything is written.

    Raises:
        UserError: A package is missing.
        ValueError: Of the page's own: the port is taken, there is no such host, a name is no person's.
    """
    web = _web()
    _names(config)
    web.check_hosts(_settings(web, config))
    web.listen(config.people.host, config.people.port).close()


def serve_run(run: RunDir, config: Config) -> None:
    """Serve the page of a run, with a drawing worker beside it, until the process is told to end."""
    web = _web()
    settings, names = _settings(web, config), _names(config)
    listener = web.listen(settings.host, settings.port)  # first of all: a second page must not make tokens
    with listener:
        with Store(run.labels) as store:
            tokens = web.invite(store, names) | web.invite(store, [OPERATOR], is_operator=True)
        with DrawingProcess(run.path, "video", run.drawing_log) as drawing:
            web.serve(
                run.labels,
                Pictures(run.drawn),
                settings,
                tokens=tokens,
                read_status=lambda: read_status(run.status),
                said=_say,
                worker_trouble=drawing.trouble,
                curves=lambda: _curves(run),
                listener=listener,
                stop=_end_of_training() if os.environ.get(BESIDE_TRAINING) else None,
            )


def _end_of_training() -> threading.Event:
    """Set when standard input is closed, which happens however the training ends."""
    stop = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    return stop


def _names(config: Config) -> tuple[str, ...]:
    """Who gets a link to label.

    Raises:
        UserError: Somebody has the operator's name.
        StoreError: Somebody has no person's name.
    """
    names = names_of(config.people.invite) or (config.people.name or login_name(),)
    if OPERATOR in names:
        raise UserError(f"expected other names than {OPERATOR}, who has a link of their own; choose another --invite")
    for name in names:
        check_person(name)
    return names


def _settings(web: ModuleType, config: Config) -> Any:  # WebSettings, of the package that may be missing
    people = config.people
    return web.WebSettings(
        host=people.host,
        port=people.port,
        allowed_hosts=people.allowed_hosts,
        public_url=people.public_url,
        task=people.task,
        title=config.env_id,
        total_labels=config.total_labels,
        repeat_share=people.repeat_share,
        lease_seconds=people.lease_seconds,
    )


def _web() -> ModuleType:
    try:
        return importlib.import_module("labeling.web")
    except ModuleNotFoundError as e:
        raise UserError(
            f"expected the package {e.name} for the web page, found none; pip install 'prefrl[web]', or label in the "
            "window"
        ) from e


def _with_options(config: Config, options: ServeArgs) -> Config:
    people = config.people
    people = replace(
        people,
        host=people.host if options.host is None else options.host,
        port=people.port if options.port is None else options.port,
        invite=options.invite or people.invite,
        allowed_hosts=options.allowed_host or people.allowed_hosts,
        public_url=people.public_url if options.public_url is None else options.public_url,
    )
    return replace(config, people=people)


def _curves(run: RunDir) -> dict[str, list[tuple[float, float]]]:
    if not run.metrics.is_file():
        return {}
    columns = read_metrics(run.metrics)
    steps = columns.get("time/total_timesteps", [])
    return {
        title: [(s, y) for s, y in zip(steps, columns[name], strict=True) if s is not None and y is not None]
        for title, name in CURVES.items()
        if name in columns
    }


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
