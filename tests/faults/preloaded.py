"""Everything that commands import, for the process that they are forked from; no thread is started by it."""

from __future__ import annotations

import importlib
from contextlib import suppress

for _name in (
    *(
        "numba",
        "osgeo.gdal",
        "pyproj",
        "shapely",
        "jsonschema",
        "requests",
        "yaml",
        "tqdm",
        "duckdb",
        "pyarrow.parquet",
    ),
    *("s2kernels", "s2pipe.cli.step", "s2pipe.cli.index", "s2pipe.cli.patches", "s2pipe.cli.verify"),
    *("s2pipe.download.pipeline", "s2pipe.indexing.run", "s2pipe.preprocess.run", "s2pipe.patches.reshard"),
):
    with suppress(ImportError):
        importlib.import_module(_name)
