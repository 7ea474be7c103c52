"""`s2pipe demo`: everything is made, and the picture shows the sample."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.cli import main
from s2pipe.cli.demo import table
from s2pipe.demo.picture import _MARGIN_PX, _PANEL_PX, _TITLE_PX
from s2pipe.demo.run import DEMO_BANDS, DemoResult, add_picture, can_write_shards, run_demo
from s2pipe.synthetic import ProductSpec
from tests.conftest import read_whole_band

if TYPE_CHECKING:
    import pytest


def test_a_demonstration_makes_samples_statistics_and_a_picture(tmp_path: Path) -> None:
    result = run_demo(tmp_path, ProductSpec(side_m=7_320, quality_masks=False, nodata_wedge=0.1))
    made = {Path(path).name for path, _, _ in result.files()}
    assert can_write_shards(), "the test environment has the extra `shards`"
    assert {"split.json", "shards.json", "patches.parquet"} <= made
    assert any(name.endswith(".tar") for name in made)
    assert {"x.tif", "y.tif", "stack.vrt", "meta.json", "stats.json", "histogram.npz", "demo.png"} <= made
    assert_shows_the_sample(result.picture, tmp_path / "data")
    statistics = json.loads((tmp_path / "data/normalize/stats.json").read_text())
    assert statistics["scenes_processed"] == 1
    assert main(["validate", "-q", *(str(path) for path in tmp_path.rglob("*.json"))]) == 0


def test_labels_of_a_land_cover_are_screened_by_scene_classes(tmp_path: Path) -> None:
    """A map of classes knows no clouds, and its class 10 is tree cover: q.tif decides, and the labels stay whole."""
    from pyarrow import parquet

    spec = ProductSpec(side_m=4_800, quality_masks=False, clouds=0.4, nodata_wedge=0.1, bands=DEMO_BANDS)
    result = run_demo(tmp_path, spec, "land_cover")
    made = {Path(path).name for path, _, _ in result.files()}
    assert {"land_cover.tif", "q.tif", "y.tif", "demo.png"} <= made
    cover = read_whole_band(tmp_path / "land_cover.tif", 1, "uint8")
    sample = next((tmp_path / "normalized").glob("processed/*/*"))
    labels, classes = (read_whole_band(sample / name, 1, "uint8") for name in ("y.tif", "q.tif"))
    valid = read_whole_band(sample / "x.tif", len(DEMO_BANDS) + 1) > 0
    four = np.stack([cover[i::2, j::2] for i in (0, 1) for j in (0, 1)])
    uniform = (four == four[0]).all(axis=0)
    np.testing.assert_array_equal(labels[uniform], four[0][uniform])
    scl = next((tmp_path / "products").rglob("*_SCL_20m.jp2"))
    np.testing.assert_array_equal(classes, read_whole_band(scl, 1, "uint8"))
    rows = parquet.read_table(tmp_path / "patches" / "patches.parquet").to_pylist()
    for row in rows:
        part = (slice(row["row"], row["row"] + 64), slice(row["col"], row["col"] + 64))
        cloudy = (np.isin(classes[part], (8, 9, 10)) & valid[part]).sum() / max(1, valid[part].sum())
        assert row["cloud_fraction"] == cloudy
        assert (row["reject_reason"] == "max_cloud") == (cloudy > 0.4 and valid[part].mean() >= 0.5)
        assert row["class_10"] == (labels[part] == 10).sum()
    assert {"max_cloud"} < {row["reject_reason"] for row in rows}
    shards = json.loads((tmp_path / "patches" / "shards.json").read_text())
    assert shards["labels"]["class_names"]["10"] == "tree cover"
    assert shards["labels"]["cloud_labels"] is None
    assert shards["quality"]["cloud_labels"] == [8, 9, 10]
    assert main(["validate", "-q", *(str(path) for path in tmp_path.rglob("*.json"))]) == 0
    assert main(["verify", "-q", str(tmp_path / "normalized")]) == 0


def assert_shows_the_sample(picture: Path | None, data: Path) -> None:
    """The panels are what they claim: pixel by pixel for validity, different from each other for the rest."""
    assert picture is not None
    pixels = np.stack([read_whole_band(picture, band, "uint8") for band in (1, 2, 3)])
    top, side, step = _TITLE_PX, _PANEL_PX, _PANEL_PX + _MARGIN_PX
    lefts = [_MARGIN_PX + number * step for number in range(4)]
    # Without the frame, one pixel wide, that is drawn over a panel's edge.
    inner = slice(2, side - 2)
    panels = [pixels[:, top : top + side, left : left + side][:, inner, inner] for left in lefts]
    (x_tif,) = data.glob("processed/*/*/x.tif")
    valid = read_whole_band(x_tif, 7, "float32")
    assert valid.shape == (side, side), "one pixel of the picture for each of the sample"
    assert 0 < valid.mean() < 1
    expected = np.broadcast_to(255 * valid[inner, inner], panels[1].shape)
    np.testing.assert_array_equal(panels[1], expected)
    assert not panels[0][:, valid[inner, inner] == 0].any()
    for number, panel in enumerate(panels):
        assert all(not np.array_equal(panel, other) for other in panels[number + 1 :])
    (y_tif,) = data.glob("processed/*/*/y.tif")
    meaning = json.loads(y_tif.with_name("meta.json").read_text())["labels"]["meaning"]
    labels = read_whole_band(y_tif, 1, "uint8")[inner, inner]
    for label in np.unique(labels):
        color = bytes.fromhex(meaning["class_colors"][str(label)][1:])
        assert {tuple(pixel) for pixel in panels[2][:, labels == label].T.tolist()} == {tuple(color)}
    titles, legends = pixels[:, :top], pixels[:, top + side :]
    assert titles.min() < 100
    assert len(np.unique(legends.reshape(3, -1), axis=1).T) > 20


def test_without_matplotlib_the_picture_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # what import finds is not there
    (tmp_path / "demo.png").write_bytes(b"of an earlier run")
    result = DemoResult(tmp_path)
    with caplog.at_level("WARNING", "s2pipe.demo"):
        add_picture(result, tmp_path / "no sample", tmp_path / "no sample")
    assert (result.picture, result.summary()["picture"]) == (None, None)
    assert not (tmp_path / "demo.png").exists()
    assert [message for message in caplog.messages if "s2pipe[figures]" in message]
    (tmp_path / "stats.json").write_bytes(b"{}")
    assert "demo.png" not in table(result)


def test_the_table_names_everything(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(b"12345")
    text = table(DemoResult(tmp_path, tmp_path / "demo.png", {"picture": 1.0}))
    assert "5 B" in text
    assert "x.tif" in text
    assert "picture 1.0 s" in text
