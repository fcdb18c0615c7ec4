"""Write frames as a WebM video that every browser plays.

VP9 in WebM: OpenCV's wheels carry libvpx but no H.264 encoder (their FFmpeg is the LGPL build), and
the MPEG-4 they do write (`mp4v`) plays in no browser. Where an OpenCV build lacks the VP9 encoder,
VP8 in the same container is written instead; where it lacks both, that is an error, never an empty
file.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl.errors import UserError

CODECS = {"VP9": "VP90", "VP8": "VP80"}
"""Encoders in the order they are tried, with OpenCV's four-letter codes."""

QUICK_CODECS = {"VP8": "VP80", "VP9": "VP90"}
"""The order where somebody waits: VP8 takes a third of the time, and half as many bytes again, at the same quality."""

_TAG_NOTE = "OpenCV: FFMPEG: tag "
_stderr_lock = threading.Lock()


def write_video(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    frame_rate: float,
    *,
    min_height: int = 240,
    quick: bool = False,
) -> None:
    """Write `frames`, each (H, W, 3) RGB, to the WebM file `path`, `frame_rate` of them per second.

    Frames lower than `min_height` are enlarged by a whole even factor without smoothing, so that
    the pixels of small games stay crisp (an even factor also keeps every pixel on the grid of the
    halved colour resolution). Frames are taken one at a time, and the file appears under its name
    only when it is whole.

    Raises:
        UserError: OpenCV or its WebM encoder is missing, or `path` does not end in `.webm`.
        ValueError: no frames, frames of another shape or type, or no positive frame rate.
        OSError: the file could not be written whole, for instance because the disk is full.
    """
    if path.suffix != ".webm":
        raise UserError(f"Expected a video path ending in .webm, got {path.name!r}: rename it.")
    if not (math.isfinite(frame_rate) and frame_rate > 0):
        raise ValueError(f"Expected a positive frame rate, got {frame_rate!r}.")
    cv2 = _opencv()
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        n_frames = _encode(cv2, part, frames, frame_rate, min_height, QUICK_CODECS if quick else CODECS)
        _require_whole(cv2, part, n_frames)
        part.replace(path)


def encode_clip(
    frames: Iterable[NDArray[np.uint8]], frame_rate: float, *, min_height: int = 240, quick: bool = False
) -> bytes:
    """The bytes of the WebM file that `write_video` would write, for embedding in a page; `quick`: see QUICK_CODECS."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.webm"
        write_video(path, frames, frame_rate, min_height=min_height, quick=quick)
        return path.read_bytes()


def available_codec() -> str:
    """Name of the codec that videos are written in here, "VP9" or "VP8".

    Raises:
        UserError: OpenCV is missing, or it can write neither.
    """
    cv2 = _opencv()
    with tempfile.TemporaryDirectory() as folder:
        writer, codec = _open_writer(cv2, Path(folder) / "probe.webm", 25.0, (64, 64), CODECS)
        writer.release()
    return codec


def _opencv() -> Any:  # cv2's own stubs miss half of what is used here, so the module is Any
    try:
        return importlib.import_module("cv2")
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise UserError("Videos need OpenCV: pip install 'prefrl[window]'") from error
    except ImportError as error:  # a system library, often libGL.so.1, is not there
        raise UserError(
            f"OpenCV is installed but cannot start ({error}): install that system library, "
            "or pip install opencv-python-headless in place of opencv-python."
        ) from error


def _encode(
    cv2: Any,
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    frame_rate: float,
    min_height: int,
    codecs: Mapping[str, str],
) -> int:
    """Stream `frames` into `path` and count them."""
    writer, shape, n_frames = None, None, 0
    try:
        for frame in frames:
            _check_frame(frame, shape)
            picture = _even(_enlarge(frame, min_height))
            if writer is None:
                size = (picture.shape[1], picture.shape[0])
                writer, _ = _open_writer(cv2, path, frame_rate, size, codecs)
            shape = frame.shape
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            n_frames += 1
    finally:
        if writer is not None:
            writer.release()
    if n_frames == 0:
        raise ValueError("Expected at least one frame for a video, got none.")
    return n_frames


def _check_frame(frame: NDArray[np.uint8], shape: tuple[int, ...] | None) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(
            f"Expected frames (H, W, 3) of uint8, got {frame.shape} of {frame.dtype}: "
            "scale to 0..255, cast, and give three colours."
        )
    if shape is not None and frame.shape != shape:
        raise ValueError(f"Expected every frame to be {shape} like the first, got {frame.shape}.")


def _enlarge(frame: NDArray[np.uint8], min_height: int) -> NDArray[np.uint8]:
    height = frame.shape[0]
    if height >= min_height:
        return frame
    factor = 2 * math.ceil(min_height / (2 * height))
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Double an odd last row or column: VP9's colour planes are half size, OpenCV would cut it."""
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return np.ascontiguousarray(frame)
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _open_writer(
    cv2: Any, path: Path, frame_rate: float, size: tuple[int, int], codecs: Mapping[str, str]
) -> tuple[Any, str]:
    said: list[str] = []
    for codec, letters in codecs.items():
        code = cv2.VideoWriter_fourcc(*letters)
        with _held_stderr() as held:
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, frame_rate, size)
        if writer.isOpened():
            sys.stderr.writelines(held)
            return writer, codec
        said += held
    raise UserError(
        f"Expected OpenCV {cv2.__version__} to write VP9 or VP8 in WebM at {size[0]}x{size[1]}, "
        f"but neither encoder opened ({' '.join(said).strip() or 'no reason given'}): "
        "pip install --force-reinstall opencv-python"
    )


def _require_whole(cv2: Any, path: Path, n_frames: int) -> None:
    """Read it back: OpenCV reports no failed write, and a cut file may claim full length."""
    with _held_stderr():  # what a cut file makes FFmpeg say is said better below
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        n_held = 0
        while capture.grab():
            n_held += 1
        capture.release()
    if n_held != n_frames:
        raise OSError(
            f"Expected the video to hold {n_frames} frames, but it holds {n_held}: "
            f"is the disk of {path.parent.parent} full?"
        )


@contextmanager
def _held_stderr() -> Iterator[list[str]]:
    """Hold back what native code writes to stderr meanwhile; the list has the lines afterwards.

    OpenCV notes on every WebM file that the codec's tag "is not supported" (opencv issue 12471;
    harmless), with a bare fprintf that no log level reaches. Those notes are left out.
    """
    lines: list[str] = []
    saved = None
    with _stderr_lock, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        with suppress(OSError):  # a process without any stderr has nothing to hold back
            saved = os.dup(2)
            os.dup2(held.fileno(), 2)
        try:
            yield lines
        finally:
            if saved is not None:
                os.dup2(saved, 2)
                os.close(saved)
            held.seek(0)
            text = held.read().decode(errors="replace")
            lines += [line for line in text.splitlines(keepends=True) if not line.startswith(_TAG_NOTE)]
