"""What an index says of a raster file, so that planning need not open it: keys as in STAC's projection extension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GEOMETRY_KEYS = ("proj:code", "proj:shape", "proj:transform")
RASTER_KEY = "raster"
"""What decoders need beside the geometry; s2pipe's own."""
_OWN_KEYS = ("data_type", "block_yx", "nodata", "reversible", "mtime_ns")
_TERMS = 6


@dataclass(frozen=True)
class StoredRaster:
    """Header of a raster file as it was when the index was written."""

    code: str
    """Coordinate reference system, ``EPSG:32633``."""
    shape_yx: tuple[int, int]
    """Rows and columns."""
    geotransform: tuple[float, float, float, float, float, float]
    """As GDAL has it."""
    data_type: str
    """GDAL's name of the pixel type, ``UInt16``."""
    block_yx: tuple[int, int]
    """Rows and columns of the file's own tiles."""
    nodata: float | None
    """Nodata value that the file declares; None when it declares none."""
    reversible: bool
    """Whether every decoder makes the same pixels of it."""
    mtime_ns: int
    """Time of change of the file (of the archive, for a member); another one, and the header may be another."""

    @property
    def epsg(self) -> int:
        """Number of the reference system."""
        return int(self.code.removeprefix("EPSG:"))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> StoredRaster | None:
        """Read it from a (valid) item of an index; None where something of it is missing."""
        own = document.get(RASTER_KEY)
        code, shape, affine = (document.get(key) for key in GEOMETRY_KEYS)
        if not (isinstance(own, Mapping) and isinstance(code, str) and shape and affine):
            return None
        if not code.removeprefix("EPSG:").isdecimal() or len(affine) < _TERMS or set(own) != set(_OWN_KEYS):
            return None
        dx, rx, x0, ry, dy, y0 = map(float, affine[:_TERMS])
        rows, columns = own["block_yx"]
        return cls(
            code=code,
            shape_yx=(shape[0], shape[1]),
            geotransform=(x0, dx, rx, y0, ry, dy),
            data_type=own["data_type"],
            block_yx=(rows, columns),
            nodata=own["nodata"],
            reversible=own["reversible"],
            mtime_ns=own["mtime_ns"],
        )

    def to_document(self) -> dict[str, Any]:
        """Return the keys of an item."""
        x0, dx, rx, y0, ry, dy = self.geotransform
        own = (self.data_type, list(self.block_yx), self.nodata, self.reversible, self.mtime_ns)
        return {
            "proj:code": self.code,
            "proj:shape": list(self.shape_yx),
            "proj:transform": [dx, rx, x0, ry, dy, y0],
            RASTER_KEY: dict(zip(_OWN_KEYS, own, strict=True)),
        }
