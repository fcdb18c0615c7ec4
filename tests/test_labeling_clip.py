"""Clips, their content hash and their files."""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import json
import os
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labeling import clip as clip_module
from labeling import npz
from labeling.clip import Clip, ClipError, ClipFiles


def make_clip(**changes: Any) -> Clip:
    fields: dict[str, Any] = {
        "obs": np.arange(6, dtype=np.float32).reshape(3, 2),
        "actions": np.array([0, 1, 2], dtype=np.int64),
        "view": np.array([[1.5], [2.5], [3.5]]),
        "frame_rate": 20.0,
        "env_index": 1,
        "episode": 2,
        "start_step": 3,
        "agent_step": 4,
    }
    return Clip(**{**fields, **changes})


def make_stack(n_steps: int = 3, n_stack: int = 2) -> Clip:
    planes = np.arange((n_steps + n_stack - 1) * 6, dtype=np.uint8).reshape(-1, 2, 3)
    return make_clip(obs=planes, actions=np.arange(n_steps), view=None, n_stack=n_stack, frame_rate=15)


CLIP_ID = "25212b70393cfebccf1bdf376cd81b3126ed9ef5096a67fa35aef44b6aa2390d"
STACK_ID = "923eb2eb1d16642b494673ef0b8a8d7ed5005d084b60d5a7055c773bf7a30803"


def test_clip_id_never_changes() -> None:
    """If this fails, every label ever given points to clips that cannot be found any more."""
    assert make_clip().clip_id == CLIP_ID
    assert make_stack().clip_id == STACK_ID


def test_clip_id_is_the_sha256_of_a_line_of_json_and_the_bytes() -> None:
    line = (
        b'{"agent_step":4,"arrays":[["obs","<f4",[3,2]],["actions","<i8",[3]],["view","<f8",[3,1]]]'
        b',"env_index":1,"episode":2,"format":1,"frame_rate":20.0,"n_stack":1,"start_step":3}\n'
    )
    content = struct.pack("<6f3q3d", *range(6), 0, 1, 2, 1.5, 2.5, 3.5)
    assert hashlib.sha256(line + content).hexdigest() == CLIP_ID


def test_clip_id_sees_content_and_not_how_it_lies_in_memory() -> None:
    obs = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert make_clip(obs=np.asfortranarray(obs)) == make_clip()
    assert make_clip(obs=obs.astype(">f4")) == make_clip()
    assert make_clip(obs=np.repeat(obs, 2, axis=0)[::2]) == make_clip()
    assert make_clip(episode=np.int32(2), frame_rate=20) == make_clip()
    assert len({make_clip(), make_clip(), make_stack()}) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"obs": np.arange(6, dtype=np.float64).reshape(3, 2)},
        {"obs": np.arange(6, dtype=np.float32).reshape(3, 2, 1)},
        {"obs": np.array([[0, 1], [2, 3], [4, 6]], dtype=np.float32)},
        {"actions": np.array([0, 1, 1])},
        {"actions": np.array([[0], [1], [2]])},
        {"view": None},
        {"view": np.zeros((3, 1))},
        {"frame_rate": 20.5},
        {"env_index": 0},
        {"episode": 0},
        {"start_step": 0},
        {"agent_step": 0},
    ],
)
def test_clip_id_sees_every_field(changes: dict[str, Any]) -> None:
    assert make_clip(**changes).clip_id != CLIP_ID
    assert make_clip(**changes) != make_clip()


def test_arrays_cannot_be_written_to() -> None:
    clip = make_clip()
    assert clip.view is not None
    for array in (clip.obs, clip.actions, clip.view):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_clip_does_not_follow_the_buffer_it_was_cut_from() -> None:
    buffer = np.zeros((10, 2), dtype=np.float32)
    window = buffer[2:5]
    window.flags.writeable = False  # read-only to look at, yet the buffer moves on
    clip = make_clip(obs=window)
    buffer[:] = 1
    assert clip.obs.sum() == 0
    assert buffer.flags.writeable


def test_unchangeable_arrays_are_not_copied() -> None:
    clip = make_clip()
    assert make_clip(obs=clip.obs).obs is clip.obs


