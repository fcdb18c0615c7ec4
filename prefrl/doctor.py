"""Look at this machine and say what of prefrl will work on it, and what to do about the rest."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from labeling.schema import is_wal_safe
from prefrl import video
from prefrl.errors import UserError

Status = Literal["ok", "missing", "bad"]

LEAST_FREE_BYTES = 2 * 1024**3
PROBE_SECONDS = 30
_STYLES: dict[Status, str] = {"ok": "green", "missing": "yellow", "bad": "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    """What was looked at."""
    status: Status
    """Either ok, missing (an optional part is not there), or bad (it is vulnerable or broken)."""
    detail: str
    """What was found."""
    remedy: str = ""
    """What to do about it, empty where nothing is needed."""


def check(folder: Path = Path()) -> list[Finding]:
    """Look at everything, in the order of need; `folder` is where run folders will be written.

    Nothing is raised for what is missing or broken, and native code that may take the process down
    (windows, rendering) runs in processes of its own, `PROBE_SECONDS` each at most.
    """
    return [
        Finding("python", "ok", sys.version.split()[0]),
        *(_package(*part) for part in _PACKAGES),
        _cuda(),
        _window(),
        _rendering(),
        _codec(),
        sqlite_journal(sqlite3.sqlite_version_info),
        _disk(folder),
        _cores(),
    ]


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print a table of the findings; what they say is never read as console markup."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("", "part", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(
            Text(finding.status, style=_STYLES[finding.status]),
            Text(finding.name),
            Text(finding.detail),
            Text(finding.remedy),
        )
    console.print(table)


def to_json(findings: Sequence[Finding]) -> str:
    """The findings as a JSON list of objects."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)


# Distribution, module, least release, whether it is needed, how to get it, and why that release.
_Part = tuple[str, str, tuple[int, ...], bool, str, str]
_PACKAGES: tuple[_Part, ...] = (
    (
        "torch",
        "torch",
        (2, 10),
        True,
        "pip install 'torch>=2.10'",
        "loading weights could run code before it, CVE-2026-24747",
    ),
    ("gymnasium", "gymnasium", (1, 2), True, "pip install 'gymnasium>=1.2,<2'", ""),
    (
        "stable-baselines3",
        "stable_baselines3",
        (2, 9),
        True,
        "pip install 'stable-baselines3>=2.9,<3'",
        "",
    ),
    ("ale-py", "ale_py", (0, 12, 1), False, "pip install 'prefrl[atari]'", ""),
    ("mujoco", "mujoco", (3, 3), False, "pip install 'prefrl[mujoco]'", ""),
    ("opencv-python", "cv2", (4, 11), False, "pip install 'prefrl[window]'", ""),
    ("matplotlib", "matplotlib", (3, 9), False, "pip install 'prefrl[plots]'", ""),
    (
        "starlette",
        "starlette",
        (1, 0, 1),
        False,
        "pip install 'prefrl[web]'",
        "a malformed Host header could pass path checks before it, CVE-2026-48710",
    ),
)


def _package(
    distribution: str,
    module: str,
    least: tuple[int, ...],
    is_needed: bool,
    remedy: str,
    reason: str,
) -> Finding:
    """Import a package, because being installed does not mean that it starts.

    Optional ones are imported in a process of their own: some crash where a system library is
    amiss, and MuJoCo settles on its OpenGL at import, which is for the world to choose.
    """
    try:
        version = _version(distribution)
    except metadata.PackageNotFoundError:
        return Finding(distribution, "bad" if is_needed else "missing", "not installed", remedy)
    starts, said = _import(module) if is_needed else _probe(f"import {module}", {})
    if not starts:
        detail = f"{version} is installed but does not start: {said}"
        return Finding(distribution, "bad", detail, f"{remedy} --force-reinstall")
    if release(version) < least:
        floor = ".".join(map(str, least))
        detail = f"{version}, but at least {floor} is needed" + (f" ({reason})" if reason else "")
        return Finding(distribution, "bad", detail, f"{remedy} --upgrade")
    return Finding(distribution, "ok", version)


def _import(module: str) -> tuple[bool, str]:
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever a broken package raises is the finding
        return False, f"{type(error).__name__}: {error}"
    return True, ""


