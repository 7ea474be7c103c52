"""Surface reflectance beside top-of-atmosphere reflectance, in one sample."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.dataset.step1_index import load_index, save_index
from s2pipe.errors import ConfigError, MetadataError, MissingInputError, StatsMismatchError
from s2pipe.preprocess.cfg import AngleAssetConfig, LabelConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.pixels.radiometry import scene_radiometry
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.reader import inspect_raster
from s2pipe.sentinel2.channels import Channel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Dataset

BANDS = ("l2a.B04_10m", "l1c.B04", "l2a.B8A_20m")


def _config(dataset: Dataset, out_dir: Path, **changes: Any) -> PreprocessConfig:
    base = {"l1c_bands": None, "bands": BANDS, "target_grid_ref": "l2a.B04_10m", "max_scenes": 1}
    return dataset.config(out_dir, **{**base, **changes})


def _sample(out_dir: Path) -> tuple[Path, dict[str, Any]]:
    path = next(out_dir.rglob("meta.json"))
    return path.parent, json.loads(path.read_text())


def _product(dataset: Dataset, level: str) -> Path:
    return min(dataset.products.glob(f"*MSI{level}*"))


def test_both_levels_and_scl_in_one_sample(
    dataset: Dataset, tmp_path: Path, read_band: Callable[..., Any]
) -> None:
    config = _config(dataset, tmp_path / "out", labels=LabelConfig(enabled=True), valid_pixel_mask="per_band")
    assert not run_preprocess(config).failed
    where, meta = _sample(tmp_path / "out")
    names = ["l2a.B04_10m", "B04", "l2a.B8A_20m", "valid_l2a.B04_10m", "valid_B04", "valid_l2a.B8A_20m"]
    assert meta["assets"]["x"]["band_names"] == names
    assert meta["radiometry"]["unit"] == "reflectance"
    assert meta["radiometry"]["offset_by_band"] == dict.fromkeys(names[:3], -1000.0)
    assert {item["role"] for item in meta["inputs"]} == {
        "l1c.band.B04",
        "l1c.product_metadata",
        "l2a.band.B04_10m",
        "l2a.band.B8A_20m",
        "l2a.product_metadata",
        "l2a.scl_20m",
    }
    grid = inspect_raster(str(next(_product(dataset, "L2A").rglob("*B04_10m.jp2")))).grid
    assert inspect_raster(str(where / "x.tif")).grid == grid
    for number, path in ((1, "*B04_10m.jp2"), (2, "IMG_DATA/*_B04.jp2")):
        product = _product(dataset, "L2A" if number == 1 else "L1C")
        dn = read_band(next(product.rglob(path)))
        expected = np.where(dn > 0, (dn - np.float32(1000)) / np.float32(10000), np.float32(0))
        np.testing.assert_array_equal(read_band(where / "x.tif", number), expected)
        np.testing.assert_array_equal(read_band(where / "x.tif", number + 3), dn > 0)
    stack = (where / "stack.vrt").read_text()
    assert re.findall("<Description>(.*?)<", stack) == names[:3]
    np.testing.assert_array_equal(
        read_band(where / "stack.vrt", 1), read_band(next(_product(dataset, "L2A").rglob("*B04_10m.jp2")))
    )


def test_only_surface_reflectance_needs_no_l1c(dataset: Dataset, tmp_path: Path) -> None:
    index = load_index(dataset.index_json)
    path = tmp_path / "index.json"
    scenes = tuple(replace(scene, l1c=None, files_l1c=None) for scene in index.scenes)
    save_index(replace(index, scenes=scenes, output={"out_dir": dataset.root.as_posix()}), path)
    config = _config(
        dataset, tmp_path / "out", index_json=path, bands=("l2a.B8A_20m",), target_grid_ref="scl_20m"
    )
    assert not run_preprocess(config).failed
    assert _sample(tmp_path / "out")[1]["radiometry"]["unit"] == "boa_reflectance"
    with pytest.raises(MissingInputError, match=r"role l1c\.band\.B02 is not in the manifest"):
        run_preprocess(replace(config, bands=("l2a.B8A_20m", "l1c.B02")))


def test_statistics_carry_the_same_names(dataset: Dataset, tmp_path: Path) -> None:
    stats = tmp_path / "stats.json"
    config = _config(dataset, tmp_path / "out", normalize=NormalizeConfig("compute_only", stats))
    assert run_preprocess(config).stats_path == stats
    document = json.loads(stats.read_text())
    assert document["bands"] == ["l2a.B04_10m", "B04", "l2a.B8A_20m"]
    apply = replace(config, normalize=NormalizeConfig("apply_with_stats", stats))
    assert not run_preprocess(apply).failed
    with pytest.raises(StatsMismatchError, match="bands: the configuration says"):
        run_preprocess(replace(apply, bands=("l1c.B04", "l2a.B04_10m", "l2a.B8A_20m")))


def test_both_spellings_of_l1c_bands_are_one(dataset: Dataset, tmp_path: Path) -> None:
    contents = []
    for name, bands in (("one", {"l1c_bands": ("B04",), "bands": None}), ("two", {"bands": ("l1c.B04",)})):
        run_preprocess(_config(dataset, tmp_path / name, target_grid_ref="B04", **bands))
        contents.append((_sample(tmp_path / name)[0] / "x.tif").read_bytes())
    assert contents[0] == contents[1]


def test_angles_of_the_bands_behind_l2a_channels(dataset: Dataset, tmp_path: Path) -> None:
    run_preprocess(_config(dataset, tmp_path / "out", angles=AngleAssetConfig(enabled=True, encode="deg")))
    assert _sample(tmp_path / "out")[1]["assets"]["angles"]["band_names"][2:] == [
        "view_B04_zen_deg",
        "view_B04_azi_deg",
        "view_B8A_zen_deg",
        "view_B8A_azi_deg",
    ]


@pytest.mark.parametrize(
    ("bands", "l1c_bands", "message"),
    [
        (None, None, "expected either l1c_bands or bands, got neither"),
        (BANDS, ("B02",), "expected either l1c_bands or bands, got both"),
        (("l2a.B10_60m",), None, r"preprocess\.bands\[0\]: 'l2a.B10_60m' is not one of"),
        (("B02",), None, r"preprocess\.bands\[0\]"),
        (("l2a.B04_10m", "l2a.B04_10m"), None, "listed more than once"),
        ((), None, "at least 1 item"),
    ],
)
def test_wrong_bands(dataset: Dataset, tmp_path: Path, bands: Any, l1c_bands: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_preprocess(_config(dataset, tmp_path / "out", bands=bands, l1c_bands=l1c_bands))


def test_real_offsets_of_surface_reflectance(shared_data: Path) -> None:
    path = next(shared_data.glob("metadata/*MSIL2A*/MTD_MSIL2A.xml"))
    found = scene_radiometry(
        [(Channel.parse(name), path.read_bytes(), "l2a") for name in ("l2a.B04_10m", "l2a.B12_20m")]
    )
    assert found.offset == (-1000.0, -1000.0)
    assert found.quantification == (10000.0, 10000.0)
    with pytest.raises(MetadataError, match="expected L1C metadata for band B04, got L2A"):
        scene_radiometry([(Channel.l1c("B04"), path.read_bytes(), "l2a")])
