"""The page shows what each step left, says what is missing, and takes every name for text."""

from __future__ import annotations

import base64
import json
import shutil
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal, osr

from s2pipe.cli import main
from s2pipe.dataset.journal import Journal
from s2pipe.errors import MissingInputError, OutputError
from s2pipe.preprocess.cfg import NormalizeConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.report.model import Contents
from s2pipe.report.page import page as page_of
from s2pipe.report.processed import add_samples
from s2pipe.report.quicklooks import Quicklook, _draw, sizes_of
from s2pipe.report.run import write_report
from s2pipe.report.tables import Links
from tests.patches.patchdata import make_mosaic, write_quantities, write_step2
from tests.report.report_support import HOSTILE, RGB, Scene, read_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Dataset


def test_samples_and_patches_are_shown(whole: Path, tmp_path: Path) -> None:
    result = write_report(whole, tmp_path / "page.html")
    assert (result.exit_code, result.samples, result.patch_sets) == (0, 2, 1)
    page = read_page(result.path)
    expected = {"map", "quicklooks", "samples", "histograms", "classes", "patches", "timeline"}
    assert page.sections() == expected | {"problems", "versions", "configuration"}
    shards = json.loads((whole / "patches" / "shards.json").read_text())
    assert f"{shards['kept']} of {shards['candidates']} candidates kept" in page.text
    for reason in json.loads((whole / "patches" / "summary.json").read_text())["dropped_by_reason"]:
        assert reason in page.text
    kinds = ["true", "false", "normalized", "mask", "labels", "classes", "angles"]
    assert [[layer["kind"] for layer in scene["layers"]] for scene in page.scenes()] == [kinds, kinds]
    # What the page links to is there, as seen from the page.
    links = [str(link["href"]) for link in page.all("a") if not str(link["href"]).startswith("#")]
    assert len(links) > 10
    assert all((tmp_path / link).exists() for link in links)
    assert all(image.get("alt") is not None for image in page.all("img"))
    assert all(drawing.get("aria-label") or drawing.get("aria-hidden") for drawing in page.all("svg"))


def test_pictures_show_the_pixels(whole: Path, tmp_path: Path) -> None:
    """The mask and the labels of a quicklook are those of the sample's rasters."""
    page = read_page(write_report(whole, tmp_path / "page.html").path)
    layers = {layer["kind"]: layer["data"] for layer in page.scenes()[0]["layers"]}
    sample = next(whole.glob("processed/*/sensing=2025-07*"))
    rows, columns = 229, 320  # 300 x 420 pixels, at most 320 a side

    def shown(kind: str) -> np.ndarray:
        (tmp_path / kind).write_bytes(base64.b64decode(layers[kind].partition(",")[2]))
        data = gdal.Open(str(tmp_path / kind))
        table = data.GetRasterBand(1).GetColorTable()
        out = np.empty((rows, columns), np.uint8)
        data.GetRasterBand(1).ReadRaster(0, 0, columns, rows, buf_obj=out)
        return np.array([table.GetColorEntry(place)[:3] for place in range(table.GetCount())])[out]

    def every_nth(name: str, band: int) -> np.ndarray:
        out = np.empty((rows, columns), np.float32)
        data = gdal.Open(str(sample / name))  # the band dies with it
        data.GetRasterBand(band).ReadRaster(0, 0, 420, 300, columns, rows, gdal.GDT_Float32, buf_obj=out)
        return out

    valid = every_nth("x.tif", len(RGB) + 1)
    assert 0.8 < valid.mean() < 0.9
    np.testing.assert_array_equal(shown("mask").mean(axis=2) > 128, valid > 0)
    labels = every_nth("y.tif", 1)
    np.testing.assert_array_equal((shown("labels") == (0, 0xA0, 0)).all(axis=2), labels == 4)


def test_the_same_dataset_gives_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    pages = [write_report(whole, tmp_path / f"{n}.html", workers=n).path.read_bytes() for n in (1, 3)]
    assert pages[0] == pages[1]


def test_each_step_alone(dataset: Dataset, whole: Path, tmp_path: Path) -> None:
    step1 = read_page(write_report(dataset.root, tmp_path / "1.html").path)
    assert {"map", "scenes", "timeline"} <= step1.sections()
    assert not {"samples", "quicklooks", "patches"} & step1.sections()
    assert "nothing here of Step 2 (preprocess), Step 3 (patches)" in step1.text
    stats = tmp_path / "pass1" / "normalize" / "stats.json"
    run_preprocess(
        dataset.config(
            tmp_path / "pass1",
            normalize=NormalizeConfig(mode="compute_only", stats_path=stats, save_histograms=True),
        )
    )
    pass1 = read_page(write_report(tmp_path / "pass1").path)
    charts = [
        str(drawing.get("aria-label")) for drawing in pass1.all("svg") if drawing.get("class") == "chart"
    ]
    low = json.loads(stats.read_text())["clip_low_by_band"]["B04"]
    before, after = [text for text in charts if "B04" in text]
    assert f"clip low at {low:.4g}" in before
    assert "after normalization" in after
    assert len(charts) == 12
    step3 = read_page(write_report(whole / "patches", tmp_path / "3.html").path)
    assert {"map", "patches"} <= step3.sections()


