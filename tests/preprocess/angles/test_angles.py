"""Angles in a run: rebuilt, replaced, refused."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.errors import ConfigError, MetadataError, MissingInputError
from s2pipe.indexing.run import index_products
from s2pipe.preprocess.cfg import AngleAssetConfig, NormalizeConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.grid import Grid
from s2pipe.raster.transform import crs_wkt
from tests.preprocess.angles.angles_support import (
    ON,
    Scene,
    run_angles,
    sample_of,
    without,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_sample_is_rebuilt_when_a_mask_changes(rasters: Scene, tmp_path: Path) -> None:
    config = replace(
        rasters.config(tmp_path / "out", ON), verify_inputs="size"
    )  # else checksums count, not times
    assert run_preprocess(config).done
    assert run_preprocess(config).up_to_date
    mask = next((rasters.root / "raw/L1C").rglob("MSK_DETFOO_B11.jp2"))
    content = mask.read_bytes()
    mask.unlink()  # a link to the product: that one stays as it is
    mask.write_bytes(content)
    os.utime(mask, ns=(1, 1))
    assert run_preprocess(config).done
    assert run_preprocess(replace(config, angles=AngleAssetConfig())).done
    where, meta = sample_of(tmp_path / "out")
    assert meta["angles"] == {"enabled": False}
    assert not (where / "angles.tif").exists()


def test_files_of_another_configuration_go_away(rasters: Scene, tmp_path: Path) -> None:
    config = rasters.config(tmp_path / "out", replace(ON, grid="vrt", output_name="one.tif"))
    run_preprocess(config)
    run_preprocess(replace(config, angles=replace(ON, output_name="two.tif")))
    where, _ = sample_of(tmp_path / "out")
    assert {path.name for path in where.iterdir() if path.is_file()} == {
        "x.tif",
        "two.tif",
        "stack.vrt",
        "meta.json",
        ".lock",
    }


def test_tile_metadata_is_needed_but_not_for_statistics(rasters: Scene, tmp_path: Path) -> None:
    path = without(rasters, "l1c.tile_metadata", "l2a.tile_metadata")
    config = rasters.config(tmp_path / "out", ON, index_json=path)
    lacking = (
        r"role l1c\.tile_metadata is not in the manifest, and role l2a\.tile_metadata is not in the manifest"
    )
    with pytest.raises(MissingInputError, match=lacking):
        run_preprocess(config)
    assert not (tmp_path / "out").exists()
    count = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "stats.json")
    assert run_preprocess(replace(config, normalize=count)).done


def test_metadata_and_masks_of_l2a_stand_in_for_those_of_l1c(rasters: Scene, tmp_path: Path) -> None:
    """The same rasters, and a record of where they come from; those of L1C are preferred."""
    own, meta = run_angles(rasters, tmp_path / "l1c", ON)
    assert meta["angles"]["metadata"] == "l1c.tile_metadata"
    assert set(meta["angles"]["footprint_by_band"].values()) == {
        f"l1c.detector_footprint.{band}" for band in ("B02", "B8A", "B11")
    }
    path = without(rasters, "l1c.tile_metadata", "l1c.detector_footprint.B8A", "l1c.detector_footprint.B11")
    other, meta = run_angles(rasters, tmp_path / "l2a", ON, index_json=path)
    assert meta["angles"]["metadata"] == "l2a.tile_metadata"
    assert meta["angles"]["footprint_by_band"] == {
        "B02": "l1c.detector_footprint.B02",
        "B8A": "l2a.detector_footprint.B8A",
        "B11": "l2a.detector_footprint.B11",
    }
    assert {
        item["role"] for item in meta["inputs"] if "footprint" in item["role"] or "tile" in item["role"]
    } == {
        "l2a.tile_metadata",
        *meta["angles"]["footprint_by_band"].values(),
    }
    assert (own / "angles.tif").read_bytes() == (other / "angles.tif").read_bytes()


def test_a_dataset_of_l2a_alone_has_angles(rasters: Scene, tmp_path: Path) -> None:
    """Products of level 2A alone, indexed and processed."""
    (product,) = (rasters.root.parent / "products").glob("*MSIL2A*")
    index_products([product], tmp_path / "data")
    config = rasters.config(
        tmp_path / "out",
        replace(ON, require_footprints=True),
        index_json=tmp_path / "data/meta/step1/index.json",
        target_grid_ref="scl_20m",
        l1c_bands=None,
        bands=("l2a.B02_20m", "l2a.B8A_20m", "l2a.B11_20m"),
    )
    assert run_preprocess(config).done
    where, meta = sample_of(tmp_path / "out")
    assert meta["angles"]["metadata"] == "l2a.tile_metadata"
    assert set(meta["angles"]["detector_source_by_band"].values()) == {"footprint_mask"}
    same, _ = run_angles(rasters, tmp_path / "both", ON, target_grid_ref="scl_20m")
    assert (where / "angles.tif").read_bytes() == (same / "angles.tif").read_bytes()


def test_required_footprints_are_missing_inputs(rasters: Scene, tmp_path: Path) -> None:
    path = without(rasters, "l1c.detector_footprint.B11", "l2a.detector_footprint.B11")
    angles = replace(ON, require_footprints=True)
    config = rasters.config(tmp_path / "out", angles, index_json=path)
    with pytest.raises(
        MissingInputError, match=r"role l1c\.detector_footprint\.B11 is not in the manifest, and"
    ) as caught:
        run_preprocess(config)
    assert "B02" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    # Either product's mask will do, and without the rule none is needed.
    run_angles(rasters, tmp_path / "l2a", angles, index_json=without(rasters, "l1c.detector_footprint."))
    _, meta = run_angles(rasters, tmp_path / "seams", ON, index_json=path)
    assert meta["angles"]["detector_source_by_band"]["B11"] == "node_seam"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"output_name": "../angles.tif"}, "angles.output_name"),
        ({"output_name": "a/b.tif"}, "angles.output_name"),
        ({"output_name": "angles.jp2"}, "angles.output_name"),
        ({"output_name": "x.tif"}, "angles.output_name"),
        ({"output_name": "Stack.tif"}, "angles.output_name"),
        ({"output_name": "nul.tif"}, "angles.output_name"),
        ({"include_sun": False, "include_view": False}, "angles.include_sun"),
        ({"view_bands": ()}, "angles.view_bands"),
        ({"require_footprints": True, "include_view": False}, "angles.require_footprints"),
        ({"require_footprints": True, "detector_aggregate": "nearest"}, "angles.require_footprints"),
        ({"grid": "vrt", "encode": "deg"}, "angles.encode"),
        ({"grid": "native", "dtype": "int16"}, "angles.dtype"),
        ({"dtype": "float16"}, "angles.dtype"),
    ],
)
def test_configurations_that_make_no_sense(
    rasters: Scene, tmp_path: Path, change: dict[str, Any], path: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"preprocess.{path}")):
        run_preprocess(rasters.config(tmp_path / "out", replace(ON, **change)))


def _without(tag: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"<{tag}\b.*?</{tag}>", "", text, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("Sun_Angles_Grid"), r"Sun_Angles_Grid: is missing"),
        (_without("Viewing_Incidence_Angles_Grids"), r"Viewing_Incidence_Angles_Grids: none for band B02"),
        (lambda text: text.replace(">5000<", ">4000<", 1), r"COL_STEP: expected 5000 m, got '4000'"),
        (
            lambda text: re.sub(r"<VALUES>\S+ ", "<VALUES>", text, count=1),
            r"Sun_Angles_Grid/Zenith/Values_List/VALUES: expected 23 rows of 23 numbers",
        ),
        (
            lambda text: re.sub(r"<VALUES>\S+ ", "<VALUES>many ", text, count=1),
            r"Zenith/Values_List/VALUES: expected numbers or NaN",
        ),
        (lambda text: re.sub(r'bandId="1"', 'bandId="77"', text), r"@bandId: expected 0 to 12, got 77"),
        (
            lambda text: (
                '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + text[text.index("?>") + 2 :]
            ),
            r"document types and entities are refused",
        ),
        (lambda text: text[: len(text) // 2], r"not well-formed XML"),
    ],
)
def test_damaged_metadata_names_file_and_element(
    rasters: Scene, tmp_path: Path, damage: Callable[[str], str], message: str
) -> None:
    text = rasters.granule.read_text(encoding="utf-8")
    damaged = tmp_path / "MTD_TL.xml"
    damaged.write_text(damage(text), encoding="utf-8")
    assert damaged.read_text(encoding="utf-8") != text
    grid = Grid(crs_wkt(32633), (499980, 60, 0, 5500020, 0, -60), (4, 4))
    with pytest.raises(MetadataError, match=message) as caught:
        write(tmp_path / "out", damaged, grid, ON)
    assert str(caught.value).startswith(str(damaged))


def test_a_scene_with_damaged_metadata_fails_and_leaves_nothing(rasters: Scene, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(rasters.root, data)
    next((data / "raw/L1C").rglob("MTD_TL.xml")).write_text("<a/>")
    index_json = data / "meta/step1/index.json"
    document = json.loads(index_json.read_text())
    for item in document["scenes"][0]["files_l1c"][
        "items"
    ]:  # as if it had been damaged before it was indexed
        if item["role"] == "l1c.tile_metadata":
            del item["checksum"], item["size"]
    index_json.write_text(json.dumps(document))
    result = run_preprocess(rasters.config(tmp_path / "out", ON, index_json=index_json))
    assert result.exit_code == 1
    assert "MTD_TL.xml: a: expected the root element" in result.failed[0].error
    assert not list((tmp_path / "out/processed").rglob("*.tif"))