def _version(distribution: str) -> str:
    if distribution != "opencv-python":
        return metadata.version(distribution)
    for name in ("opencv-python", "opencv-contrib-python", "opencv-python-headless"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    raise metadata.PackageNotFoundError(distribution)


def release(version: str) -> tuple[int, ...]:
    """The numbers a version begins with: "2.13.0+cpu" is (2, 13, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _cuda() -> Finding:
    try:
        torch = importlib.import_module("torch")
        if torch.cuda.is_available():
            names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
            return Finding("CUDA", "ok", ", ".join(names))
    except Exception as error:  # a driver that fails is the finding
        return Finding("CUDA", "bad", f"{type(error).__name__}: {error}", "see the line of torch")
    return Finding(
        "CUDA",
        "missing",
        "no GPU that torch can use; training runs on the CPU",
        "for image games, a CUDA build of torch: https://pytorch.org/get-started/locally",
    )


def _window() -> Finding:
    browser = "label in a browser instead: pip install 'prefrl[web]'"
    if sys.platform.startswith("linux") and not _display():
        return Finding("window", "missing", "no display (DISPLAY is not set)", browser)
    if importlib.util.find_spec("cv2") is None:
        return Finding("window", "missing", "needs OpenCV", "pip install 'prefrl[window]'")
    ok, said = _probe(_WINDOW_PROBE, {})
    if ok:
        return Finding("window", "ok", f"OpenCV opened one on {_display() or 'this desktop'}")
    return Finding("window", "bad", f"OpenCV could not open one: {said}", browser)


def _display() -> str:
    return os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or ""


def _rendering() -> Finding:
    """Draw a MuJoCo scene with each OpenGL there may be, until one works."""
    name = "MuJoCo rendering"
    if importlib.util.find_spec("mujoco") is None:
        return Finding(name, "missing", "needs mujoco", "pip install 'prefrl[mujoco]'")
    asked_for = os.environ.get("MUJOCO_GL")
    tried: list[str] = []
    for backend in _backends(asked_for):
        ok, said = _probe(_RENDER_PROBE, {"MUJOCO_GL": backend})
        if ok:
            detail = f"{said} frames/s at 320x240 with MUJOCO_GL={backend}"
            return Finding(name, "ok", "; ".join([*tried, detail]))
        tried.append(f"{backend}: {said}")
    remedy = "apt-get install libegl1 libgl1-mesa-dri, or the like of your system"
    if asked_for:
        remedy = f"unset MUJOCO_GL (now {asked_for}), or {remedy}"
    return Finding(name, "bad", "no OpenGL worked; " + "; ".join(tried), remedy)


def _backends(asked_for: str | None) -> tuple[str, ...]:
    if asked_for:
        return (asked_for,)
    if not sys.platform.startswith("linux"):
        return ("glfw",)
    return ("egl", "osmesa", "glfw") if _display() else ("egl", "osmesa")


_WINDOW_PROBE = """
import cv2
cv2.namedWindow("prefrl", cv2.WINDOW_NORMAL)
cv2.waitKeyEx(1)
cv2.destroyAllWindows()
"""
_RENDER_PROBE = """
import time
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom type='plane' size='2 2 .1' rgba='.2 .6 .2 1'/>"
    "<geom type='sphere' size='.3' pos='0 0 .3' rgba='.8 .2 .2 1'/></worldbody></mujoco>"
)
model.vis.quality.shadowsize = 0
model.vis.quality.offsamples = 0
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 240, 320)
def draw():
    renderer.update_scene(data)
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        renderer.scene.flags[flag] = 0
    return renderer.render()
assert draw().std() > 1, "the picture is blank"
start = time.perf_counter()
for _ in range(5):
    draw()
print(round(5 / (time.perf_counter() - start)))
"""


def _probe(code: str, environment: dict[str, str]) -> tuple[bool, str]:
    """Run `code` in a process of its own: whether it ended well, and the last line it said."""
    try:
        ran = subprocess.run(  # noqa: S603  # our own constant, with our own interpreter
            [sys.executable, "-P", "-c", code],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {PROBE_SECONDS} s"
    lines = (ran.stdout if ran.returncode == 0 else ran.stderr).strip().splitlines()
    said = lines[-1].strip() if lines else ""
    if ran.returncode < 0:
        return False, f"killed by signal {-ran.returncode}" + (f" ({said})" if said else "")
    return ran.returncode == 0, said or f"exit code {ran.returncode}"


def _codec() -> Finding:
    try:
        return Finding("video", "ok", f"{video.available_codec()} in WebM")
    except UserError as error:
        is_missing = importlib.util.find_spec("cv2") is None
        return Finding("video", "missing" if is_missing else "bad", *_split(str(error)))


def _split(message: str) -> tuple[str, str]:
    """A user error's "what is wrong: what to do" in its two halves."""
    wrong, _, remedy = message.rpartition(": ")
    return wrong, remedy


def sqlite_journal(version: tuple[int, int, int]) -> Finding:
    """Say which journal labels are written with under this SQLite, as `labeling.schema` decides."""
    text = ".".join(map(str, version))
    if is_wal_safe(version):
        return Finding("SQLite", "ok", f"{text}, write-ahead log on local disks")
    return Finding("SQLite", "ok", f"{text}, rollback journal (its write-ahead log can lose rows)")


def _disk(folder: Path) -> Finding:
    place = folder.resolve()
    free = shutil.disk_usage(place).free
    detail = f"{free / 1024**3:.1f} GiB free in {place}"
    if free >= LEAST_FREE_BYTES:
        return Finding("disk", "ok", detail)
    return Finding("disk", "bad", detail, f"free at least {LEAST_FREE_BYTES / 1024**3:.0f} GiB")


def _cores() -> Finding:
    n_all = os.cpu_count() or 1
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    n_usable = len(affinity(0)) if affinity else n_all
    return Finding("cores", "ok", f"{n_usable} of {n_all} usable")
