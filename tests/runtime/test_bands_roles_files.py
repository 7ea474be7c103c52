"""The lowest floor: bands, roles, files."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Never

import pytest

from s2pipe.errors import LockedError
from s2pipe.runtime.files import _acquire, atomic_path, hash_file, locked, write_json_atomic
from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.bands import (
    BAND_NAMES,
    BANDS,
    BY_NAME,
    JP2_TILE_PX,
    L2A_BANDS_BY_RESOLUTION,
    SCL_CLASSES,
)


def test_band_table() -> None:
    assert [band.band_id for band in BANDS] == list(range(13))
    assert (BY_NAME["B8A"].band_id, BY_NAME["B8A"].resolution_m, BY_NAME["B09"].band_id) == (8, 20, 9)
    by_resolution = {r: [b.name for b in BANDS if b.resolution_m == r] for r in (10, 20, 60)}
    assert by_resolution == {
        10: ["B02", "B03", "B04", "B08"],
        20: ["B05", "B06", "B07", "B8A", "B11", "B12"],
        60: ["B01", "B09", "B10"],
    }
    assert set(JP2_TILE_PX) == {10, 20, 60}
    assert sorted(SCL_CLASSES) == list(range(12))
    assert all("B10" not in bands for bands in L2A_BANDS_BY_RESOLUTION.values())


def test_roles_are_unique_and_spelt_as_documented() -> None:
    assert len(set(roles.ALL_ROLES)) == len(roles.ALL_ROLES)
    assert {roles.l1c_band(band) for band in BAND_NAMES} <= set(roles.ALL_ROLES)
    assert {"l1c.detector_footprint.B8A", "l2a.scl_20m", "l2a.band.B04_10m"} <= set(roles.ALL_ROLES)


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> Never:
    target = tmp_path / "index.json"
    write_json_atomic(target, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(target, {"a": float("nan")})
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(target.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("algorithm", ["MD5", "md5", "SHA3-256", "sha3_256"])
def test_checksums_by_the_names_of_safe_manifests(tmp_path: Path, algorithm: str) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"s2")
    expected = hashlib.new(algorithm.lower().replace("-", "_"), b"s2").hexdigest()
    assert hash_file(file, algorithm) == expected


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    path = Path(tmp_path, "meta", ".lock")
    with locked(path), pytest.raises(LockedError, match="another"), locked(path, wait=False):
        pass
    order: list[str] = []

    def wait() -> None:
        with locked(path):
            order.append("second")

    with locked(path):
        thread = threading.Thread(target=wait)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_lock_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    class Closed:
        def fileno(self) -> int:
            descriptor = os.open(tmp_path, os.O_RDONLY)
            os.close(descriptor)
            return descriptor

    with pytest.raises(LockedError, match=r"cannot be locked \(EBADF: .*; file system: \w+\)") as caught:
        _acquire(Closed(), tmp_path / "x.lock", wait=True)  # type: ignore[arg-type]
    assert "another" not in str(caught.value)
