"""GeoTIFFs that end too early are recognised, whatever GDAL says of them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.raster.grid import Grid
from s2pipe.raster.tiff_layout import layout_fault
from s2pipe.raster.writer import TiffSpec, TiffStorage, TiffWriter, copy_as_cog
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

GRID = Grid("EPSG:32633", (0.0, 10.0, 0.0, 0.0, 0.0, -10.0), (150, 170))
SPEC = TiffSpec(GRID, ("a", "b"), "uint16", 0, TiffStorage(tile_px=128))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "a.tif"
    data = np.random.default_rng(1).integers(1, 1000, (2, 150, 170), dtype=np.uint16)
    with TiffWriter(path, SPEC) as writer:
        for window in GRID.block_windows(128, GRID.width):
            writer.write(window, np.ascontiguousarray(data[:, window.row : window.row_end]))
    return path


def _as(written: Path, kind: str) -> Path:
    target = written.with_name("b.tif")
    if kind == "cog":
        copy_as_cog(written, target, SPEC.storage)
        return target
    options = {
        "big": ["BIGTIFF=YES", "TILED=YES"],
        "strips": ["COMPRESS=DEFLATE"],
        "big-endian": ["ENDIANNESS=BIG"],
    }
    gdal.Translate(str(target), str(written), creationOptions=options[kind])
    return target


@pytest.mark.parametrize("kind", ["", "big", "strips", "big-endian", "cog"])
def test_every_cut_is_noticed(written: Path, kind: str) -> None:
    path = _as(written, kind) if kind else written
    assert layout_fault(path) is None
    size = path.stat().st_size
    for cut in [*range(size - 9, 0, -max(1, size // 60)), 9, 8, 7, 1, 0]:
        os.truncate(path, cut)
        assert layout_fault(path)


def test_directories_that_lead_in_circles_end(written: Path) -> None:
    data = bytearray(written.read_bytes())
    start = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[start : start + 2], "little")
    data[start + 2 + 12 * entries : start + 6 + 12 * entries] = data[4:8]
    written.write_bytes(data)
    assert layout_fault(written) is None


_FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from s2pipe.errors import DiskFullError
from tests.raster.test_tiff_layout import GRID, SPEC, TiffWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
data = np.random.default_rng(1).integers(1, 1000, (2, *GRID.shape_yx), dtype=np.uint16)
path, size = Path(sys.argv[1]), int(sys.argv[2])
for threads in (1, 2):
    for most in [*range(500, size, 9011), size - 1]:
        path.unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        try:
            with TiffWriter(path, SPEC, threads) as writer:
                for window in GRID.block_windows(128, GRID.width):
                    writer.write(window, np.ascontiguousarray(data[:, window.row : window.row_end]))
        except DiskFullError:
            continue
        print(f"{threads} thread(s), room for {most} of {size} bytes: nothing was said")
"""


def test_a_full_disk_is_noticed_wherever_it_ends(written: Path, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    command = [sys.executable, "-c", _FULL, str(tmp_path / "c.tif"), str(written.stat().st_size)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "Exception ignored" not in done.stderr
