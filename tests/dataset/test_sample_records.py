"""Records of a sample's rasters and normalization: read back as they were written."""

from __future__ import annotations

import json
import math

import pytest

from s2pipe.config.schema import load_schema
from s2pipe.dataset.sample_records import AppliedNormalization, SampleRaster
from s2pipe.raster.grid import Grid

GRID = Grid("LOCAL_CS", (499_980.0, 20.0, 0.0, 5_500_020.0, 0.0, -20.0), (61, 83))


@pytest.mark.parametrize("nodata", [None, 0, 255.0, math.nan])
def test_a_raster_is_read_back_as_it_was_written(nodata: float | None) -> None:
    raster = SampleRaster("processed/x.tif", "float32", ("B02", "valid"), nodata, GRID)
    document = json.loads(json.dumps(raster.to_document(), allow_nan=False))
    again = SampleRaster.from_document(document)
    assert document["shape"] == [2, 61, 83]
    assert again.to_document() == raster.to_document()
    assert (again.band_names, again.grid) == (raster.band_names, GRID)
    assert again.nodata == nodata or (nodata is not None and math.isnan(nodata) and math.isnan(again.nodata))


def test_normalization_is_read_back_and_plain_values_have_no_statistics() -> None:
    plain = AppliedNormalization("none")
    assert plain.to_document() == {"mode": "none"}
    assert AppliedNormalization.from_document({"mode": "none"}) == plain
    assert not plain.is_applied
    applied = AppliedNormalization(
        "apply_with_stats", {"B02": 0.0}, {"B02": None}, {"B02": 0.1}, {"B02": 0.2}, "split", None, True
    )
    assert applied.is_applied
    assert AppliedNormalization.from_document(json.loads(json.dumps(applied.to_document()))) == applied


def test_the_fields_are_the_keys_of_the_schema() -> None:
    properties = load_schema("sample_meta")["properties"]
    applied = AppliedNormalization("apply_with_stats").to_document()
    assert set(applied) == set(properties["normalization"]["properties"])
    asset = properties["assets"]["additionalProperties"]["properties"]
    assert set(SampleRaster("x", "uint8", ("a",), None, GRID).to_document()) == set(asset)
