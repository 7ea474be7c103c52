"""Archives of arrays are read as ``numpy.load`` reads them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.preprocess.stats.archive import read_arrays

if TYPE_CHECKING:
    from collections.abc import Callable

ARRAYS: dict[str, Any] = {
    "counts": np.arange(12, dtype=np.int64).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "big_endian": np.arange(5, dtype=">i4"),
    "about": np.array('{"a": 1}'),
    "nothing": np.empty((0, 3)),
}


def archive_of(save: Callable[..., None], **arrays: Any) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_that_numpy_loads(save: Callable[..., None]) -> None:
    data = archive_of(save, **ARRAYS)
    found = read_arrays(data, ARRAYS, check=True)
    with np.load(io.BytesIO(data)) as expected:
        for name in ARRAYS:
            assert found[name].dtype == expected[name].dtype
            assert np.array_equal(found[name], expected[name])


def test_a_missing_array_and_an_object_are_refused() -> None:
    with pytest.raises(KeyError):
        read_arrays(archive_of(np.savez, a=np.zeros(3)), ["b"], check=False)
    with pytest.raises(ValueError, match="object arrays"):
        read_arrays(archive_of(np.savez, a=np.array([{}, []], object)), ["a"], check=False)


def test_a_changed_member_does_not_pass_its_checksum() -> None:
    data = archive_of(np.savez, a=np.arange(100))
    place = data.index(np.arange(100).tobytes()) + 8
    changed = data[:place] + b"\x07" + data[place + 1 :]
    assert read_arrays(changed, ["a"], check=False)["a"][1] == 7
    with pytest.raises(ValueError, match=r"a\.npy is damaged"):
        read_arrays(changed, ["a"], check=True)


def test_more_values_than_a_header_claims_are_refused() -> None:
    data = archive_of(np.savez, a=np.zeros((3, 4)))
    with pytest.raises(ValueError, match="reshape"):
        read_arrays(data.replace(b"(3, 4)", b"(2, 4)"), ["a"], check=False)
