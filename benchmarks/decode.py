"""The decode bound: all JPEG 2000 files that a run needs, read once through GDAL with all cores, nothing else."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

if TYPE_CHECKING:
    from collections.abc import Sequence


def decode_seconds(files: Sequence[str], workers: int) -> float:
    """Read every file once, tile row by tile row; ``workers`` files at a time, the largest first.

    When fewer files than workers are left, each is read with more threads, so that no core idles at the end.
    """
    gdal.UseExceptions()
    rasters = [(gdal.Open(path).RasterXSize, path) for path in files]
    left = deque(path for _, path in sorted(rasters, reverse=True))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not left:
                    return
                path, waiting = left.popleft(), len(left)
            threads = 1 if waiting >= workers - 1 else workers
            gdal.SetThreadLocalConfigOption("GDAL_NUM_THREADS", str(threads))
            _read(path)

    start = time.perf_counter()
    pool = [threading.Thread(target=work) for _ in range(workers)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    return time.perf_counter() - start


def _read(path: str) -> None:
    data = gdal.Open(path)
    band = data.GetRasterBand(1)
    rows = band.GetBlockSize()[1]
    dtype, kind = (
        (np.uint8, gdal.GDT_Byte) if band.DataType == gdal.GDT_Byte else (np.uint16, gdal.GDT_UInt16)
    )
    buffer = np.empty((rows, data.RasterXSize), dtype)
    for row in range(0, data.RasterYSize, rows):
        height = min(rows, data.RasterYSize - row)
        done = band.ReadRaster(0, row, data.RasterXSize, height, buf_obj=buffer[:height], buf_type=kind)
        assert done is not None, path


if __name__ == "__main__":
    print(decode_seconds(sys.argv[2:], int(sys.argv[1])))