def test_damage_is_told_and_the_rest_is_shown(copy: Path) -> None:
    first, second = sorted(copy.glob("processed/*/*"))
    (first / "x.tif").write_bytes((first / "x.tif").read_bytes()[:3000])
    (first / "y.tif").unlink()
    (second / "meta.json").write_text('{"key": ')
    (copy / "patches" / "summary.json").unlink()
    (copy / "patches" / "patches.parquet").write_bytes(b"PAR1 no")
    shard = next((copy / "patches").glob("*/shard-*.tar"))
    shard.write_bytes(b"\0" * 700)
    result = write_report(copy)
    assert result.exit_code == 1
    named = {problem.path.name: problem.kind for problem in result.gaps if problem.path is not None}
    assert named == {
        "x.tif": "damaged",
        "y.tif": "missing",
        "meta.json": "damaged",
        "summary.json": "missing",
        "patches.parquet": "damaged",
        shard.name: "damaged",
    }
    page = read_page(result.path)
    assert all(name in page.text for name in named)
    assert [layer["kind"] for layer in page.scenes()[0]["layers"]] == ["classes", "angles"]


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"samples": 7, "scenes": {}, "shards": 1, "splits": [], "cells": {"1m_1_1": "train"}, "cell_m": 1},
        {"samples": [None, {"meta_path": ["x"]}], "scenes": [1, {}], "shards": [{"path": "../x"}, 1]},
        {"samples": [{"meta_path": "../../etc/passwd"}], "cells": {"9000m_99999_1": "train"}, "cell_m": 9000},
    ],
)
def test_documents_of_any_shape(whole: Path, tmp_path: Path, document: object) -> None:
    for part in ("meta/step1", "meta/step2", "patches"):
        (tmp_path / part).mkdir(parents=True)
    for name in (
        "meta/step1/index.json",
        "meta/step2/index.json",
        "patches/shards.json",
        "patches/split.json",
    ):
        (tmp_path / name).write_text(json.dumps(document))
    page = read_page(write_report(tmp_path).path)
    assert "passwd" not in {str(link.get("href"))[-6:] for link in page.all("a")}


def _spoilt(value: object, wrong: object) -> Iterator[object]:
    """Every version of a document in which one value is another."""
    yield wrong
    if isinstance(value, dict):
        yield from ({**value, key: other} for key, part in value.items() for other in _spoilt(part, wrong))


def test_any_value_of_a_sample_may_be_wrong(copy: Path) -> None:
    shutil.rmtree(max(copy.glob("processed/*/*")))
    (path,) = copy.glob("processed/*/*/meta.json")
    meta = json.loads(path.read_text())
    for wrong, every in (([HOSTILE], 1), (-1e300, 3), ({"1": None}, 3)):
        for number, version in enumerate(islice(_spoilt(meta, wrong), 0, None, every)):
            path.write_text(json.dumps(version))
            contents = Contents(copy)
            add_samples(contents, copy)
            looks = [Quicklook() for _ in contents.samples]
            whole = page_of(contents, looks, [], Links(copy / "page.html"))
            assert number or "damaged" in whole


def test_journals_count_before_the_index_is_written(copy: Path) -> None:
    index = copy / "meta" / "step2" / "index.json"
    entries = json.loads(index.read_text())["samples"]
    index.unlink()
    Journal(copy, index, "run").append(*({"sample": entry} for entry in entries))
    result = write_report(copy)
    assert (result.samples, result.problems) == (2, [])


def test_a_grid_of_another_projection_is_on_the_map(copy: Path) -> None:
    """A target grid of one's own need not be in UTM."""
    lambert = osr.SpatialReference()
    lambert.ImportFromEPSG(3035)
    for path in copy.glob("processed/*/*/meta.json"):
        meta = json.loads(path.read_text())
        meta["grid"] |= {
            "crs_wkt": lambert.ExportToWkt(),
            "geotransform": [4_600_000, 20, 0, 3_000_000, 0, -20],
        }
        path.write_text(json.dumps(meta))
    contents = Contents(copy)
    add_samples(contents, copy)
    to_degrees = osr.SpatialReference()
    to_degrees.ImportFromEPSG(4326)
    lat, lon, _ = osr.CoordinateTransformation(lambert, to_degrees).TransformPoint(3_000_000, 4_600_000)
    assert contents.samples[0].outline[0] == pytest.approx((lon, lat), abs=1e-6)


