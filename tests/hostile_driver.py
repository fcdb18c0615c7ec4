"""Runs every command that reads a run over the run folders given, each in a process that is listened to.

`python hostile_driver.py HONEST OUT FOLDER...` prints a line of JSON for each command and folder. The processes are
forks of one that has imported everything: they need not import it again, and none has what another left in memory.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import cv2  # noqa: F401  # imported now: what packages do at their import is not what is listened for
import matplotlib.pyplot  # noqa: F401
import stable_baselines3  # noqa: F401
import torch  # noqa: F401

from prefrl import cli, drawing, labels_run, report_run, serve_run, training, watch  # noqa: F401

LISTENED = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")
LIMIT_SECONDS = 60
SLOW = {"serve", "play"}
"""Commands that take seconds where they succeed."""
PLAIN = {"pickled_data", "pickled_weights", "pickle_in_weights", "pickled_checkpoint", "zip_slip", "bomb_in_weights",
         "bomb_in_inner_zip", "stretched_weights", "nan_weights", "deep_json", "path_as_clip", "wide_csv"}  # fmt: skip
"""Runs in which they read nothing that is not as it should be."""
heard: list[str] = []


def too_long(number: int, frame: object) -> None:
    """Raised inside the command by the alarm."""
    raise TimeoutError("too long")


def listen(event: str, args: tuple[Any, ...]) -> None:
    """Note what no reader of a run may do; its own drawing worker and a look for programs are no such thing."""
    is_ours = event == "subprocess.Popen" and ("prefrl.drawing" in str(args[1]) or args[0] == "uname")
    if event in LISTENED and not is_ours:
        heard.append(f"{event} {args!r:.200}")


def commands(run: Path, honest: Path, out: Path) -> dict[str, list[str]]:
    """Every command that takes a run."""
    place = out / run.name
    place.mkdir(parents=True)
    shutil.copytree(honest, place / "mine")
    return {
        "eval": ["eval", str(run), "--episodes", "2"],
        "watch": ["watch", str(run), "--seconds", "1", "--out", str(place / "video.webm")],
        "report": ["report", str(run), "--out", str(place / "report.html")],
        "report-beside": ["report", str(honest), "--score-run", str(run), "--out", str(place / "beside.html")],
        "labels": ["labels", str(run), "list"],
        "export": ["labels", str(run), "export", "--out", str(place / "export")],
        "play": ["labels", str(run), "play", "--out", str(place / "labels.webm")],
        "import": ["labels", str(place / "mine"), "import", "--from", str(run)],
        "resume": ["train", "--run-dir", str(run), "--resume", "--no-progress"],
        "labels-from": ["train", "--env-id", "prefrl/Dot-v0", "--run-dir", str(place / "new"), "--labels-from",
                        str(run), "--total-timesteps", "64", "--total-labels", "2", "--no-progress",
                        "--eval.episodes", "1"],
        "serve": ["serve", str(run), "--port", "0"],
        "label": ["label", str(run)],
    }  # fmt: skip


def run_one(args: list[str]) -> dict[str, Any]:
    """Exit code, what was said and heard, the most memory, and whether anything else than an exit code came out."""
    begin, said, out = time.monotonic(), io.StringIO(), io.StringIO()
    raised = ""
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(out), warnings.catch_warnings():
        signal.alarm(LIMIT_SECONDS)
        try:
            code: Any = cli.main(args)
        except BaseException as e:
            code, raised = None, "".join(traceback.format_exception(e))[-1500:]
        finally:
            signal.alarm(0)
    lines = [line for line in said.getvalue().splitlines() if not line.startswith("prefrl: warning:")]
    return {"code": code, "lines": lines[:3], "n_lines": len(lines), "raised": raised, "heard": heard,
            "rss_mib": round(_peak_mib()), "seconds": round(time.monotonic() - begin, 2)}  # fmt: skip


def _peak_mib() -> float:
    """Most memory resident in this process since it was forked; getrusage would also count the one that started it."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Run them all."""
    honest, out, *runs = map(Path, sys.argv[1:])
    only = os.environ.get("PREFRL_TEST_ONLY", "").split()
    signal.signal(signal.SIGALRM, too_long)
    # What these import, no fork imports again.
    for name, args in commands(honest, honest, out / "first").items():
        if name in ("report", "labels", "resume", "labels-from") and (not only or name in only):
            run_one(args)
    sys.addaudithook(listen)
    for run in runs:
        for name, args in commands(run, honest, out).items():
            if (not only or name in only) and (name not in SLOW or run.name not in PLAIN):
                child = os.fork()
                if not child:
                    print(json.dumps({"run": run.name, "command": name, **run_one(args)}), flush=True)
                    os._exit(0)
                ended = os.waitpid(child, 0)[1]
                if ended:
                    raise RuntimeError(f"expected {name} on {run.name} to end, got a process that {ended} ended")


if __name__ == "__main__":
    main()
