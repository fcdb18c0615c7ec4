"""The weights in a saved policy, a Stable-Baselines3 zip, read as data: nothing is unpickled, nothing inflated unseen.

The zip's `data`, which holds pickles, is never opened; weights go through torch's loader of plain tensors, once the zip
in the zip is known to be no larger than it looks.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from prefrl.errors import UserError

MAX_BYTES = 256 * 2**20
"""Largest weights that are read."""
_MAX_MEMBERS = 64
_MAX_INDEX_BYTES = 2**20
_WEIGHTS = "policy.pth"


def read_weights(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """The policy's weights by name.

    Raises:
        UserError: It is no such zip, or one that is not to be trusted.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            data = _member(archive)
        _check_inner(data)
        weights = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    except (OSError, EOFError, MemoryError, zipfile.BadZipFile) as e:
        raise _not_one(path, e) from e
    except Exception as e:  # zipfile, zlib and torch have an error for every byte that may be wrong
        raise _not_one(path, e) from e
    return _checked(path, weights)


def _not_one(path: Path, error: BaseException) -> UserError:
    first = (str(error).splitlines() or [""])[0]
    # torch's own advice here is to load with a pickle.
    words = first if "weights_only" not in first else "more than plain weights"
    return UserError(f"expected a policy that Stable-Baselines3 saved in {path}, got: {words[:200] or 'a broken file'}")


def _member(archive: zipfile.ZipFile) -> bytes:
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise ValueError(f"a zip of {len(infos)} files")
    for info in infos:
        if info.filename.startswith(("/", "\\")) or ".." in info.filename or ":" in info.filename:
            raise ValueError(f"a zip that names a file outside of it, {info.filename[:80]!r}")
    found = [info for info in infos if info.filename == _WEIGHTS]
    if len(found) != 1:
        raise ValueError(f"{len(found)} files {_WEIGHTS} in the zip")
    if found[0].file_size > MAX_BYTES:
        raise ValueError(f"weights of {found[0].file_size:,} bytes, more than the {MAX_BYTES:,} that are read")
    with archive.open(found[0]) as member:
        data = member.read(found[0].file_size)  # bounds the inflating too
    if len(data) != found[0].file_size:
        raise ValueError("a zip that is cut short")
    return data


def _check_inner(data: bytes) -> None:
    """Torch's files are zips of stored members; deflated ones would be inflated by it to any size they claim."""
    with zipfile.ZipFile(io.BytesIO(data)) as inner:
        infos = inner.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise ValueError("weights that are compressed")
    if sum(info.file_size for info in infos) > len(data):
        raise ValueError("weights that overlap")
    if any(info.file_size > _MAX_INDEX_BYTES for info in infos if info.filename.endswith(".pkl")):
        raise ValueError("an index of weights that is too large")


def _checked(path: Path, weights: object) -> dict[str, Tensor]:
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in weights.items()
    ):
        raise UserError(f"expected named weights in {path}, got something else")
    n_bytes = sum(t.numel() * t.element_size() for t in weights.values())
    if n_bytes > MAX_BYTES:
        raise UserError(f"expected weights of at most {MAX_BYTES:,} bytes in {path}, got {n_bytes:,}")
    for name, tensor in weights.items():
        if tensor.is_meta or tensor.layout != torch.strided or not bool(tensor.isfinite().all()):
            raise UserError(f"expected finite weights in {path}, got others in {name[:80]!r}")
    return dict(weights)