def test_stacks_are_put_together_oldest_plane_first() -> None:
    clip = make_stack(n_steps=3, n_stack=2)
    assert clip.n_steps == 3
    assert clip.obs.shape == (4, 2, 3)
    stacked = clip.stacked_obs()
    assert stacked.shape == (3, 2, 2, 3)
    for step in range(3):
        np.testing.assert_array_equal(stacked[step], clip.obs[step : step + 2])
    assert make_clip().stacked_obs() is not None
    np.testing.assert_array_equal(make_clip().stacked_obs(), make_clip().obs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs": np.zeros((4, 2))}, "3 rows for 3 actions"),
        ({"obs": np.float32(1)}, "NumPy array, got float32"),
        ({"obs": np.array(1.0)}, "3 rows for 3 actions"),
        ({"actions": np.zeros((0,)), "obs": np.zeros((0, 2))}, "T > 0"),
        ({"actions": np.zeros((3, 1, 1))}, r"\(T,\) or \(T, A\)"),
        ({"n_stack": 2}, "must be uint8 planes"),
        ({"n_stack": 2, "obs": np.zeros((3, 2, 2), np.uint8)}, "4 rows for 3 actions"),
        ({"n_stack": 2, "obs": np.zeros((4, 2), np.uint8)}, "must be uint8 planes"),
        ({"n_stack": 0}, "n_stack must be at least 1"),
        ({"episode": -1}, "episode must be a whole number"),
        ({"start_step": 1.5}, "start_step must be a whole number"),
        ({"frame_rate": 0.0}, "positive and finite"),
        ({"frame_rate": float("nan")}, "positive and finite"),
        ({"obs": np.array([{}, {}, {}])}, "got dtype object"),
        ({"obs": np.array(["a", "b", "c"])}, "got dtype <U1"),
        ({"actions": np.zeros(3, dtype=complex)}, "got dtype complex128"),
        ({"view": np.zeros(3, dtype=np.longdouble)}, "numbers up to 64 bits"),
    ],
)
def test_malformed_clips_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ClipError, match=message):
        make_clip(**changes)


@pytest.mark.parametrize(
    "clip",
    [
        make_clip(),
        make_stack(),
        make_clip(view=None),
        make_clip(obs=np.ones((3, 4, 4, 3), np.uint8), actions=np.ones((3, 2), np.float32)),
        make_clip(actions=np.array([True, False, True]), view=np.array(7, dtype=np.int64)),
        make_clip(obs=np.zeros((3, 0), np.float16), view=np.zeros((0, 5), np.uint16)),
    ],
)
def test_what_is_written_is_read(tmp_path: Path, clip: Clip) -> None:
    files = ClipFiles(tmp_path / "a" / "clips")
    clip_id = files.write(clip)
    read = files.read(clip_id)
    assert read == clip
    assert repr(read) == repr(clip)
    np.testing.assert_array_equal(read.obs, clip.obs)
    assert (read.obs.dtype, read.actions.dtype) == (clip.obs.dtype, clip.actions.dtype)
    assert (read.view is None) == (clip.view is None)
    assert not read.obs.flags.writeable


def test_files_are_named_by_their_clip_and_open_with_numpy(tmp_path: Path) -> None:
    files = ClipFiles(tmp_path)
    assert files.write_many([make_clip(), make_stack(), make_clip()]) == [
        CLIP_ID,
        STACK_ID,
        CLIP_ID,
    ]
    found = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert found == [Path("25", f"{CLIP_ID}.npz"), Path("92", f"{STACK_ID}.npz")]
    with np.load(files.path(CLIP_ID), allow_pickle=False) as loaded:
        np.testing.assert_array_equal(loaded["obs"], make_clip().obs)
        np.testing.assert_array_equal(loaded["view"], [[1.5], [2.5], [3.5]])
        assert json.loads(loaded["fields.json"])["start_step"] == 3


def test_writing_again_leaves_the_file_alone(tmp_path: Path) -> None:
    files = ClipFiles(tmp_path)
    files.write(make_clip())
    before = files.path(CLIP_ID).stat()
    files.write(make_clip())
    after = files.path(CLIP_ID).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_writing_again_replaces_a_damaged_file(tmp_path: Path) -> None:
    files = ClipFiles(tmp_path)
    files.write(make_clip())
    files.path(CLIP_ID).write_bytes(b"")
    files.write(make_clip())
    assert files.read(CLIP_ID) == make_clip()


