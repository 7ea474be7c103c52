"""What tests of angles share: writing them for any grid, reading and decoding them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

from s2pipe.dataset.assets import Asset
from s2pipe.preprocess.angles.raster import AngleResult, write_angles
from s2pipe.preprocess.inputs import AngleInput, SceneFile

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.preprocess.cfg import AngleAssetConfig
    from s2pipe.raster.grid import Grid

gdal.UseExceptions()


def scene_file(path: Path, role: str = "l1c.tile_metadata") -> SceneFile:
    return SceneFile(Asset(role=role, path=path.name), path.parent, False)


def write(
    work: Path,
    metadata: Path,
    grid: Grid,
    config: AngleAssetConfig,
    *,
    bands: tuple[str, ...] = ("B02",),
    masks: dict[str, Path] | None = None,
    threads: int = 2,
) -> AngleResult:
    """Write angles of a tile on any grid."""
    footprints = {
        band: scene_file(path, f"l1c.detector_footprint.{band}") for band, path in (masks or {}).items()
    }
    work.mkdir(exist_ok=True)
    return write_angles(work, AngleInput(scene_file(metadata), footprints), grid, config, bands, threads)


def channels(path: Path) -> dict[str, np.ndarray]:
    """Channels of a raster by name, scaled."""
    data = gdal.Open(str(path))
    found = {}
    for number in range(1, data.RasterCount + 1):
        band = data.GetRasterBand(number)
        values = _read(band, data)
        if band.DataType == gdal.GDT_Int16:
            values = np.where(values == -32768, np.nan, values * band.GetScale() + band.GetOffset())
        found[band.GetDescription()] = values
    return found


def _read(band: Any, data: Any) -> np.ndarray:
    """Read without gdal_array, which the bindings may have been built without."""
    out = np.empty((data.RasterYSize, data.RasterXSize), np.float32)
    band.ReadRaster(0, 0, data.RasterXSize, data.RasterYSize, buf_obj=out, buf_type=gdal.GDT_Float32)
    return out.astype(np.float64)


def angles_of(found: dict[str, np.ndarray], prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Zenith and azimuth of a direction in degrees."""
    if f"{prefix}_zen_deg" in found:
        return found[f"{prefix}_zen_deg"], found[f"{prefix}_azi_deg"]
    zenith, azimuth = (
        np.degrees(np.arctan2(found[f"{prefix}_{angle}_sin"], found[f"{prefix}_{angle}_cos"]))
        for angle in ("zen", "azi")
    )
    return zenith, azimuth % 360.0


def vectors_of(zenith: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    z, a = np.radians(zenith), np.radians(azimuth)
    return np.stack((np.sin(z) * np.sin(a), np.sin(z) * np.cos(a), np.cos(z)), axis=-1)


def apart(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Angle between two directions in degrees."""
    chord = np.linalg.norm(vectors_of(*one) - vectors_of(*other), axis=-1)
    return np.degrees(2 * np.arcsin(np.clip(chord / 2, 0, 1)))


def centres(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """x and y of pixel centres, (y, x)."""
    x0, dx, _, y0, _, dy = grid.geotransform
    return np.meshgrid(x0 + (np.arange(grid.width) + 0.5) * dx, y0 + (np.arange(grid.height) + 0.5) * dy)
