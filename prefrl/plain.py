"""Plain data: what may stand in a checkpoint, and how it is written there so that it comes back as it was.

Numbers, text, None, lists, tuples, deques, dicts, numpy arrays and random generators; nothing that would need code to
be run to come back, so that a checkpoint needs no pickle. JSON holds the structure, and the bytes of arrays stand
beside it under names. Arrays of bytes, which are mostly pictures, are deflated where they are large.
"""

from __future__ import annotations

import json
import random
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_KIND = "~"
"""The key by which JSON says that an object is more than a dict."""
_DEFLATED_FROM = 2**16
"""Bytes from which pictures are deflated."""
_DEFLATE_LEVEL = 1
_BIT_GENERATORS = {
    g.__name__: g for g in (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)
}


class NotPlain(ValueError):  # noqa: N818  # it says what the value is
    """A value that cannot stand in a checkpoint; the message says where it is and what."""


class Packer:
    """Turns plain data into JSON and named bytes.

    Raises:
        NotPlain: A value of another kind, or one list, dict or array in two places, which would come back as two.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, Bytes] = {}
        """Bytes of the arrays so far, by name."""
        self._seen: dict[int, Any] = {}  # the values themselves, so that no id is given twice

    def pack(self, value: Any, at: str) -> Any:
        """The JSON of a value that stands at `at`, under which its arrays are named."""
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, tuple) and type(value) is tuple:
            return {_KIND: "tuple", "items": self._items(value, at)}
        if isinstance(value, np.generic):
            return self._array(value, at)
        if id(value) in self._seen:
            raise NotPlain(f"{at} is the same object as another value, and would come back as two")
        self._seen[id(value)] = value
        if isinstance(value, np.ndarray):
            return self._array(value, at)
        if type(value) is list:
            return self._items(value, at)
        if type(value) is deque:
            return {_KIND: "deque", "items": self._items(value, at), "maxlen": value.maxlen}
        if type(value) is dict:
            return self._dict(value, at)
        return {_KIND: _generator_kind(value, at), "state": self.pack(_generator_state(value), f"{at}.state")}

    def _items(self, values: Any, at: str) -> list[Any]:
        return [self.pack(item, f"{at}.{i}") for i, item in enumerate(values)]

    def _dict(self, value: dict[Any, Any], at: str) -> Any:
        if all(type(key) is str and key != _KIND for key in value):
            return {key: self.pack(item, f"{at}.{key}") for key, item in value.items()}
        items = [(self.pack(k, f"{at}.{i}.key"), self.pack(v, f"{at}.{i}")) for i, (k, v) in enumerate(value.items())]
        return {_KIND: "dict", "items": items}

    def _array(self, value: NDArray[Any] | np.generic, at: str) -> dict[str, Any]:
        if value.dtype.hasobject:
            raise NotPlain(f"{at} is an array of objects")
        array = np.ascontiguousarray(value)
        data = array.reshape(-1).view(np.uint8)
        deflated = array.dtype == np.uint8 and array.nbytes >= _DEFLATED_FROM
        if deflated:
            data = np.frombuffer(zlib.compress(data.data, _DEFLATE_LEVEL), np.uint8)
        self.arrays[at] = data
        kind = "scalar" if isinstance(value, np.generic) else "array"
        return {_KIND: kind, "at": at, "dtype": array.dtype.str, "shape": list(value.shape), "deflated": deflated}


def unpack(data: Any, arrays: Mapping[str, Bytes]) -> Any:
    """The value that was packed as `data`, its arrays writable and its own.

    Raises:
        ValueError: JSON of no kind that is known, as a newer version may write.
    """
    if isinstance(data, list):
        return [unpack(item, arrays) for item in data]
    if not isinstance(data, dict):
        return data
    kind = data.get(_KIND)
    if kind is None:
        return {key: unpack(item, arrays) for key, item in data.items()}
    if kind in ("array", "scalar"):
        return _unpack_array(data, arrays[data["at"]])
    if kind == "tuple":
        return tuple(unpack(data["items"], arrays))
    if kind == "deque":
        return deque(unpack(data["items"], arrays), maxlen=data["maxlen"])
    if kind == "dict":
        return {unpack(k, arrays): unpack(v, arrays) for k, v in data["items"]}
    return _unpack_generator(kind, unpack(data["state"], arrays))


def to_bytes(value: Any) -> bytes:
    """A value as bytes that another process can read.

    Raises:
        NotPlain: It is no plain data.
    """
    packer = Packer()
    data = json.dumps(packer.pack(value, "state")).encode()
    return safetensors.numpy.save({**packer.arrays, "json": np.frombuffer(data, np.uint8)})


def from_bytes(raw: bytes) -> Any:
    """The value that `to_bytes` was given."""
    arrays = safetensors.numpy.load(raw)
    return unpack(json.loads(arrays.pop("json").tobytes()), arrays)


def unpacked_bytes(data: Any, arrays: Mapping[str, Bytes], digest: Callable[[bytes], str]) -> Any:
    """The JSON with digests of what arrays hold in place of their names: the same however they were written."""
    if isinstance(data, list):
        return [unpacked_bytes(item, arrays, digest) for item in data]
    if not isinstance(data, dict):
        return data
    if data.get(_KIND) in ("array", "scalar"):
        content = _content(data, arrays[data["at"]])
        return {"dtype": data["dtype"], "shape": data["shape"], "content": digest(content)}
    return {key: unpacked_bytes(item, arrays, digest) for key, item in data.items()}


def _content(data: dict[str, Any], raw: Bytes) -> bytes:
    return zlib.decompress(raw.tobytes()) if data["deflated"] else raw.tobytes()


def _unpack_array(data: dict[str, Any], raw: Bytes) -> Any:
    array = np.frombuffer(bytearray(_content(data, raw)), np.dtype(data["dtype"])).reshape(data["shape"])
    return array[()] if data[_KIND] == "scalar" else array


def _generator_kind(value: Any, at: str) -> str:
    if isinstance(value, np.random.Generator) and type(value.bit_generator).__name__ in _BIT_GENERATORS:
        return "generator"
    if type(value) is np.random.RandomState:
        return "random_state"
    if type(value) is random.Random:
        return "random"
    raise NotPlain(f"{at} holds a {type(value).__name__}")


def _generator_state(value: Any) -> Any:
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    return value.getstate() if isinstance(value, random.Random) else value.get_state(legacy=False)


def _unpack_generator(kind: str, state: Any) -> Any:
    if kind == "generator":
        generator = np.random.Generator(_BIT_GENERATORS[state["bit_generator"]]())
        generator.bit_generator.state = state
        return generator
    if kind == "random":
        plain = random.Random()  # noqa: S311  # as the environment had it
        plain.setstate(state)
        return plain
    if kind == "random_state":
        legacy = np.random.RandomState()  # as the environment had it
        legacy.set_state(state)
        return legacy
    raise ValueError(f"expected plain data, got an object of kind {kind!r}")
