"""The command line, `prefrl COMMAND`, generated from dataclasses.

Heavy packages are imported by the command that needs them, so that `--help` is quick.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import select
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from prefrl.arguments import parse
from prefrl.errors import EXIT_DAMAGED, LearnerFault, UserError, WorldFault

EXIT_OK, EXIT_FAULT, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130

_USAGE = """\
usage: prefrl COMMAND ...

Train game bots and robots from people's preferences instead of scores.

commands:
  train      train an agent; writes a run folder
  label      open the window in which you label for a run
  serve      serve the web page on which people label for a run
  labels     list, play back, export, import, check and recover a run's labels
  eval       measure a run's policy on the env reward
  watch      write a video of a run's policy
  report     write a run's report, one HTML page
  state-hash print hashes of what a run goes on from, to compare runs bit for bit
  bench      train a grid of agents from a suite file, and report on it
  check-env  say whether a game of your own can be trained, and what is missing
  new-env    begin a game of your own from a template
  doctor     say what this machine can do and what is missing

`prefrl COMMAND --help` shows what a command takes.
"""


@dataclass(frozen=True)
class EvalArgs:
    """Measure a run's policy on the env reward, over whole episodes."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    episodes: int = 20
    """Episodes to play."""
    json: bool = False
    """Print one JSON object instead of a sentence."""
    trust_pickle: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Load policy.zip by Stable-Baselines3's own loader, which unpickles what is in it: whoever made the file can then
    run any program on this machine as you. Needed only for networks other than prefrl's; for files of your own."""


@dataclass(frozen=True)
class WatchArgs:
    """Write a video of a run's policy, WebM, which browsers play."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    seconds: float = 30.0
    """Longest video, at the environment's real speed."""
    out: Path | None = None
    """Where to; default: video.webm in the run folder."""
    trust_pickle: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Load policy.zip by Stable-Baselines3's own loader, which unpickles what is in it: whoever made the file can then
    run any program on this machine as you. Needed only for networks other than prefrl's; for files of your own."""