def test_many_clips_are_written_in_batches(tmp_path: Path) -> None:
    clips = [make_clip(agent_step=step) for step in range(150)]
    files = ClipFiles(tmp_path)
    ids = files.write_many(iter(clips))
    assert len(set(ids)) == 150
    assert [files.read(clip_id).agent_step for clip_id in ids] == list(range(150))
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.slow
def test_a_thousand_clips_are_written_in_three_seconds(tmp_path: Path) -> None:
    obs = np.random.default_rng(0).random((1000, 20, 17), dtype=np.float32)
    clips = [make_clip(obs=rows, actions=np.zeros((20, 6), np.float32)) for rows in obs]
    start = time.perf_counter()
    ClipFiles(tmp_path).write_many(clips)
    assert time.perf_counter() - start < 3.0


def test_pictures_are_compressed(tmp_path: Path) -> None:
    files = ClipFiles(tmp_path)
    clip = make_stack(n_steps=25, n_stack=4)
    flat = make_clip(obs=np.zeros((28, 84, 84), np.uint8), actions=np.zeros(25, np.int64), n_stack=4, view=None)
    files.write_many([clip, flat])
    assert files.path(flat.clip_id).stat().st_size < 5000
    assert flat.obs.nbytes == 197_568


@pytest.mark.parametrize(
    "clip_id",
    [
        "",
        "../" + "0" * 61,
        "0" * 63,
        "0" * 65,
        "0" * 64 + "\n",
        "A" * 64,
        "0" * 62 + "/0",
        "\0" * 64,
        "٠" * 64,
        f"/{CLIP_ID}",
    ],
)
def test_only_hashes_are_looked_up(tmp_path: Path, clip_id: str) -> None:
    with pytest.raises(ClipError, match="64 lower-case hex digits"):
        ClipFiles(tmp_path).read(clip_id)


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=f"{CLIP_ID}.npz is missing"):
        ClipFiles(tmp_path).read(CLIP_ID)


def test_no_other_content_passes_for_a_clip(tmp_path: Path) -> None:
    files = ClipFiles(tmp_path)
    files.write_many([make_clip(), make_stack()])
    os.replace(files.path(STACK_ID), files.path(CLIP_ID))
    with pytest.raises(ClipError, match=f"{CLIP_ID}.npz is damaged: its content is clip {STACK_ID}"):
        files.read(CLIP_ID)


def put(path: Path, data: bytes) -> None:
    path.unlink()  # writing over a file makes some file systems flush it, which takes long
    path.write_bytes(data)


def flipped_bits(data: bytes) -> list[bytes]:
    return [data[:i] + bytes([data[i] ^ 1 << i % 8]) + data[i + 1 :] for i in range(len(data))]


def cut_short(data: bytes) -> list[bytes]:
    return [data[:n] for n in range(0, len(data), 5)]


def cut_out(data: bytes) -> list[bytes]:
    return [data[:n] + data[n + 1 :] for n in range(0, len(data), 5)]


def longer(data: bytes) -> list[bytes]:
    return [data + b"\0", data + data[:50], data + data, b"\0" + data]


@pytest.mark.parametrize("damage", [flipped_bits, cut_short, cut_out, longer])
@pytest.mark.parametrize("clip", [make_clip(), make_stack()], ids=["numbers", "pictures"])
def test_no_damage_changes_what_is_read(tmp_path: Path, clip: Clip, damage: Callable[[bytes], list[bytes]]) -> None:
    """At every byte of the file: a ClipError, or (unused zip details) the very same clip."""
    files = ClipFiles(tmp_path)
    path = files.path(files.write(clip))
    n_detected = 0
    damaged_files = damage(path.read_bytes())
    for data in damaged_files:
        put(path, data)
        try:
            assert files.read(clip.clip_id) == clip
        except ClipError:
            n_detected += 1
    assert n_detected >= len(damaged_files) / 2


def test_every_flipped_byte_of_content_is_detected(tmp_path: Path) -> None:
    files = ClipFiles(tmp_path)
    path = files.path(files.write(make_clip()))
    data = path.read_bytes()
    assert make_clip().view is not None
    for content in (make_clip().obs.tobytes(), make_clip().actions.tobytes()):
        first = data.index(content)
        for position in range(first, first + len(content)):
            changed = bytes([data[position] ^ 0x10])
            put(path, data[:position] + changed + data[position + 1 :])
            with pytest.raises(ClipError, match="damaged"):
                files.read(CLIP_ID)


