"""What tests of angles share: small products, writing angles for any grid, reading and decoding them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

from s2pipe.dataset.input_file import InputFile
from s2pipe.dataset.step1_index import load_index, save_index
from s2pipe.indexing.run import index_products
from s2pipe.preprocess.angles.planes import TilePlanes
from s2pipe.preprocess.angles.raster import AngleResult, write_angles
from s2pipe.preprocess.angles.seams import fit_seams
from s2pipe.preprocess.cfg import AngleAssetConfig, PreprocessConfig
from s2pipe.preprocess.inputs import AngleInput
from s2pipe.preprocess.raster_tags import RasterForm
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.grid import Grid, TargetGrid
from s2pipe.synthetic import ProductSpec, make_products
from s2pipe.synthetic.swath import Swath, swath_of

if TYPE_CHECKING:
    from s2pipe.raster.grid import Grid
    from s2pipe.sentinel2.safe.detectors import DetectorOutline
    from s2pipe.sentinel2.safe.tile import TileAngles

gdal.UseExceptions()

SIDE_M = 10_980
BANDS = ("B02", "B8A", "B11")
NODE_ERROR = 0.02
"""Degrees by which bilinear interpolation over 5 km may differ from the analytic geometry (with filled nodes)."""
ON = AngleAssetConfig(enabled=True)


def scene_file(path: Path, role: str = "l1c.tile_metadata") -> InputFile:
    return InputFile(role, path)


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
    inputs, target = AngleInput(scene_file(metadata), footprints), TargetGrid.whole(grid)
    return write_angles(work, inputs, target, config, bands, RasterForm(threads=threads))


def seams_of(angles: TileAngles, band: str) -> tuple[DetectorOutline, ...]:
    """Footprints of a band estimated from the nodes."""
    return fit_seams(TilePlanes(angles), [band])[band].outlines


def channels(path: Path) -> dict[str, np.ndarray]:
    """Channels of a raster by name, scaled."""
    data = gdal.Open(str(path))
    found = {}
    for number in range(1, data.RasterCount + 1):
        band = data.GetRasterBand(number)
        values = _read(band, data)
        if band.DataType == gdal.GDT_Int16:
            values = np.where(
                values == -32768, np.nan, values * (band.GetScale() or 1) + (band.GetOffset() or 0)
            )
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


@dataclass(frozen=True)
class Scene:
    root: Path
    spec: ProductSpec

    @property
    def swath(self) -> Swath:
        return swath_of(self.spec)

    def config(self, out_dir: Path, angles: AngleAssetConfig, **changes: Any) -> PreprocessConfig:
        base = PreprocessConfig(
            index_json=self.root / "meta/step1/index.json",
            out_dir=out_dir,
            target_grid_ref="B8A",
            l1c_bands=BANDS,
            angles=angles,
        )
        return replace(base, **changes)

    @property
    def granule(self) -> Path:
        return next((self.root / "raw/L1C").rglob("MTD_TL.xml"))


def make_scene(base: Path, **changes: Any) -> Scene:
    spec = ProductSpec(
        side_m=SIDE_M, nodata_wedge=0.15, bands=BANDS, quality_masks=False, strip_width_m=4400.0, **changes
    )
    make_products(base / "products", spec)
    index_products([base / "products"], base / "data")
    return Scene(base / "data", spec)


def without(scene: Scene, *roles: str) -> Path:
    """Index of a scene that lacks roles: whole ones, or all that begin so."""
    index = load_index(scene.root / "meta/step1/index.json")
    scenes = []
    for item in index.scenes:
        groups = {
            level: None
            if group is None
            else replace(group, items=tuple(a for a in group.items if not a.role.startswith(roles)))
            for level, group in (("files_l1c", item.files_l1c), ("files_l2a", item.files_l2a))
        }
        scenes.append(replace(item, **groups))
    path = scene.root / f"meta/step1/without-{'-'.join(roles)}.json"
    save_index(replace(index, scenes=tuple(scenes)), path)
    return path


def sample_of(out_dir: Path) -> tuple[Path, dict[str, Any]]:
    meta = next(out_dir.rglob("meta.json"))
    return meta.parent, json.loads(meta.read_text())


def run_angles(
    scene: Scene, out_dir: Path, angles: AngleAssetConfig, **changes: Any
) -> tuple[Path, dict[str, Any]]:
    result = run_preprocess(scene.config(out_dir, angles, **changes))
    assert not result.failed, result.failed
    return sample_of(out_dir)


def true_view(scene: Scene, grid: Grid, band: str, mask_m: int | None) -> tuple[np.ndarray, Any]:
    """Detector and view angles of every pixel; the detector at the centre of the mask's pixel if there is one."""
    x, y = centres(grid)
    at_x, at_y = x, y
    if mask_m is not None:
        at_x = scene.swath.ulx + (np.floor((x - scene.swath.ulx) / mask_m) + 0.5) * mask_m
        at_y = scene.swath.uly - (np.floor((scene.swath.uly - y) / mask_m) + 0.5) * mask_m
    detector = scene.swath.detector_at(at_x, at_y, band)
    return detector, scene.swath.view_angles_at(x, y, band, detector)
