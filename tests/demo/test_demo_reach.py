"""`s2pipe demo --reach`: an area on two tiles of different zones becomes one sample, and patches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from s2pipe.cli import main
from s2pipe.cli.demo import table
from s2pipe.demo.reach import BANDS, TILES, run_reach
from tests.conftest import read_whole_band

CORNERS = ((703_000, 5_768_000), (293_400, 5_768_000))


def test_the_corner_of_two_zones_is_one_sample(tmp_path: Path) -> None:
    tiles = [
        replace(tile, side_m=3_660, ulx=x, uly=y, bands=tile.bands)
        for tile, (x, y) in zip(TILES, CORNERS, strict=True)
    ]
    result = run_reach(tmp_path, seed=5, tiles=tiles)
    made = {Path(path).name for path, _, _ in result.files()}
    assert {"source.tif", "x.tif", "q.tif", "shards.json", "reach.png"} <= made
    assert "source.tif" in table(result)
    assert result.picture is not None
    observed, nadir = (next((tmp_path / name / "processed").glob("*/*")) for name in ("observed", "nadir"))
    source = read_whole_band(observed / "source.tif", 1, "uint8")
    np.testing.assert_array_equal(source, read_whole_band(nadir / "source.tif", 1, "uint8"))
    assert set(np.unique(source)) == {0, 1, 2}
    mosaic = json.loads((nadir / "meta.json").read_text())["mosaic"]
    assert [item["key"]["tile_id"] for item in mosaic["sources"]] == ["T32UQC", "T33UTT"]
    band = read_whole_band(observed / "x.tif", len(BANDS))
    factor = read_whole_band(nadir / "x.tif", len(BANDS))[source > 0] / band[source > 0]
    assert ((factor > 0.9) & (factor < 1.2)).all()
    assert factor.std() > 0
    # Both tiles show the same ground: what lies beside the seam is as alike as elsewhere.
    steps = np.abs(np.diff(band, axis=1))
    seam = (source[:, 1:] == 2) & (source[:, :-1] == 1)
    apart = (source[:, 1:] == source[:, :-1]) & (source[:, 1:] > 0)
    assert seam.sum() > 50
    assert steps[seam].mean() < 2 * steps[apart].mean()
    assert main(["validate", "-q", *(str(path) for path in tmp_path.rglob("*.json"))]) == 0
