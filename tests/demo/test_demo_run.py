"""`s2pipe demo`: everything is made, and the picture shows something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.cli import main
from s2pipe.demo.run import can_write_shards, run_demo
from s2pipe.raster.png import text_mask
from s2pipe.synthetic import ProductSpec
from tests.conftest import read_whole_band

if TYPE_CHECKING:
    import pytest


def test_a_demonstration_makes_samples_statistics_and_a_picture(tmp_path: Path) -> None:
    result = run_demo(tmp_path, ProductSpec(side_m=10_980, quality_masks=False, nodata_wedge=0.1))
    made = {Path(path).name for path, _, _ in result.files()}
    assert can_write_shards(), "the test environment has the extra `shards`"
    assert {"split.json", "shards.json", "patches.parquet"} <= made
    assert any(name.endswith(".tar") for name in made)
    assert {"x.tif", "y.tif", "stack.vrt", "meta.json", "stats.json", "histogram.npz", "demo.png"} <= made
    picture = np.stack([read_whole_band(result.picture, band, "uint8") for band in (1, 2, 3)])
    quarter = picture.shape[2] // 4
    panels = [picture[:, :, i * quarter : (i + 1) * quarter] for i in range(4)]
    assert all(len(np.unique(panel)) > 1 for panel in panels)
    assert not np.array_equal(panels[0][:, 40:], panels[3][:, 40:])
    statistics = json.loads((tmp_path / "data/normalize/stats.json").read_text())
    assert statistics["scenes_processed"] == 1
    assert main(["validate", "-q", *(str(path) for path in tmp_path.rglob("*.json"))]) == 0


def test_letters_are_drawn() -> None:
    assert text_mask("VALID", 2).shape == (14, 60)
    assert text_mask("LABEL", 1).any()
    assert not text_mask("?", 1).any()


def test_the_table_names_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from s2pipe.cli.demo import table
    from s2pipe.demo.run import DemoResult

    (tmp_path / "x.tif").write_bytes(b"12345")
    text = table(DemoResult(tmp_path, tmp_path / "demo.png", {"picture": 1.0}))
    assert "5 B" in text
    assert "x.tif" in text
    assert "picture 1.0 s" in text
