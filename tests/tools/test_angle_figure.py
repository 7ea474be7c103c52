"""The figure of the docs is drawn by a command that works."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.synthetic import ProductSpec
from s2pipe.synthetic.metadata.gml import detector_footprint_gml
from s2pipe.synthetic.metadata.tile_xml import tile_xml
from s2pipe.synthetic.swath import swath_of
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_the_figure_is_small() -> None:
    path = ROOT / "docs" / "img" / "angles.png"
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert path.stat().st_size < 300_000


def test_the_command_draws(tmp_path: Path) -> None:
    spec = ProductSpec(side_m=109_800, baseline="02.06", l2a=False, nodata_wedge=0.2)
    names, swath = spec.names("L1C"), swath_of(spec)
    metadata, mask = tmp_path / "MTD_TL.xml", tmp_path / "QI_DATA" / "MSK_DETFOO_B02.gml"
    metadata.write_bytes(tile_xml(names, swath, [], np.zeros(12, np.int64)))
    mask.parent.mkdir()
    mask.write_bytes(detector_footprint_gml(names, swath, "B02"))
    out = tmp_path / "angles.png"
    command = [sys.executable, "tools/angle_figure.py", str(metadata), "--out", str(out), "--pixel-m", "1800"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