@dataclass(frozen=True)
class ReportArgs:
    """Write a run's report: one HTML page that needs nothing else."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    score_run: Path | None = None
    """Folder of a run of the same learner on the score (--reward score), to compare with."""
    out: Path | None = None
    """Where to; default: report.html in the run folder."""


@dataclass(frozen=True)
class DoctorArgs:
    """Say what this machine can do, what is missing and how to install it."""

    json: bool = False
    """Print JSON instead of a table."""
    failpoints: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """List instead the points at which a crash test can make prefrl fail, with what happens there."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code.

    0 ok, 2 bad input, 1 a fault of ours or the world's, 5 a damaged store of labels, 130 interrupted; 1 without a word
    where whoever was reading has gone (as `head` does).
    """
    try:
        try:
            return _main(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _has_no_reader(sys.stdout.fileno()):  # another pipe of ours is broken
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain of what is left of it
        return EXIT_FAULT


def _has_no_reader(file: int) -> bool:
    poll = select.poll()
    poll.register(file, 0)  # errors are told unasked
    return bool(poll.poll(0))


def _main(argv: Sequence[str] | None) -> int:
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        sys.stdout.write(_USAGE)
        return EXIT_OK if args else EXIT_BAD_INPUT
    if args[0] == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"prefrl {version('prefrl')}\n")
        return EXIT_OK
    warnings.showwarning = _show_warning
    command = COMMANDS.get(args[0])
    try:
        _check_failpoints()
        if command is None:
            from prefrl.spelling import nearest

            raise UserError(
                f"expected a command ({', '.join(COMMANDS)}), got {args[0]!r}{nearest(args[0], list(COMMANDS))}"
            )
        return command(args[1:])
    except UserError as e:
        return _say(e, EXIT_BAD_INPUT)
    except (WorldFault, LearnerFault) as e:
        return _say(e, EXIT_FAULT)
    except (ValueError, OSError) as e:
        return _refused(e)
    except MemoryError:
        sys.stderr.write("prefrl: expected enough memory for what the settings ask, got too little; lower them\n")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("prefrl: stopped\n")
        return EXIT_INTERRUPTED


def _is_damage(error: ValueError) -> bool:
    label = sys.modules.get("labeling.label")  # where it is not loaded, nobody has raised its error
    return label is not None and isinstance(error, label.DamagedStoreError)


def _train(args: list[str]) -> int:
    from prefrl.flags import parse_train

    config, resume = parse_train(args)
    from prefrl.training import Interrupted, train

    try:
        result = train(config, resume=resume)
    except Interrupted as e:
        how = f"stopped, but not saved: {e.not_saved}" if e.not_saved else "stopped and saved"
        sys.stderr.write(f"prefrl: {how}; go on with: prefrl train --run-dir {shlex.quote(str(e))} --resume\n")
        return EXIT_INTERRUPTED
    summary = result.summary
    sys.stdout.write(
        f"env return {summary['env_return']:,.1f} ± {summary['env_return_std']:,.1f} over "
        f"{_episodes(summary['eval_episodes'])} (random {summary['random_return']:,.1f}); "
        f"{summary['labels']} labels, {summary['timesteps']:,} steps, {summary['seconds']['total']:,.0f} s\n"
        f"run folder: {result.run.path}\n"
    )
    return EXIT_OK


def _episodes(n: float) -> str:
    return "1 episode" if n == 1 else f"{n:,.0f} episodes"


def _eval(args: list[str]) -> int:
    options = parse(EvalArgs, "prefrl eval", args)
    if options.episodes < 1:
        raise UserError(f"expected --episodes to be at least 1, got {options.episodes}")
    from prefrl.configfile import load
    from prefrl.evaluate_run import evaluate_run
    from prefrl.rundir import RunDir

    run = RunDir(options.run).must_exist()
    found, _ = evaluate_run(run, load(run.config), n_episodes=options.episodes, trust_pickle=options.trust_pickle)
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write(
            f"env return {found['env_return']:,.1f} ± {found['env_return_std']:,.1f} "
            f"over {_episodes(found['episodes'])}\n"
        )
    return EXIT_OK


def _watch(args: list[str]) -> int:
    options = parse(WatchArgs, "prefrl watch", args)
    from prefrl.outputs import check_out_file
    from prefrl.rundir import RunDir

    run = RunDir(options.run).must_exist()
    out = options.out or options.run / "video.webm"
    check_out_file(out, "--out", ".webm")
    from prefrl.watch import watch_run

    seconds = watch_run(run, out, options.seconds, trust_pickle=options.trust_pickle)
    sys.stdout.write(f"video of {seconds:.1f} s: {out}\n")
    return EXIT_OK


def _report(args: list[str]) -> int:
    options = parse(ReportArgs, "prefrl report", args)
    from prefrl.outputs import check_out_file
    from prefrl.rundir import RunDir

    run = RunDir(options.run).must_exist()
    score = RunDir(options.score_run).must_exist() if options.score_run is not None else None
    out = options.out or options.run / "report.html"
    check_out_file(out, "--out")
    from prefrl.report_run import report_run

    report_run(run, out, score)
    sys.stdout.write(f"report: {out}\n")
    return EXIT_OK


def _doctor(args: list[str]) -> int:
    options = parse(DoctorArgs, "prefrl doctor", args)
    if options.failpoints:
        return _list_failpoints(options.json)
    from rich.console import Console

    from prefrl.doctor import check, print_findings, to_json

    findings = check()
    if options.json:
        sys.stdout.write(to_json(findings) + "\n")
    else:
        print_findings(findings, Console())
    return EXIT_FAULT if any(f.status == "bad" for f in findings) else EXIT_OK


def _list_failpoints(as_json: bool) -> int:
    from labeling.failpoints import ACTIONS, POINTS, VARIABLE

    lines = [f"{name:<18} {sentence}\n" for name, sentence in sorted(POINTS.items())]
    sentence = f"\nTo arm one: {VARIABLE}=POINT[:after=N]:{'|'.join(ACTIONS)}, several with commas between them.\n"
    sys.stdout.write(json.dumps(POINTS, indent=2) + "\n" if as_json else "".join([*lines, sentence]))
    return EXIT_OK


def _check_failpoints() -> None:
    """Have a malformed variable refused before anything is done, whichever command would come to read it."""
    if os.environ.get("PREFRL_FAIL"):
        importlib.import_module("labeling.failpoints")


def _refused(e: ValueError | OSError) -> int:
    """Say what the user can mend; everything else is a fault of ours, and is raised again."""
    if isinstance(e, OSError):
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise e
        sys.stderr.write(f"prefrl: the disk is full ({e.filename or e.strerror}); make room and go on\n")
        return EXIT_FAULT
    # The leaves, which cannot know UserError, refuse by errors of their own: a damaged store or clip, a drawing.
    if type(e).__module__.split(".")[0] not in ("labeling", "envs"):
        raise e
    return _say(e, EXIT_DAMAGED if _is_damage(e) else EXIT_BAD_INPUT)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """One line, as for errors: where in the code a warning arose helps nobody at the command line."""
    sys.stderr.write(f"prefrl: warning: {message}\n")


def _say(e: Exception, code: int) -> int:
    sys.stderr.write(f"prefrl: {e}\n")
    return code


def _in(module: str, function: str = "main") -> Callable[[list[str]], int]:
    """A command that a module of its own defines, imported when it is called."""

    def command(args: list[str]) -> int:
        run: Callable[[list[str]], int] = getattr(importlib.import_module(f"prefrl.{module}"), function)
        return run(args)

    return command


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "label": _in("label_run"),
    "serve": _in("serve_run"),
    "labels": _in("labels_run"),
    "eval": _eval,
    "watch": _watch,
    "report": _report,
    "state-hash": _in("state_hash"),
    "bench": _in("bench"),
    "check-env": _in("check_env", "main_check"),
    "new-env": _in("new_env", "main_new"),
    "doctor": _doctor,
}

if __name__ == "__main__":
    sys.exit(main())
