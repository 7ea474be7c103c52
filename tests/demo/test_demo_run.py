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
from s2pipe.demo.run import DemoResult, add_picture, can_write_shards, run_demo
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
