"""Small Step-2 datasets, written directly: any grid, any date, pixels that tell where they are from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from osgeo import osr

from s2pipe.config.schema import SAMPLE_META, STEP2_INDEX
from s2pipe.dataset.label_meaning import LabelMeaning
from s2pipe.dataset.proof import FileRecord
from s2pipe.raster.grid import Grid
from s2pipe.raster.writer import TiffSpec, TiffWriter

if TYPE_CHECKING:
    from pathlib import Path

osr.UseExceptions()
IGNORE = 255
SCENE_CLASSES = LabelMeaning(
    "scl",
    IGNORE,
    {4: "vegetation", 6: "water", 8: "cloud"},
    {4: "#00a000"},
    {"cloud": (8, 9, 10), "shadow": (3,), "snow": (11,), "water": (6,)},
)
LAND_COVER = LabelMeaning("land cover", IGNORE, {10: "tree cover"}, {10: "#006400"})


@dataclass(frozen=True)
class Scene:
    """One sample to write."""

    tile_id: str = "T33UWQ"
    sensing: str = "2025-07-01T10:00:00Z"
    epsg: int = 32633
    ulx: float = 499980.0
    uly: float = 5500020.0
    shape_yx: tuple[int, int] = (300, 420)
    pixel: float = 20.0
    labels: bool = True
    angles: bool = False
    mapping: dict | None = None
    meaning: LabelMeaning = SCENE_CLASSES
    """Meaning of the labels before ``mapping``."""
    quality: bool = False
    """Write ``q.tif``."""
    probability: bool = True
    """With a cloud probability."""
    bands: tuple[str, ...] = ("B02", "B03")
    nodata_right: int = 0
    """Columns without data at the right edge."""
    mean: float = 0.0

    @property
    def grid(self) -> Grid:
        spatial = osr.SpatialReference()
        spatial.ImportFromEPSG(self.epsg)
        transform = (self.ulx, self.pixel, 0.0, self.uly, 0.0, -self.pixel)
        return Grid(spatial.ExportToWkt(), transform, self.shape_yx)

    @property
    def directory(self) -> str:
        return f"processed/tile={self.tile_id}/sensing={self.sensing.replace(':', '')}"


def pixels(scene: Scene, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of x.tif and y.tif."""
    rng = np.random.default_rng(seed)
    height, width = scene.shape_yx
    x = rng.normal(size=(len(scene.bands) + 1, height, width)).astype(np.float32)
    x[-1] = 1.0
    if scene.nodata_right:
        x[:, :, width - scene.nodata_right :] = 0.0
    classes = np.array([4, 5, 6, 8, 9, IGNORE], np.uint8)
    blocks = rng.integers(0, len(classes), (height // 16 + 1, width // 16 + 1))
    y = classes[np.kron(blocks, np.ones((16, 16), np.int64))[:height, :width]]
    return x, y


def quality_pixels(scene: Scene, seed: int) -> np.ndarray:
    """Values of q.tif: scene classes, and cloud probability."""
    rng = np.random.default_rng(1000 + seed)
    height, width = scene.shape_yx
    blocks = rng.choice(
        np.array([0, 2, 3, 4, 6, 8, 9, 10, 11, IGNORE], np.uint8), (height // 32 + 1, width // 32 + 1)
    )
    classes = np.kron(blocks, np.ones((32, 32), np.uint8))[:height, :width]
    probability = rng.integers(0, 101, scene.shape_yx, dtype=np.uint8)
    probability[:, : width // 3] = IGNORE
    return np.stack([classes, probability if scene.probability else np.full_like(classes, IGNORE)])


def write_step2(root: Path, scenes: list[Scene]) -> Path:
    """Write samples, their ``meta.json`` and the index; return the path of the latter."""
    entries = [_write_scene(root, scene, number) for number, scene in enumerate(scenes)]
    index = root / "meta" / "step2" / "index.json"
    index.parent.mkdir(parents=True, exist_ok=True)
    document = {"schema": STEP2_INDEX, "output": {"out_dir": str(root)}, "samples": entries}
    index.write_text(json.dumps(document))
    return index


def record_again(directory: Path) -> None:
    """Let the ``meta.json`` of a sample record the rasters as they are now."""
    meta = json.loads((directory / "meta.json").read_text())
    meta["files"] = [
        FileRecord.of(directory.parents[2] / record["path"], record["path"]).to_document()
        for record in meta["files"]
    ]
    (directory / "meta.json").write_text(json.dumps(meta))


def make_mosaic(directory: Path, tiles: dict[str, int], cloud: dict[str, float]) -> None:
    """Let a sample say that it is a mosaic of scenes of these tiles, with so many pixels and so much cloud each."""
    meta = json.loads((directory / "meta.json").read_text())
    sources = []
    for number, (tile, pixels) in enumerate(tiles.items(), 1):
        products = {
            level: {
                "product_id": None,
                "product_name": f"S2A_MSI{level.upper()}_20250701T100000_N0511_R122_{tile}_20250701T120000.SAFE",
                "baseline": "N0511",
                "rel_orbit": "R122",
                "cloud_cover": cloud[tile],
            }
            for level in ("l1c", "l2a")
        }
        about = {
            "offset_by_band": {},
            "quantification_by_band": {},
            "brdf": {"model": "none"},
            "angles": {"enabled": False},
        }
        key = {**meta["key"], "tile_id": tile}
        sources.append({"number": number, "key": key, "source_products": products, "pixels": pixels, **about})
    meta["mosaic"] = {"group_by": "datatake", "rule": "the first", "sources": sources}
    (directory / "meta.json").write_text(json.dumps(meta))


def write_quantities(root: Path, scene: Scene, channels: dict[str, np.ndarray]) -> None:
    """Replace the labels of a scene: float32 with NaN, or where several are given, named channels of them.

    A channel whose name begins with ``class`` is one of classes, with ``IGNORE``.
    """
    directory, data = root / scene.directory, np.stack([*channels.values()]).astype(np.float32)
    meta = json.loads((directory / "meta.json").read_text())
    meta["assets"]["y"] |= _write(directory / "y.tif", scene.grid, tuple(channels), data, float("nan"))
    meta["assets"]["y"]["nodata"] = "nan"
    bands = []
    for name, values in channels.items():
        is_class = name.startswith("class")
        meaning = LabelMeaning("made up", IGNORE if is_class else None).to_document()
        about = {"name": name, "kind": "classes" if is_class else "regression", "backend": "raster"}
        stats = _class_stats(values) if is_class else _quantity_stats(values)
        bands.append({**about, "meaning": meaning, "stats": stats, "backend_stats": {}})
    if len(bands) == 1:
        meta["labels"] |= {key: bands[0][key] for key in ("kind", "backend", "meaning", "stats")}
    else:
        meta["labels"] |= {"backend": None, "meaning": None, "stats": None, "targets": bands}
        meta["config"]["labels"] = {"targets": [{"name": name} for name in channels]}
    (directory / "meta.json").write_text(json.dumps(meta))
    record_again(directory)


def _class_stats(y: np.ndarray) -> dict:
    labels, counts = np.unique(y.astype(int), return_counts=True)
    found = {str(k): int(n) for k, n in zip(labels, counts, strict=True)}
    return {
        "pixels": y.size,
        "ignore_index": IGNORE,
        "ignored": found.get(str(IGNORE), 0),
        "counts": found,
        "ratios": {label: count / y.size for label, count in found.items()},
    }


def _quantity_stats(y: np.ndarray) -> dict:
    known = y[np.isfinite(y)].astype(np.float64)
    about = {"min": known.min(), "max": known.max(), "mean": known.mean(), "std": known.std()}
    counts = {"pixels": y.size, "count": known.size, "ignored": y.size - known.size}
    return {**counts, **{name: float(value) for name, value in about.items()}}


def _write(path: Path, grid: Grid, names: tuple[str, ...], data: np.ndarray, nodata: float | None) -> dict:
    with TiffWriter(path, TiffSpec(grid, names, data.dtype.name, nodata)) as writer:
        for window in grid.block_windows(256, grid.width):
            writer.write(window, np.ascontiguousarray(data[:, window.row : window.row_end]))
    return {
        "dtype": data.dtype.name,
        "band_names": list(names),
        "nodata": nodata,
        "shape": list(data.shape),
        "grid": _grid(grid),
    }


def _grid(grid: Grid) -> dict:
    return {
        "crs_wkt": grid.crs_wkt,
        "geotransform": list(grid.geotransform),
        "shape_yx": list(grid.shape_yx),
    }


def _write_scene(root: Path, scene: Scene, number: int) -> dict:
    directory = root / scene.directory
    directory.mkdir(parents=True, exist_ok=True)
    x, y = pixels(scene, number)
    grid = scene.grid
    files = {"x": ("x.tif", (*scene.bands, "valid"), x, None)}
    if scene.labels:
        files["y"] = ("y.tif", ("label",), y[np.newaxis], IGNORE)
    if scene.angles:
        files["angles"] = ("angles.tif", ("sun_zen_sin", "sun_zen_cos"), x[:2] * np.float32(0.5), None)
    if scene.quality:
        files["quality"] = ("q.tif", ("scl", "cloud_probability"), quality_pixels(scene, number), IGNORE)
    assets, paths = {}, {}
    for kind, (name, bands, data, nodata) in files.items():
        paths[kind] = f"{scene.directory}/{name}"
        assets[kind] = {"path": paths[kind], **_write(directory / name, grid, bands, data, nodata)}
    stats = _class_stats(y)
    mapping = None if scene.mapping is None else {str(k): v for k, v in scene.mapping.items()}
    meta = {
        "schema": SAMPLE_META,
        "created_utc": "2026-01-01T00:00:00Z",
        "key": {"tile_id": scene.tile_id, "sensing_start_utc": scene.sensing},
        "paths": paths,
        "files": [FileRecord.of(root / path, path).to_document() for path in paths.values()],
        "assets": assets,
        "grid": _grid(grid),
        "source_products": {"l1c": None, "l2a": None},
        "inputs": [],
        "radiometry": {
            "unit": "toa_reflectance",
            "offset_by_band": dict.fromkeys(scene.bands, 0.0),
            "quantification_by_band": dict.fromkeys(scene.bands, 1e4),
        },
        "resampling": {band: {"method": "none"} for band in scene.bands},
        "normalization": {
            "mode": "apply_with_stats",
            "clip_low_by_band": dict.fromkeys(scene.bands),
            "clip_high_by_band": dict.fromkeys(scene.bands),
            "mean_by_band": dict.fromkeys(scene.bands, scene.mean),
            "std_by_band": dict.fromkeys(scene.bands, 1.0),
        },
        "valid_coverage": {"valid": 1.0},
        "labels": {
            "enabled": scene.labels,
            "backend": "scl" if scene.labels else None,
            "meaning": scene.meaning.mapped(scene.mapping).to_document() if scene.labels else None,
            "stats": stats if scene.labels else None,
            "backend_stats": None,
        },
        "quality": {
            "enabled": True,
            "classes": SCENE_CLASSES.to_document(),
            "cloud_probability": "l2a.cloud_probability_20m" if scene.probability else None,
        }
        if scene.quality
        else {"enabled": False},
        "config": {"labels": {"mapping": mapping, "ignore_index": IGNORE}},
        "fingerprint": f"sha256:{number:064x}",
        "versions": {},
        "attribution": "Contains modified Copernicus Sentinel data 2025",
    }
    (directory / "meta.json").write_text(json.dumps(meta))
    return {
        "key": meta["key"],
        "x_path": paths["x"],
        "y_path": paths.get("y"),
        "angles_path": paths.get("angles"),
        "quality_path": paths.get("quality"),
        "meta_path": f"{scene.directory}/meta.json",
    }
