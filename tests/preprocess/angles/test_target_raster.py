"""Angles on the target grid: values, channels, bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.raster.grid import Grid
from s2pipe.raster.jp2 import write_jp2
from s2pipe.raster.reader import inspect_raster
from s2pipe.raster.transform import crs_wkt
from s2pipe.sentinel2.bands import JP2_TILE_PX
from s2pipe.synthetic.metadata.tile_xml import tile_xml
from tests.preprocess.angles.angles_support import (
    BANDS,
    NODE_ERROR,
    ON,
    Scene,
    angles_of,
    apart,
    centres,
    channels,
    run_angles,
    true_view,
    vectors_of,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("encode", ["sin_cos", "deg"])
def test_every_pixel_carries_its_own_detector_s_angle(rasters: Scene, tmp_path: Path, encode: str) -> None:
    where, meta = run_angles(rasters, tmp_path / "out", replace(ON, encode=encode))
    found = channels(where / "angles.tif")
    kinds = ("sin", "cos") if encode == "sin_cos" else ("deg",)
    prefixes = ("sun", "view_B02", "view_B8A", "view_B11")
    expected_names = [f"{p}_{a}_{k}" for p in prefixes for a in ("zen", "azi") for k in kinds]
    assert list(found) == expected_names == meta["assets"]["angles"]["band_names"]
    assert meta["assets"]["angles"]["nodata"] == "nan"
    assert meta["angles"]["detector_source_by_band"] == dict.fromkeys(BANDS, "footprint_mask")
    assert "l1c.detector_footprint.B8A" in [item["role"] for item in meta["inputs"]]
    grid = inspect_raster(str(where / "angles.tif")).grid
    assert grid == inspect_raster(str(where / "x.tif")).grid
    for band, mask_m in (("B02", 10), ("B8A", 20), ("B11", 20)):
        detector, truth = true_view(rasters, grid, band, mask_m)
        zenith, azimuth = angles_of(found, f"view_{band}")
        np.testing.assert_array_equal(np.isfinite(zenith), detector > 0)
        seen = detector > 0
        error = apart((zenith, azimuth), truth)[seen]
        # One detector further would be 1.3 degrees off or more.
        assert error.max() < NODE_ERROR
        assert len(np.unique(detector)) >= 3
    sun = rasters.swath.sun_angles_at(*centres(grid))
    assert apart(angles_of(found, "sun"), sun).max() < 1e-3


def test_degrees_agree_with_sine_and_cosine(rasters: Scene, tmp_path: Path) -> None:
    found = []
    for encode in ("deg", "sin_cos"):
        where, _ = run_angles(rasters, tmp_path / encode, replace(ON, encode=encode))
        found.append(channels(where / "angles.tif"))
    for prefix in ("sun", "view_B02", "view_B8A", "view_B11"):
        (zenith, azimuth), (same, turned) = (angles_of(one, prefix) for one in found)
        np.testing.assert_array_equal(np.isnan(zenith), np.isnan(same))
        assert np.nanmax(np.abs(zenith - same)) < 1e-3
        assert np.nanmax(np.abs((azimuth - turned + 180) % 360 - 180)) < 1e-3


def test_polygons_say_where_the_seam_is(polygons: Scene, tmp_path: Path) -> None:
    where, meta = run_angles(polygons, tmp_path / "out", ON)
    assert meta["angles"]["detector_source_by_band"] == dict.fromkeys(BANDS, "footprint_polygons")
    found = channels(where / "angles.tif")
    grid = inspect_raster(str(where / "angles.tif")).grid
    for band in BANDS:
        detector, truth = true_view(polygons, grid, band, None)
        zenith, azimuth = angles_of(found, f"view_{band}")
        np.testing.assert_array_equal(np.isfinite(zenith), detector > 0)
        assert apart((zenith, azimuth), truth)[detector > 0].max() < NODE_ERROR


def test_single_is_the_mean_of_the_bands_as_vectors(rasters: Scene, tmp_path: Path) -> None:
    where, meta = run_angles(rasters, tmp_path / "out", replace(ON, view_mode="single", include_sun=False))
    found = channels(where / "angles.tif")
    assert list(found) == ["view_zen_sin", "view_zen_cos", "view_azi_sin", "view_azi_cos"]
    assert meta["angles"]["view_mode"] == "single"
    per_band, _ = run_angles(rasters, tmp_path / "bands", replace(ON, include_sun=False))
    each = channels(per_band / "angles.tif")
    stacked = np.stack([vectors_of(*angles_of(each, f"view_{band}")) for band in BANDS])
    anywhere = np.isfinite(stacked[..., 0]).any(axis=0)
    total = np.nansum(stacked, axis=0)[anywhere]
    expected = total / np.linalg.norm(total, axis=-1, keepdims=True)
    got = vectors_of(*angles_of(found, "view"))
    np.testing.assert_array_equal(np.isfinite(got[..., 0]), anywhere)
    assert np.abs(got[anywhere] - expected).max() < 3e-6
    assert not np.isfinite(stacked[..., 0]).all(axis=0)[anywhere].all()  # the bands' edges differ


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("encode", ["sin_cos", "deg"])
def test_missing_angles_become_0_with_a_mask(rasters: Scene, tmp_path: Path, encode: str, dtype: str) -> None:
    options = replace(ON, encode=encode, dtype=dtype)
    plain, _ = run_angles(rasters, tmp_path / "nan", options)
    masked, meta = run_angles(rasters, tmp_path / "zero", replace(options, fill=0))
    expected, found = channels(plain / "angles.tif"), channels(masked / "angles.tif")
    assert meta["assets"]["angles"]["nodata"] is None
    assert list(found) == [*expected, "valid_angles"] == meta["assets"]["angles"]["band_names"]
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], np.nan_to_num(values))
    known = np.isfinite(np.stack(list(expected.values()))).all(axis=0)
    np.testing.assert_array_equal(found["valid_angles"], known)
    assert 0 < known.mean() < 1


def test_view_bands(rasters: Scene, tmp_path: Path) -> None:
    where, meta = run_angles(
        rasters, tmp_path / "out", replace(ON, view_bands=("B11",), include_sun=False, encode="deg")
    )
    assert list(channels(where / "angles.tif")) == ["view_B11_zen_deg", "view_B11_azi_deg"]
    assert list(meta["angles"]["detector_source_by_band"]) == ["B11"]


def test_sun_alone_reads_no_masks(rasters: Scene, tmp_path: Path) -> None:
    where, meta = run_angles(rasters, tmp_path / "out", replace(ON, include_view=False))
    assert list(channels(where / "angles.tif")) == [
        "sun_zen_sin",
        "sun_zen_cos",
        "sun_azi_sin",
        "sun_azi_cos",
    ]
    assert meta["angles"]["detector_source_by_band"] == {}
    assert not [item for item in meta["inputs"] if "footprint" in item["role"]]


def test_int16_is_scaled_in_the_file(rasters: Scene, tmp_path: Path) -> None:
    for encode, limit in (("sin_cos", 0.004), ("deg", 0.0075)):
        plain, _ = run_angles(rasters, tmp_path / f"f{encode}", replace(ON, encode=encode))
        small, meta = run_angles(rasters, tmp_path / f"i{encode}", replace(ON, encode=encode, dtype="int16"))
        assert meta["assets"]["angles"]["dtype"] == "int16"
        assert meta["assets"]["angles"]["nodata"] == -32768
        one, other = channels(plain / "angles.tif"), channels(small / "angles.tif")
        for prefix in ("sun", "view_B11"):
            error = apart(angles_of(one, prefix), angles_of(other, prefix))
            assert np.nanmax(error) < limit
            np.testing.assert_array_equal(np.isnan(one[f"{prefix}_zen_{'deg' if encode == 'deg' else 'sin'}"]),
                                          np.isnan(error))  # fmt: skip


def test_bytes_do_not_depend_on_threads(rasters: Scene, tmp_path: Path) -> None:
    contents = []
    for threads in (1, 3):
        where, _ = run_angles(
            rasters, tmp_path / str(threads), replace(ON, view_mode="single"), num_workers=threads
        )
        contents.append((where / "angles.tif").read_bytes())
    assert contents[0] == contents[1]


def test_windows_do_not_show(rasters: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = run_angles(rasters, tmp_path / "one", ON)
    monkeypatch.setattr("s2pipe.preprocess.angles.target_raster._WINDOW_BYTES", 1)  # windows of one file tile
    other, _ = run_angles(rasters, tmp_path / "other", ON)
    for name, values in channels(one / "angles.tif").items():
        np.testing.assert_array_equal(values, channels(other / "angles.tif")[name])


@pytest.mark.parametrize(("band", "mask_m"), [("B02", 10), ("B8A", 20), ("B01", 60)])
@pytest.mark.parametrize("target_m", [10, 20, 60])
def test_masks_of_every_resolution(
    rasters: Scene, tmp_path: Path, band: str, mask_m: int, target_m: int
) -> None:
    """A mask as products have it: JPEG 2000 on the band's own grid, a pixel's value is its detector."""
    swath, side = rasters.swath, rasters.spec.side_m
    corner = (swath.ulx, mask_m, 0.0, swath.uly, 0.0, -mask_m)
    mask_grid = Grid(crs_wkt(swath.epsg), corner, (side // mask_m, side // mask_m))
    ids = swath.detector_at(*centres(mask_grid), band)
    mask = tmp_path / f"MSK_DETFOO_{band}.jp2"
    write_jp2(mask, mask_grid, ids, JP2_TILE_PX[mask_m])
    assert inspect_raster(str(mask)).dtype == "Byte"
    tile = tile_xml(rasters.spec.names("L1C"), swath, [], np.zeros(12, np.int64))
    (tmp_path / "MTD_TL.xml").write_bytes(tile)
    target = replace(mask_grid, geotransform=(swath.ulx, target_m, 0.0, swath.uly, 0.0, -target_m),
                     shape_yx=(side // target_m, side // target_m))  # fmt: skip
    config = replace(ON, include_sun=False, encode="deg")
    result = write(
        tmp_path / "out", tmp_path / "MTD_TL.xml", target, config, bands=(band,), masks={band: mask}
    )
    assert result.document["detector_source_by_band"] == {band: "footprint_mask"}
    detector, truth = true_view(rasters, target, band, mask_m)
    got = angles_of(channels(tmp_path / "out/angles.tif"), f"view_{band}")
    np.testing.assert_array_equal(np.isfinite(got[0]), detector > 0)
    assert len(np.unique(detector)) >= 3
    assert apart(got, truth)[detector > 0].max() < NODE_ERROR
