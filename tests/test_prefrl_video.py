"""Videos are whole, crisp, quiet, and play in a browser."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prefrl.errors import UserError
from prefrl.video import available_codec, encode_clip, write_video

cv2 = pytest.importorskip("cv2")

Frame = NDArray[np.uint8]


def game(n_frames: int, height: int = 84, width: int = 84) -> Iterator[Frame]:
    """A pixel game: a white block of 8 pixels walks over coloured stripes, 4 pixels a frame."""
    stripes = np.array([[180, 60, 60], [60, 150, 70], [60, 80, 190], [30, 30, 30]], np.uint8)
    background = np.repeat(stripes, -(-height // 4), axis=0)[:height, None].repeat(width, axis=1)
    for t in range(n_frames):
        frame = background.copy()
        frame[20:28, (4 * t) % (width - 8) : (4 * t) % (width - 8) + 8] = 255
        yield frame


def decode(path: Path) -> tuple[list[Frame], float]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frame_rate = capture.get(cv2.CAP_PROP_FPS)
    frames: list[Frame] = []
    while True:
        more, frame = capture.read()
        if not more:
            return frames, frame_rate
        frames.append(np.asarray(frame[..., ::-1], np.uint8))


def psnr(a: Frame, b: Frame) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_video_decodes_to_the_same_frames_enlarged_by_four(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.webm", game(30), 12.5)
    frames, frame_rate = decode(tmp_path / "clip.webm")
    assert len(frames) == 30
    assert frame_rate == pytest.approx(12.5)
    for frame, original in zip(frames, game(30), strict=True):
        enlarged = original.repeat(4, axis=0).repeat(4, axis=1)  # 84 -> 336: least even factor >= 240
        assert frame.shape == (336, 336, 3)
        assert psnr(frame, enlarged) > 30
    assert [path.name for path in tmp_path.iterdir()] == ["clip.webm"]


@pytest.mark.parametrize(
    ("height", "width", "shape"),
    [(210, 160, (420, 320)), (240, 320, (240, 320)), (241, 321, (242, 322)), (1, 3, (240, 720))],
)
def test_sizes_are_even_and_at_least_the_least_height(
    tmp_path: Path, height: int, width: int, shape: tuple[int, int]
) -> None:
    frame = np.full((height, width, 3), 120, np.uint8)
    write_video(tmp_path / "clip.webm", [frame, frame], 30.0)
    frames, _ = decode(tmp_path / "clip.webm")
    assert [frame.shape[:2] for frame in frames] == [shape, shape]


def test_colours_keep_their_order(tmp_path: Path) -> None:
    frame = np.full((240, 240, 3), (220, 40, 20), np.uint8)
    write_video(tmp_path / "clip.webm", [frame], 30.0)
    frames, _ = decode(tmp_path / "clip.webm")
    np.testing.assert_allclose(frames[0][120, 120], [220, 40, 20], atol=4)


def test_encode_clip_gives_the_bytes_of_a_webm_file(tmp_path: Path) -> None:
    data = encode_clip(game(5), 10.0)
    assert data.startswith(b"\x1a\x45\xdf\xa3")  # EBML, the container under WebM
    assert b"webm" in data[:64]
    (tmp_path / "clip.webm").write_bytes(data)
    assert len(decode(tmp_path / "clip.webm")[0]) == 5


def test_the_codec_is_vp9() -> None:
    assert available_codec() == "VP9"


def test_frames_are_taken_one_at_a_time(tmp_path: Path) -> None:
    frame = np.zeros((240, 240, 3), np.uint8)
    buffer = frame.copy()

    def overwriting() -> Iterator[Frame]:
        for value in (0, 80, 160, 240):  # the same buffer every time, as a renderer may give it
            buffer[:] = value
            yield buffer

    write_video(tmp_path / "clip.webm", overwriting(), 10.0)
    frames, _ = decode(tmp_path / "clip.webm")
    assert [round(float(frame.mean()), -1) for frame in frames] == [0, 80, 160, 240]


def test_nothing_is_written_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "clip.webm", game(2), 10.0)
    assert capfd.readouterr() == ("", "")


def test_stderr_works_again_afterwards(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "clip.webm", game(2), 10.0)
    print("still heard", file=sys.stderr, flush=True)
    assert capfd.readouterr().err == "still heard\n"


def test_a_size_no_encoder_takes_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    wide = np.zeros((2, 70_000, 3), np.uint8)  # VP8 and VP9 both end at 65,535 or before
    with pytest.raises(UserError, match="VP9 or VP8 in WebM at 70000x2"):
        write_video(tmp_path / "clip.webm", [wide], 10.0, min_height=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "at least one frame"),
        ([np.zeros((8, 8, 3), np.float32)], r"\(8, 8, 3\) of float32"),
        ([np.zeros((8, 8), np.uint8)], r"\(8, 8\) of uint8"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)], "like the first"),
    ],
)
def test_bad_frames_leave_the_old_video(tmp_path: Path, frames: list[Frame], message: str) -> None:
    (tmp_path / "clip.webm").write_bytes(b"the old one")
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "clip.webm", frames, 10.0)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the old one"]


@pytest.mark.parametrize("frame_rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frame_rate_must_be_positive(tmp_path: Path, frame_rate: float) -> None:
    with pytest.raises(ValueError, match="positive frame rate"):
        write_video(tmp_path / "clip.webm", game(1), frame_rate)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ending in \.webm, got 'clip\.mp4'"):
        write_video(tmp_path / "clip.mp4", game(1), 10.0)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from prefrl.video import write_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
noise = np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3)).astype(np.uint8)
try:
    write_video(Path(sys.argv[1]), noise, 10.0, min_height=64)
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX thing")
def test_a_full_disk_is_an_error_not_a_short_video(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "clip.webm")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Expected the video to hold 40 frames" in ran.stdout
    assert list(tmp_path.iterdir()) == []


def test_missing_opencv_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"pip install 'prefrl\[window\]'"):
        write_video(tmp_path / "clip.webm", game(1), 10.0)


PAGE = """<!doctype html><video id="v" autoplay muted loop src="data:video/webm;base64,{data}"></video>"""


@pytest.mark.slow
def test_chromium_plays_it(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    data = base64.b64encode(encode_clip(game(20), 10.0)).decode()
    (tmp_path / "page.html").write_text(PAGE.format(data=data))
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        # Waits for the clock of the video itself, however slow the machine is.
        page.wait_for_function("v.error || v.currentTime > 0.2", timeout=60_000)
        seen = page.evaluate("[v.error && v.error.message, v.readyState, v.videoWidth, v.videoHeight, v.duration]")
        chromium.close()
    assert seen == [None, 4, 336, 336, 2.0]
