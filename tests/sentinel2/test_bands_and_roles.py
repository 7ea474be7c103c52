"""The table of bands and the names of roles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.bands import (
    BAND_NAMES,
    BANDS,
    BY_NAME,
    JP2_TILE_PX,
    L2A_BANDS_BY_RESOLUTION,
    SCL_CLASSES,
)
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def test_the_schema_of_an_index_names_all_roles_as_examples() -> None:
    schema = json.loads((ROOT / "schemas" / "step1_index.schema.json").read_text())
    (examples,) = _examples(schema)
    assert examples == list(roles.ALL_ROLES)


def _examples(value: Any) -> Iterator[list[str]]:
    if isinstance(value, dict):
        if "role" in value and "examples" in value["role"]:
            yield value["role"]["examples"]
        for item in value.values():
            yield from _examples(item)