def zipped(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return file.getvalue()


def npy(array: NDArray[Any], allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


FIELDS = b'{"agent_step":4,"env_index":1,"episode":2,"format":1,"frame_rate":20.0,"n_stack":1,"start_step":3}'


class Boom:
    """Would leave a trace if it were ever unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("unpickled",)


@functools.cache
def hostile_files() -> dict[str, tuple[bytes, str]]:
    obs, actions, fields = npy(make_clip().obs), npy(make_clip().actions), ("fields.json", FIELDS)
    good = [("obs.npy", obs), ("actions.npy", actions)]
    objects = npy(np.array([Boom()] * 3, dtype=object), allow_pickle=True)
    eval_header = obs.replace(b"'<f4'", b"None ")
    return {
        "pickled objects": (zipped([fields, good[0], ("actions.npy", objects)]), "not a plain npy"),
        "structured dtype": (
            zipped([fields, good[0], ("actions.npy", npy(np.zeros(3, "f4,f4")))]),
            "not a plain npy",
        ),
        "code for a header": (zipped([fields, ("obs.npy", eval_header), good[1]]), "not a plain"),
        "fortran order": (
            zipped([fields, ("obs.npy", npy(np.asfortranarray(make_clip().obs))), good[1]]),
            "not a plain npy",
        ),
        "shape of terabytes": (
            zipped(
                [
                    fields,
                    ("obs.npy", obs.replace(b"(3, 2), }  ", b"(3, 2000000000000), }")),
                    good[1],
                ]
            ),
            "not a plain npy|24 bytes, not those of shape",
        ),
        "bomb": (
            zipped([fields, *good, ("view.npy", bytes(2**20))]),
            "more than the",
        ),
        "too many members": (
            zipped([fields, *good, *((f"{i}.npy", b"") for i in range(1000))]),
            "zip directory of",
        ),
        "two of a name": (zipped_twice(fields, good), "different names"),
        "path in a name": (zipped([fields, *good, ("../x.npy", obs)]), "expected arrays obs"),
        "other member": (zipped([fields, *good, ("x.py", b"")]), "unexpected member"),
        "no actions": (zipped([fields, good[0]]), "expected arrays obs, actions"),
        "no fields": (zipped(good), "one fields.json"),
        "other compression": (zipped([fields, *good], zipfile.ZIP_LZMA), "compressed in a way"),
        "nested fields": (zipped([("fields.json", b"[" * 4000), *good]), "damaged"),
        "long fields": (zipped([("fields.json", b" " * 5000), *good]), "more than the"),
        "not json": (zipped([("fields.json", b"{"), *good]), "Expecting property name"),
        "newer format": (
            zipped([("fields.json", FIELDS.replace(b'"format":1', b'"format":2')), *good]),
            "expected clip format 1",
        ),
        "extra field": (
            zipped([("fields.json", FIELDS.replace(b"{", b'{"env_reward":1,')), *good]),
            "does not hold the fields",
        ),
        "bool for int": (
            zipped([("fields.json", FIELDS.replace(b"4", b"true")), *good]),
            "does not hold the fields",
        ),
        "endless rate": (
            zipped([("fields.json", FIELDS.replace(b"20.0", b"Infinity")), *good]),
            "positive and finite",
        ),
        "not a zip": (b"PK" * 50, "not a plain zip end record"),
        "empty": (b"", "only 0 bytes"),
    }


def zipped_twice(fields: tuple[str, bytes], good: list[tuple[str, bytes]]) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped([fields, *good, good[0]])


@pytest.mark.parametrize("kind", hostile_files())
def test_hostile_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clip_module, "MAX_CLIP_BYTES", 2**20)
    data, message = hostile_files()[kind]
    files = ClipFiles(tmp_path / "clips")
    path = files.path(files.write(make_clip()))
    path.write_bytes(data)
    with pytest.raises(ClipError, match=message) as caught:
        files.read(CLIP_ID)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("unpickled").exists()


def test_a_declared_size_bounds_the_inflating() -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)[2:-4]
    data = zipped([("fields.json", b"{}"), ("obs.npy", bytes(50_000_000))])
    assert bomb[:100] in data
    size = struct.pack("<I", 50_000_000)
    lying = data.replace(size, struct.pack("<I", 100))
    assert lying.count(size) == 0
    with pytest.raises(npz.NpzError):
        npz.unpack(lying, max_bytes=1000)
    with pytest.raises(npz.NpzError, match="more than the 1000 allowed"):
        npz.unpack(data, max_bytes=1000)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_arrays_or_an_error(data: bytes, member: bytes) -> None:
    for hostile in (data, zipped([("fields.json", data), ("obs.npy", member)])):
        try:
            npz.unpack(hostile, max_bytes=10_000)
        except npz.NpzError:
            continue
        raise AssertionError(f"accepted {hostile!r}")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    dtype=st.sampled_from(["?", "i1", "u1", "<u2", ">i4", "<i8", "<f2", ">f4", "<f8"]),
    shape=st.lists(st.integers(0, 4), max_size=4).map(tuple),
    seed=st.integers(0, 2**32),
)
def test_packing_keeps_every_bit(dtype: str, shape: tuple[int, ...], seed: int) -> None:
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.random.default_rng(seed).integers(0, 2 if dtype == "?" else 256, n_bytes, np.uint8)
    array = raw.view(dtype).reshape(shape)
    arrays, header = npz.unpack(npz.pack({"a": array}, b"head"), max_bytes=100_000)
    assert header == b"head"
    assert arrays["a"].shape == shape
    assert arrays["a"].dtype == array.dtype.newbyteorder("<")
    assert arrays["a"].tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()


def test_too_large_clips_are_refused_before_anything_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_module, "MAX_CLIP_BYTES", 2**16 + 50)
    with pytest.raises(ClipError, match="clip of 72 bytes is larger than"):
        ClipFiles(tmp_path).write_many([make_clip()])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_too_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ClipFiles(tmp_path)
    files.write(make_clip())
    monkeypatch.setattr(clip_module, "MAX_CLIP_BYTES", 100)
    with pytest.raises(ClipError, match=f"{CLIP_ID}.npz is larger than 100 bytes"):
        files.read(CLIP_ID)


def test_a_disk_that_refuses_is_a_clip_error(tmp_path: Path) -> None:
    (tmp_path / "clips").write_text("a file where the folder should be")
    with pytest.raises(ClipError, match="cannot write clips to"):
        ClipFiles(tmp_path / "clips").write(make_clip())


@pytest.mark.skipif(sys.platform != "linux", reason="reads names from /proc/self/fd")
def test_content_is_synced_before_its_name_and_its_name_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def logged_fsync(handle: int) -> None:
        events.append(("sync", os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def logged_replace(source: Path, target: Path) -> None:
        events.append(("rename", str(source)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "replace", logged_replace)
    files = ClipFiles(tmp_path / "clips")
    files.write(make_clip())
    temporary = next(name for what, name in events if what == "rename")
    shard = str(files.path(CLIP_ID).parent)
    assert events == [
        ("sync", str(tmp_path)),
        ("sync", str(tmp_path / "clips")),
        ("sync", temporary),
        ("rename", temporary),
        ("sync", shard),
        ("sync", str(tmp_path / "clips")),
    ]
    events.clear()
    files.write(make_clip())  # already there, yet its name may not have been synced
    assert events == [("sync", shard), ("sync", str(tmp_path / "clips"))]


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_no_part_of_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    files = ClipFiles(tmp_path)
    files.write_many([make_clip(episode=7)])
    n_before = len(list(tmp_path.rglob("*.npz")))

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, no_space)
        with pytest.raises(ClipError, match=r"cannot write clips to .*: No space left"):
            files.write_many([make_clip(), make_stack()])
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == n_before == 1
    assert files.write_many([make_clip(), make_stack()]) == [CLIP_ID, STACK_ID]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_place_of_a_clip_does_not_hang(tmp_path: Path) -> None:
    files = ClipFiles(tmp_path)
    files.path(CLIP_ID).parent.mkdir()
    os.mkfifo(files.path(CLIP_ID))
    with pytest.raises(ClipError, match="is missing"):
        files.read(CLIP_ID)
