"""Products as a reader finds them: rasters through GDAL, metadata as XML, files by checksum."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.errors import ProductError
from s2pipe.runtime.hashing import hash_file
from s2pipe.runtime.progress import ProgressState, watch_progress
from s2pipe.sentinel2.bands import BAND_NAMES, BY_NAME, JP2_TILE_PX
from s2pipe.synthetic import ProductPaths, ProductSpec, make_products
from s2pipe.synthetic.imagery.strips import scene_of
from s2pipe.synthetic.swath import DETECTORS, nodes, swath_of

if TYPE_CHECKING:
    from pathlib import Path

gdal = pytest.importorskip("osgeo.gdal")
gdal.UseExceptions()

SMALL = ProductSpec(side_m=12_960, nodata_wedge=0.1, tci=True, l2a_resolutions=(10, 20, 60))
OLD = ProductSpec(side_m=6_120, nodata_wedge=0.0, baseline="02.06", tile_id="T32TNM", bands=("B02", "B8A"))
EOP, GML = "{http://www.opengis.net/eop/2.0}", "{http://www.opengis.net/gml/3.2}"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ProductPaths:
    return make_products(tmp_path_factory.mktemp("small"), SMALL)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> ProductPaths:
    return make_products(tmp_path_factory.mktemp("old"), OLD)


def read(path: Path) -> np.ndarray:
    """Pixels as (band, y, x)."""
    dataset = gdal.Open(str(path))
    kind = {"Byte": np.uint8, "UInt16": np.uint16}[gdal.GetDataTypeName(dataset.GetRasterBand(1).DataType)]
    shape = (dataset.RasterCount, dataset.RasterYSize, dataset.RasterXSize)
    return np.frombuffer(dataset.ReadRaster(), kind).reshape(shape)


def one(product: Path, pattern: str) -> Path:
    (path,) = product.glob(f"GRANULE/*/{pattern}")
    return path


def xml(path: Path) -> ET.Element:
    return ET.parse(path).getroot()


def files(product: Path) -> list[str]:
    return sorted(p.relative_to(product).as_posix() for p in product.rglob("*") if p.is_file())


def grids(root: ET.Element, tag: str) -> dict[tuple[int, int], np.ndarray]:
    """Zenith and azimuth (2, 23, 23) by band id and detector."""
    found = {}
    for element in root.iter(tag):
        key = int(element.get("bandId", -1)), int(element.get("detectorId", -1))
        found[key] = np.array(
            [
                [[float(v) for v in row.text.split()] for row in element.find(name).iter("VALUES")]  # type: ignore[union-attr]
                for name in ("Zenith", "Azimuth")
            ]
        )
    return found


def test_names_follow_the_compact_convention(small: ProductPaths) -> None:
    assert small.l2a is not None
    assert small.l1c.name == "S2A_MSIL1C_20251210T100319_N0511_R122_T33UWQ_20251210T130336.SAFE"
    assert small.l2a.name.startswith("S2A_MSIL2A_20251210T100319_N0511_R122_T33UWQ_")
    assert small.l1c.name[-20:] != small.l2a.name[-20:]
    found = files(small.l1c)
    assert "MTD_MSIL1C.xml" in found
    assert "manifest.safe" in found
    assert sum(name.endswith(".jp2") and "/IMG_DATA/" in name for name in found) == len(BAND_NAMES) + 1
    assert {p.name for p in small.l2a.glob("GRANULE/*/IMG_DATA/*")} == {"R10m", "R20m", "R60m"}


@pytest.mark.parametrize("band", ["B02", "B8A", "B09"])
def test_bands_read_back_exactly(small: ProductPaths, band: str) -> None:
    metres = BY_NAME[band].resolution_m
    expected = np.concatenate([strip.toa_dn(band) for strip in scene_of(SMALL).strips(metres)])
    path = one(small.l1c, f"IMG_DATA/*_{band}.jp2")
    np.testing.assert_array_equal(read(path)[0], expected)
    dataset = gdal.Open(str(path))
    first = dataset.GetRasterBand(1)
    assert dataset.GetGeoTransform() == (499980.0, metres, 0.0, 5500020.0, 0.0, -metres)
    assert dataset.GetSpatialRef().GetAuthorityCode(None) == "32633"
    assert first.GetMetadataItem("NBITS", "IMAGE_STRUCTURE") == "15"
    assert first.GetBlockSize() == [min(JP2_TILE_PX[metres], expected.shape[0])] * 2
    assert dataset.GetMetadataItem("COMPRESSION_REVERSIBILITY", "IMAGE_STRUCTURE") in ("LOSSLESS", None)
    assert list(path.parent.glob("*.aux.xml")) == []


def test_a_strip_equals_the_same_rows_of_the_whole() -> None:
    scene = scene_of(SMALL)
    strips = scene.strips(20)
    again = scene_of(SMALL).strips(20)[-1]
    np.testing.assert_array_equal(again.toa_dn("B11"), strips[-1].toa_dn("B11"))


def test_same_ground_in_neighbouring_tiles_of_a_zone() -> None:
    west = scene_of(ProductSpec(side_m=1200, nodata_wedge=0.0, clouds=0.0))
    east = scene_of(ProductSpec(side_m=1200, nodata_wedge=0.0, clouds=0.0, ulx=499980 + 600))
    a, b = west.strips(20)[0].ground.material, east.strips(20)[0].ground.material
    np.testing.assert_array_equal(a[:, 30:], b[:, :30])


def test_wedge_and_scene_classes(small: ProductPaths) -> None:
    assert small.l2a is not None
    scl = read(one(small.l2a, "IMG_DATA/R20m/*_SCL_20m.jp2"))[0]
    boa = read(one(small.l2a, "IMG_DATA/R20m/*_B04_20m.jp2"))[0]
    np.testing.assert_array_equal(scl == 0, boa == 0)
    assert 0.08 < (scl == 0).mean() < 0.14
    toa = read(one(small.l1c, "IMG_DATA/*_B05.jp2"))[0]
    assert (scl[toa == 0] == 0).all()
    assert {4, 5, 9} <= set(np.unique(scl).tolist()) <= set(range(12))
    # Clouds are bright, water is dark in the near infrared.
    nir = read(one(small.l2a, "IMG_DATA/R20m/*_B8A_20m.jp2"))[0].astype(float) - 1000
    assert nir[scl == 9].mean() > 4000 > nir[scl == 4].mean() > 1200
    clouds = np.isin(scl, (8, 9, 10)).sum() / (scl > 0).sum() * 100
    stated = float(xml(small.l1c / "MTD_MSIL1C.xml").findtext(".//Cloud_Coverage_Assessment") or "nan")
    assert stated == pytest.approx(clouds, abs=1e-5)
    nodata = float(xml(small.l2a / "MTD_MSIL2A.xml").findtext(".//NODATA_PIXEL_PERCENTAGE") or "nan")
    assert nodata == pytest.approx((scl == 0).mean() * 100, abs=1e-5)


def test_ragged_edge_differs_by_resolution(small: ProductPaths) -> None:
    ten = read(one(small.l1c, "IMG_DATA/*_B04.jp2"))[0] > 0
    twenty = read(one(small.l1c, "IMG_DATA/*_B05.jp2"))[0] > 0
    assert (ten[::2, ::2] != twenty).any()


@pytest.mark.parametrize("band", ["B02", "B12", "B01"])
def test_footprint_masks_hold_the_truth(small: ProductPaths, band: str) -> None:
    swath = swath_of(SMALL)
    metres = BY_NAME[band].resolution_m
    centres = (np.arange(SMALL.side_m // metres) + 0.5) * metres
    expected = swath.detector_at((swath.ulx + centres)[None, :], (swath.uly - centres)[:, None], band)
    found = read(one(small.l1c, f"QI_DATA/MSK_DETFOO_{band}.jp2"))[0]
    np.testing.assert_array_equal(found, expected)
    pixels = read(one(small.l1c, f"IMG_DATA/*_{band}.jp2"))[0]
    assert (found[pixels > 0] > 0).all()
    quality = read(one(small.l1c, f"QI_DATA/MSK_QUALIT_{band}.jp2"))
    np.testing.assert_array_equal(quality[7] == 1, pixels == 0)


def test_view_grids_are_finite_where_the_detector_sees(small: ProductPaths) -> None:
    swath = swath_of(SMALL)
    x, y = nodes(swath)
    found = grids(xml(one(small.l1c, "MTD_TL.xml")), "Viewing_Incidence_Angles_Grids")
    assert {band for band, _ in found} == set(range(13))
    for name in ("B02", "B09"):
        for detector in DETECTORS:
            covered = swath.covers(x, y, name, detector)
            values = found.get((BY_NAME[name].band_id, detector))
            assert (values is not None) == covered.any()
            if values is not None:
                np.testing.assert_array_equal(np.isfinite(values), np.stack([covered, covered]))
                expected = np.stack(swath.view_angles_at(x, y, name, detector))
                np.testing.assert_allclose(values[:, covered], expected[:, covered], atol=1e-3)


def test_sun_grid_is_full_and_mean_is_plain(small: ProductPaths) -> None:
    root = xml(one(small.l1c, "MTD_TL.xml"))
    (values,) = grids(root, "Sun_Angles_Grid").values()
    assert values.shape == (2, 23, 23)
    assert np.isfinite(values).all()
    expected = np.stack(swath_of(SMALL).sun_angles_at(*nodes(swath_of(SMALL))))
    np.testing.assert_allclose(values, expected, atol=1e-3)
    assert float(root.findtext(".//Mean_Sun_Angle/ZENITH_ANGLE") or "nan") == pytest.approx(
        values[0].mean(), abs=1e-3
    )


def test_radiometry_of_current_baselines(small: ProductPaths) -> None:
    assert small.l2a is not None
    root = xml(small.l1c / "MTD_MSIL1C.xml")
    assert root.findtext(".//PRODUCT_URI") == small.l1c.name
    assert root.findtext(".//QUANTIFICATION_VALUE") == "10000"
    offsets = {e.get("band_id"): e.text for e in root.iter("RADIO_ADD_OFFSET")}
    assert offsets == {str(i): "-1000" for i in range(13)}
    images = [e.text for e in root.iter("IMAGE_FILE")]
    assert all((small.l1c / f"{image}.jp2").is_file() for image in images)
    boa = xml(small.l2a / "MTD_MSIL2A.xml")
    assert boa.findtext(".//BOA_QUANTIFICATION_VALUE") == "10000"
    assert len(list(boa.iter("BOA_ADD_OFFSET"))) == 13
    l1c_id = xml(one(small.l1c, "MTD_TL.xml")).findtext(".//TILE_ID")
    assert xml(one(small.l2a, "MTD_TL.xml")).findtext(".//L1C_TILE_ID") == l1c_id
    masks = [e.text or "" for e in xml(one(small.l1c, "MTD_TL.xml")).iter("MASK_FILENAME")]
    assert len(masks) == 27
    assert all((small.l1c / mask).is_file() for mask in masks)


def test_old_baselines(old: ProductPaths) -> None:
    root = xml(old.l1c / "MTD_MSIL1C.xml")
    assert "_N0206_" in old.l1c.name
    assert root.findtext(".//PROCESSING_BASELINE") == "02.06"
    assert list(root.iter("RADIO_ADD_OFFSET")) == []
    assert not list(old.l1c.glob("GRANULE/*/QI_DATA/*.jp2"))
    swath, seen = swath_of(OLD), set()
    for feature in xml(one(old.l1c, "QI_DATA/MSK_DETFOO_B02.gml")).iter(f"{EOP}MaskFeature"):
        detector = int(feature.get(f"{GML}id", "").split("-")[2])
        seen.add(detector)
        points = [float(v) for v in next(feature.iter(f"{GML}posList")).text.split()]  # type: ignore[union-attr]
        corners = np.array(points).reshape(-1, 3)
        np.testing.assert_array_equal(corners[0], corners[-1])
        west, east = swath.limits("B02", detector)
        across = swath.across(corners[:, 0], corners[:, 1])
        assert across.min() >= west - 0.01
        assert across.max() <= east + 0.01
    x, y = nodes(swath)
    assert seen >= {d for d in DETECTORS if swath.covers(x[:22, :22], y[:22, :22], "B02", d).any()}


@pytest.mark.parametrize("which", ["small", "old"])
def test_manifest_lists_every_file(which: str, request: pytest.FixtureRequest) -> None:
    paths = request.getfixturevalue(which)
    for product in (paths.l1c, paths.l2a):
        listed = {}
        for entry in xml(product / "manifest.safe").iter("byteStream"):
            href = entry.find("fileLocation").get("href")  # type: ignore[union-attr]
            checksum = entry.find("checksum")
            assert checksum is not None
            assert href is not None
            assert href.startswith("./")
            path = product / href
            assert path.stat().st_size == int(entry.get("size", -1))
            listed[href[2:]] = checksum.text or ""
            name = checksum.get("checksumName", "")
            assert name == ("SHA3-256" if which == "small" else "MD5")
            assert hash_file(path, name) == listed[href[2:]].lower()
        assert sorted([*listed, "manifest.safe"]) == files(product)
        upper = [value for value in listed.values() if value != value.lower()]
        assert bool(upper) == (which == "small")


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    spec = ProductSpec(side_m=3_000, bands=("B02", "B05"), sensing_start=SMALL.sensing_start)
    first, second = make_products(tmp_path / "a", spec), make_products(tmp_path / "b", spec)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes()
        for f in files(first.l1c.parent)
    )
    other = make_products(tmp_path / "c", ProductSpec(side_m=3_000, bands=("B02", "B05"), seed=1, l2a=False))
    band = "IMG_DATA/*_B02.jp2"
    assert one(other.l1c, band).read_bytes() != one(second.l1c, band).read_bytes()
    assert other.l2a is None


@pytest.mark.parametrize("side", [60, 660, 6_120])
def test_odd_sizes(tmp_path: Path, side: int) -> None:
    paths = make_products(
        tmp_path, ProductSpec(side_m=side, bands=("B02", "B09"), l2a=False, nodata_wedge=0.0)
    )
    assert read(one(paths.l1c, "IMG_DATA/*_B02.jp2")).shape == (1, side // 10, side // 10)
    assert read(one(paths.l1c, "IMG_DATA/*_B09.jp2")).shape == (1, side // 60, side // 60)


def test_failed_run_leaves_no_product(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(FileExistsError):
        make_products(tmp_path / "out", ProductSpec(side_m=600))
    assert (tmp_path / "out").read_text() == "in the way"


def test_import_is_light() -> None:
    code = "import sys, s2pipe.demo; print([m for m in ('osgeo', 'numpy', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rasters_too_large_for_memory_come_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ProductSpec(side_m=3_600, bands=("B02", "B05"))
    make_products(tmp_path / "a", spec)
    monkeypatch.setattr("s2pipe.synthetic.build._IN_MEMORY_BYTES", 0)
    make_products(tmp_path / "b", spec)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files(tmp_path / "a")
    )
    assert len(list((tmp_path / "b").iterdir())) == 2


def test_only_synthetic_products_are_replaced(tmp_path: Path) -> None:
    spec = ProductSpec(side_m=1_920, bands=("B02",), l2a=False, quality_masks=False)
    first = make_products(tmp_path / "out", spec).l1c
    (first / "left.txt").write_text("of an earlier run")
    assert make_products(tmp_path / "out", spec).l1c == first
    assert not (first / "left.txt").exists()
    manifest = first / "manifest.safe"
    manifest.write_bytes(manifest.read_bytes()[:-10])
    before = files(first)
    with pytest.raises(ProductError, match="no synthetic product that s2pipe made"):
        make_products(tmp_path / "out", spec)
    assert files(first) == before
    first.rename(tmp_path / "elsewhere")
    first.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProductError, match="nothing was replaced"):
        make_products(tmp_path / "out", spec)
    assert files(tmp_path / "elsewhere") == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == [first.name]


def test_progress_moves_while_rasters_are_drawn_and_written(tmp_path: Path) -> None:
    seen: list[ProgressState] = []
    with watch_progress(seen.append):
        make_products(tmp_path, ProductSpec(side_m=1_200, bands=("B02",), l2a=False))
    last = seen[-1]
    assert (last.what, last.done, last.fraction) == ("files", last.total, 1.0)
    assert last.total == len(list(tmp_path.rglob("*.jp2")))
    assert any(0 < state.fraction < 1 for state in seen)
