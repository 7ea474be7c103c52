"""What a sample's ``meta.json`` says of its rasters and of their values: Step 2 writes it, later steps read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from s2pipe.raster.grid import Grid, TargetGrid, Window

T = TypeVar("T")


@dataclass(frozen=True)
class SampleRaster:
    """One raster of a sample."""

    path: str
    """Path relative to the output directory."""
    dtype: str
    """NumPy name of the pixel type."""
    band_names: tuple[str, ...]
    """Band descriptions."""
    nodata: float | None
    """Declared nodata value."""
    grid: Grid
    """Its grid."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> SampleRaster:
        """Make a record from its (valid) JSON form."""
        nodata = document["nodata"]
        return cls(
            document["path"],
            document["dtype"],
            tuple(document["band_names"]),
            math.nan if nodata == "nan" else nodata,
            Grid.from_document(document["grid"]),
        )

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form, with the shape; NaN, which JSON lacks, is the text ``nan``."""
        return {
            "path": self.path,
            "dtype": self.dtype,
            "band_names": list(self.band_names),
            "nodata": "nan" if self.nodata is not None and math.isnan(self.nodata) else self.nodata,
            "shape": [len(self.band_names), *self.grid.shape_yx],
            "grid": self.grid.to_document(),
        }


class SharedValues:
    """Keeps one of each of the values that samples have in common: a hundred thousand samples fit into memory."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}
        self._last: dict[str, Any] = {}

    def keep(self, value: T) -> T:
        """Return the one that is kept of equal hashable values of one type."""
        known: T = self._known.setdefault(value, value)
        return known

    def alike(self, name: str, value: T) -> T:
        """Return the value of the last sample where that was the same."""
        last: T | None = self._last.get(name)
        if last == value and last is not None:
            return last
        self._last[name] = value
        return value

    def grid(self, grid: Grid) -> Grid:
        """Return the one that is kept of equal grids."""
        key = (grid.crs_wkt, repr(grid.geotransform), grid.shape_yx)  # 20 and 20.0 are equal, but not as JSON
        known: Grid = self._known.setdefault(key, grid)
        return known

    def target(self, reference: Grid, window: Window | None = None) -> TargetGrid:
        """Return the one that is kept of equal windows of a grid; None takes all of it."""
        grid = self.grid(reference)
        target = TargetGrid.whole(grid) if window is None else TargetGrid(grid, window)
        known: TargetGrid = self._known.setdefault(("target", id(grid), target.window), target)
        return known

    def raster(self, raster: SampleRaster) -> SampleRaster:
        """Return a raster with what it has in common with others."""
        names, dtype = self.keep(raster.band_names), self.keep(raster.dtype)
        return replace(raster, dtype=dtype, band_names=names, grid=self.grid(raster.grid))


@dataclass(frozen=True)
class AppliedBrdf:
    """How reflectance was brought to a view from nadir."""

    model: str
    """``c_factor``."""
    sun_zenith: str | float
    """Rule of the sun's zenith, or degrees."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> AppliedBrdf | None:
        """Make a record from its (valid) JSON form; None where nothing was adjusted."""
        if document is None or document["model"] == "none":
            return None
        return cls(document["model"], document["sun_zenith"])


@dataclass(frozen=True)
class AppliedNormalization:
    """How the values of ``x.tif`` were normalized. The fields are the keys of the JSON form."""

    mode: str
    """``none``, or ``apply_with_stats``; the other fields belong to the latter."""
    clip_low_by_band: Mapping[str, float | None] | None = None
    """Lower clip value of each band; None where it was not clipped."""
    clip_high_by_band: Mapping[str, float | None] | None = None
    """Upper clip value of each band; None where it was not clipped."""
    mean_by_band: Mapping[str, float] | None = None
    """Mean of each band."""
    std_by_band: Mapping[str, float] | None = None
    """Standard deviation of each band."""
    split: str | None = None
    """Fingerprint of the split whose training ground was counted; None for all ground."""
    fingerprint: str | None = None
    """Fingerprint of the statistics; None if they have none."""
    foreign_stats: bool = False
    """Whether the statistics were computed otherwise than the configuration says, and were accepted all the same."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> AppliedNormalization:
        """Make a record from its (valid) JSON form."""
        return cls(**document)

    @property
    def is_applied(self) -> bool:
        """Whether values are in standard deviations."""
        return self.mode == "apply_with_stats"

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dict(vars(self)) if self.is_applied else {"mode": self.mode}