def test_names_are_text(copy: Path) -> None:
    path = min(copy.glob("processed/*/*/meta.json"))
    meta = json.loads(path.read_text())
    meta["key"] = {"tile_id": HOSTILE, "sensing_start_utc": HOSTILE}
    meta["labels"]["meaning"]["class_names"]["4"] = HOSTILE
    meta["labels"]["meaning"]["class_colors"]["4"] = 'red"/><script>'
    meta["attribution"] = HOSTILE
    meta["versions"] = {HOSTILE: HOSTILE}
    meta["config"] = {HOSTILE: HOSTILE}
    meta["assets"]["angles"]["band_names"] = ["sun" + HOSTILE]
    path.write_text(json.dumps(meta))
    run = copy / "meta" / "step2" / "runs" / "run=x.jsonl"
    run.parent.mkdir()
    run.write_text(
        json.dumps({"key": meta["key"], "status": "failed", "error": f"{HOSTILE}\n{HOSTILE}"}) + "\n{"
    )
    shards = json.loads((copy / "patches" / "shards.json").read_text())
    shards["labels"]["class_names"]["4"] = HOSTILE
    shards["config"] = {HOSTILE: HOSTILE}
    (copy / "patches" / "shards.json").write_text(json.dumps(shards))
    renamed = copy.with_name('a <b> & "c" \'#?%41')
    copy.rename(renamed)
    page = read_page(write_report(renamed).path)
    visible = HOSTILE.replace("\u202e", "\ufffd")
    assert page.text.count(visible) > 6
    assert "\u202e" not in page.text
    assert renamed.name in page.text
    assert "red" not in {str(part.get("fill")) for part in page.all("rect")}
    assert any(visible in scene["name"] for scene in page.scenes())


def test_quantities_and_several_labels(tmp_path: Path) -> None:
    scene = Scene(bands=("B05", "B11"), shape_yx=(40, 50))
    write_step2(tmp_path, [scene])
    heights = np.linspace(0, 30, 2000).reshape(40, 50)
    heights[:5] = np.nan
    write_quantities(tmp_path, scene, {"height": heights, "class_a": np.full((40, 50), 3.0)})
    result = write_report(tmp_path)
    assert result.exit_code == 0, result.problems
    layers = read_page(result.path).scenes()[0]["layers"]
    titles = {layer["title"]: layer["note"] for layer in layers}
    assert "3" in titles["Labels: height"]
    assert titles["Labels: class_a"] == "made up"
    assert titles["First bands"] == "B05 B11"


def test_verify_accepts_the_page(whole: Path, copy: Path) -> None:
    write_report(copy / "patches")
    write_report(copy)
    assert main(["verify", "-q", str(copy / "patches")]) == 0


def test_command(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(whole), "-o", str(tmp_path / "deep" / "page.html"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["bytes"] == (tmp_path / "deep" / "page.html").stat().st_size
    assert summary["problems"] == []
    assert main(["report", str(tmp_path / "none")]) == 2
    assert main(["report", str(tmp_path / "deep")]) == 2
    assert "holds nothing that a step of s2pipe wrote" in capsys.readouterr().err


def test_where_there_is_nothing_nothing_is_written(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError):
        write_report(whole, "s3://bucket/page.html")  # type: ignore[arg-type]


def test_a_mosaic_counts_for_all_of_its_scenes(tmp_path: Path) -> None:
    scene = Scene(shape_yx=(30, 40))
    write_step2(tmp_path, [scene])
    make_mosaic(tmp_path / scene.directory, {"T33UWQ": 1, "T33UXQ": 1}, {"T33UWQ": 0.0, "T33UXQ": 0.0})
    contents = Contents(root=tmp_path)
    add_samples(contents, tmp_path)
    assert {tile for tile, _ in contents.done} == {"T33UWQ", "T33UXQ"}
    page = read_page(write_report(tmp_path, tmp_path / "page.html").path)
    assert "T33UWQ/2025-07-01T10:00:00Z (mosaic of 2 scenes)" in page.text


def test_pictures_of_many_scenes_stay_small(tmp_path: Path) -> None:
    """Noise compresses worst: a page of 1,000 such scenes has 20 MB at most."""
    scene = Scene(bands=RGB, angles=True, quality=True)
    write_step2(tmp_path, [scene])
    contents = Contents(root=tmp_path)
    add_samples(contents, tmp_path)
    looks = {size: _draw(contents.samples[0], size) for size in (sizes_of(1000)[0], sizes_of(1000)[-1])}
    nbytes = {size: sum(len(layer.data) for layer in look.layers) for size, look in looks.items()}
    assert sum(nbytes[size] for size in sizes_of(1000)) < 17e6, "3 MB are for the rest of the page"
