"""Plain data comes back from a checkpoint as it was, to the type and the bit; what is not plain is named."""

import json
import math
import random
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prefrl.plain import NotPlain, Packer, unpack, unpacked_bytes


def there_and_back(value: Any) -> Any:
    packer = Packer()
    return unpack(json.loads(json.dumps(packer.pack(value, "here"))), packer.arrays)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, 2**120, -0.1, "text", [1, [2.5, None]], (1, ("a",)), {"a": 1, "~": 2}, {1: "b", (2, 3): "c"},
        deque([1, 2], maxlen=2), math.pi,
    ],
)  # fmt: skip
def test_values_come_back_with_their_types(value: Any) -> None:
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)
    if isinstance(value, deque):
        assert back.maxlen == value.maxlen


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.5, np.nan, -np.inf]), np.zeros((0, 3), np.float32), np.array(3, np.int16), np.array([True, False]),
        np.arange(6, dtype=np.uint32).reshape(2, 3).T, np.array(["a", "bc"]), np.zeros((300, 300), np.uint8),
    ],
)  # fmt: skip
def test_arrays_come_back_to_the_bit_and_can_be_written_to(array: NDArray[Any]) -> None:
    back = there_and_back(array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    back[...] = back


def test_scalars_of_numpy_stay_scalars_of_numpy() -> None:
    assert type(there_and_back(np.float32(0.1))) is np.float32
    assert there_and_back(np.float32(0.1)) == np.float32(0.1)


def test_large_pictures_are_deflated_and_hash_as_what_they_show() -> None:
    picture = np.zeros((300, 300), np.uint8)
    packer = Packer()
    data = packer.pack(picture, "p")
    assert packer.arrays["p"].nbytes < 1000
    assert unpacked_bytes(data, packer.arrays, bytes.hex)["content"] == "00" * 90_000


def test_generators_go_on_as_they_would_have() -> None:
    kinds: list[Any] = [np.random.default_rng(1), np.random.RandomState(1), random.Random(1)]  # noqa: S311
    for one in kinds:
        one.random()
        other = there_and_back(one)
        assert [one.random() for _ in range(5)] == [other.random() for _ in range(5)]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"a": [1, Path()]}, r"here\.a\.1 holds a (Posix|Windows)Path"),
        (np.array([None]), "here is an array of objects"),
        ({1, 2}, "here holds a set"),
    ],
)
def test_what_is_not_plain_is_named(value: Any, what: str) -> None:
    with pytest.raises(NotPlain, match=what):
        Packer().pack(value, "here")


def test_one_object_in_two_places_is_not_plain_for_it_would_come_back_as_two() -> None:
    grid = np.zeros(3)
    with pytest.raises(NotPlain, match=r"here\.seen is the same object"):
        Packer().pack({"grid": grid, "seen": grid}, "here")


def test_a_kind_that_a_newer_version_wrote_is_refused() -> None:
    with pytest.raises(ValueError, match="of kind 'graph'"):
        unpack({"~": "graph", "state": 1}, {})
