"""Strict npz files: written without pickle, read without trusting a byte of them.

What is written opens with `np.load`. What is read must be of the narrow kind written here, and its size is known
before anything is inflated. A checksum of all bytes before it is the zip file's comment: a disk that changes one bit is
noticed even where the bit says nothing. This file knows nothing of clips.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARRAY_KINDS = "biuf"
"""NumPy kinds of array that may be stored: bool, signed, unsigned, float; no objects, no text."""

_HEADER_NAME = "fields.json"
_MAX_HEADER_BYTES = 4096
_MAX_DIRECTORY_BYTES = 4096
_SUM_MARK = b"sha256:"
_SUM_BYTES = len(_SUM_MARK) + 64
_END_RECORD = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR_BYTES = 20
_NPY_HEADER = re.compile(
    rb"\{'descr': '([<|][biuf][1248])', 'fortran_order': False, "
    rb"'shape': \(([\d, ]{0,200})\), \} *\n"
)


class NpzError(ValueError):
    """These bytes are not what `pack` writes: damaged, hostile or of another kind."""


def little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """The array with its bytes in the order that files and hashes use on every platform."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def pack(arrays: Mapping[str, NDArray[Any]], header: bytes) -> bytes:
    """The bytes of an npz file holding `arrays` and, beside them, `header` as fields.json.

    Bytes (pictures) are deflated; numbers are stored as they are, as deflating them costs more
    time than it saves space.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = bytes(_SUM_BYTES)  # of its length, until all that comes before it is known
        archive.writestr(zipfile.ZipInfo(_HEADER_NAME), header)
        for name, array in arrays.items():
            is_picture = array.dtype == np.uint8
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy"),
                _npy(array),
                zipfile.ZIP_DEFLATED if is_picture else zipfile.ZIP_STORED,
                compresslevel=1,
            )
    body = file.getbuffer()[:-_SUM_BYTES]
    return bytes(body) + _checksum(body)


def unpack(data: bytes, max_bytes: int) -> tuple[dict[str, NDArray[Any]], bytes]:
    """The read-only arrays and the header that `pack` was given.

    Raises:
        NpzError: for anything `pack` does not write, and for more than `max_bytes` once inflated.
    """
    try:
        body = _check_sum(data)
        _check_directory(body, len(data) - len(body))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _checked_members(archive, max_bytes)
            header = _member(archive, members.pop(_HEADER_NAME))
            arrays = {name.removesuffix(".npy"): _array(name, _member(archive, info)) for name, info in members.items()}
    except NpzError:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError) as error:
        raise NpzError(f"not a readable npz file ({error})") from error
    except (ValueError, TypeError, RuntimeError, LookupError, OverflowError) as error:
        raise NpzError(f"not a readable npz file ({error})") from error
    return arrays, header


def _npy(array: NDArray[Any]) -> bytes:
    if array.dtype.kind not in ARRAY_KINDS or array.dtype.itemsize > 8:
        raise NpzError(f"arrays of dtype {array.dtype} cannot be stored; use numbers up to 64 bits")
    stored = little_endian(array)
    file = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(np.empty(0, stored.dtype))
    np.lib.format.write_array_header_1_0(file, {**header, "shape": array.shape})
    file.write(stored.tobytes(order="C"))
    return file.getvalue()


def _checksum(body: bytes | memoryview) -> bytes:
    return _SUM_MARK + hashlib.sha256(body).hexdigest().encode()


def _check_sum(data: bytes) -> memoryview:
    """The file without the checksum at its end, which is right; files of before there were checksums have none."""
    body, found = memoryview(data)[:-_SUM_BYTES], data[-_SUM_BYTES:]
    if not found.startswith(_SUM_MARK):
        return memoryview(data)
    if found != _checksum(body):
        raise NpzError("its bytes are not those that were written")
    return body


def _check_directory(data: memoryview, n_comment: int) -> None:
    """Bounds the zip directory, which `zipfile` would read whole, however many entries it has."""
    if len(data) < _END_RECORD.size:
        raise NpzError(f"not an npz file: only {len(data)} bytes")
    signature, *_, directory_bytes, _, comment_bytes = _END_RECORD.unpack(data[-_END_RECORD.size :])
    before = bytes(data[-_END_RECORD.size - _ZIP64_LOCATOR_BYTES : -_END_RECORD.size])
    is_zip64 = before.startswith(b"PK\x06\x07")
    if signature != b"PK\x05\x06" or comment_bytes != n_comment or is_zip64:
        raise NpzError("not an npz file: its last bytes are not a plain zip end record")
    if directory_bytes > _MAX_DIRECTORY_BYTES:
        raise NpzError(f"zip directory of {directory_bytes} bytes, expected a few entries")


def _checked_members(archive: zipfile.ZipFile, max_bytes: int) -> dict[str, zipfile.ZipInfo]:
    members = {info.filename: info for info in archive.infolist()}
    if len(members) != len(archive.infolist()) or _HEADER_NAME not in members:
        raise NpzError(f"expected one {_HEADER_NAME} and arrays of different names")
    total = sum(info.file_size for info in members.values())
    if total > max_bytes or members[_HEADER_NAME].file_size > _MAX_HEADER_BYTES:
        raise NpzError(f"{total} bytes once inflated, more than the {max_bytes} allowed")
    for name, info in members.items():
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NpzError(f"{name} is compressed in a way that is not used here")
        if name != _HEADER_NAME and not name.endswith(".npy"):
            raise NpzError(f"unexpected member {name!r}")
    return members


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        # Asking for the declared size bounds the inflating too; a bare read() would not.
        data = file.read(info.file_size)
    if len(data) != info.file_size:
        raise NpzError(f"{info.filename} is cut short")
    return data


def _array(name: str, data: bytes) -> NDArray[Any]:
    header_bytes = int.from_bytes(data[8:10], "little")
    header = _NPY_HEADER.fullmatch(data[10 : 10 + header_bytes])
    if data[:8] != b"\x93NUMPY\x01\x00" or header is None:
        raise NpzError(f"{name} is not a plain npy array of numbers in C order")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(n) for n in header[2].split(b",") if n.strip())
    body = memoryview(data)[10 + header_bytes :]
    if math.prod(shape) * dtype.itemsize != len(body):
        raise NpzError(f"{name} has {len(body)} bytes, not those of shape {shape} in {dtype.name}")
    return np.frombuffer(body, dtype).reshape(shape)
