"""What a run leaves behind beside rasters: fingerprints, ``meta.json``, the Step-2 index, the run's log."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from s2pipe import __version__
from s2pipe.config import to_plain
from s2pipe.errors import Fault, ManifestError
from s2pipe.files import locked, utc_now, write_json_atomic
from s2pipe.manifest import Product, SceneKey
from s2pipe.preprocess.cfg import PreprocessConfig
from s2pipe.preprocess.needs import band_role, grid_role, metadata_role
from s2pipe.preprocess.plan import ScenePlan
from s2pipe.preprocess.stats import HistogramSettings
from s2pipe.raster.gdalenv import gdal_module, jpeg2000_driver
from s2pipe.raster.grid import Grid
from s2pipe.schema import SAMPLE_META, STEP2_INDEX, STEP2_RUN, validate_document

OUTPUT_VERSION = 1
"""Raised when the same inputs and configuration would give other pixels than before."""
_RUN_ONLY_KEYS = (
    "index_json",
    "out_dir",
    "cache",
    "skip_incomplete",
    "allow_absolute_paths",
    "num_workers",
    "max_scenes",
    "run_id",
    "overwrite",
)
_STATS_ONLY_KEYS = (
    *("stats_path", "save_histograms", "scenes", "split", "split_plan"),
    *("max_pixels_per_scene", "sampling", "seed"),
)


def sample_fingerprint(plan: ScenePlan, config: PreprocessConfig, stats: Mapping[str, Any] | None) -> str:
    """Identify everything that a scene's outputs depend on: configuration, statistics and inputs."""
    effective = {key: value for key, value in to_plain(config).items() if key not in _RUN_ONLY_KEYS}
    effective["normalize"] = {k: v for k, v in effective["normalize"].items() if k not in _STATS_ONLY_KEYS}
    return _fingerprint([OUTPUT_VERSION, effective, stats, _input_documents(plan)])


def histogram_fingerprint(plan: ScenePlan, config: PreprocessConfig) -> str:
    """Identify everything that a scene's histogram depends on."""
    settings = asdict(HistogramSettings.of(config, plan.split))
    return _fingerprint([OUTPUT_VERSION, settings, _input_documents(plan)])


def stack_fingerprint(plan: ScenePlan, config: PreprocessConfig) -> str:
    """Identify everything that a scene's resampled DN depend on: bands, grid, methods, rasters, versions."""
    bands = [(band.name, band.method) for band in plan.bands]
    read = {grid_role(config), *map(band_role, config.band_names)}  # not those of labels, which pass 1 lacks
    rasters = [item for item in _input_documents(plan) if item["role"] in read]
    parts = [OUTPUT_VERSION, bands, config.target_grid_ref, config.valid_min_fraction, rasters, versions()]
    # The output's tiles decide the windows that a kept stack is stored by.
    return _fingerprint([*parts, config.output.tile_px, grid_document(plan.target)])


def _input_documents(plan: ScenePlan) -> list[dict[str, Any]]:
    return [asdict(item) for item in plan.inputs]


def _fingerprint(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, default=str)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """Versions of everything that pixels depend on."""
    import numba
    import numpy

    return {
        "s2pipe": __version__,
        "gdal": gdal_module().__version__,
        "jpeg2000_driver": jpeg2000_driver(),
        "numba": numba.__version__,
        "numpy": numpy.__version__,
    }


@dataclass(frozen=True)
class AssetRecord:
    """One raster of a sample."""

    path: str
    """Path relative to the output directory."""
    dtype: str
    """NumPy name of the pixel type."""
    band_names: tuple[str, ...]
    """Band descriptions."""
    nodata: float | None
    """Declared nodata value."""
    grid: Grid | None = None
    """Its grid where that is not the target grid."""

    def document(self, target: Grid) -> dict[str, Any]:
        """JSON form, with the grid's shape; NaN, which JSON lacks, is the text ``nan``."""
        grid = self.grid or target
        document = {
            "path": self.path,
            "dtype": self.dtype,
            "band_names": list(self.band_names),
            "nodata": "nan" if self.nodata is not None and math.isnan(self.nodata) else self.nodata,
            "shape": [len(self.band_names), *grid.shape_yx],
        }
        return document if grid == target else {**document, "grid": grid_document(grid)}


@dataclass(frozen=True)
class SampleResult:
    """What processing one scene made."""

    assets: Mapping[str, AssetRecord]
    """Rasters by kind: ``x``, ``y``, ``angles``, ``stack``."""
    valid_coverage: Mapping[str, float]
    """Valid share by mask channel."""
    label_stats: Mapping[str, Any] | None
    """Label statistics; None without labels."""
    angles: Mapping[str, Any] | None = None
    """How the angles were made; None without angles."""


def sample_meta(
    plan: ScenePlan, config: PreprocessConfig, result: SampleResult, stats: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Make the content of a sample's ``meta.json``."""
    bands = config.band_names
    year = plan.key.sensing_start_utc[:4]
    radiometry = plan.radiometry
    return {
        "schema": SAMPLE_META,
        "created_utc": utc_now(),
        "key": key_document(plan.key),
        "paths": {kind: asset.path for kind, asset in result.assets.items()},
        "assets": {kind: asset.document(plan.target) for kind, asset in result.assets.items()},
        "grid": grid_document(plan.target),
        "source_products": {
            "l1c": _product_document(plan.scene.l1c),
            "l2a": _product_document(plan.scene.l2a),
        },
        "inputs": _input_documents(plan),
        "radiometry": {
            "unit": _unit(config),
            "formula": "(DN + offset) / quantification",
            "offset_by_band": dict(zip(bands, radiometry.offset, strict=True)),
            "quantification_by_band": dict(zip(bands, radiometry.quantification, strict=True)),
            "metadata": ", ".join(dict.fromkeys(map(metadata_role, bands))) if radiometry.source else None,
        },
        "resampling": {
            band.name: {
                "method": band.method or "none",
                "source_pixel_size": list(band.raster.grid.pixel_size),
            }
            for band in plan.bands
        },
        "normalization": _normalization_document(config, stats),
        "valid_coverage": dict(result.valid_coverage),
        "labels": {
            "enabled": config.labels.enabled,
            "backend": config.labels.backend if config.labels.enabled else None,
            "stats": result.label_stats,
            "backend_stats": _backend_stats(plan, config),
        },
        "angles": result.angles or {"enabled": False},
        "config": to_plain(config),
        "fingerprint": sample_fingerprint(plan, config, stats),
        "versions": versions(),
        "attribution": f"Contains modified Copernicus Sentinel data {year}",
    }


def _unit(config: PreprocessConfig) -> str:
    """What the values of the bands are, before any normalization."""
    if not config.to_toa_reflectance:
        return "dn"
    levels = {name.startswith("l2a.") for name in config.band_names}
    return "reflectance" if len(levels) > 1 else "boa_reflectance" if True in levels else "toa_reflectance"


def _backend_stats(plan: ScenePlan, config: PreprocessConfig) -> dict[str, Any] | None:
    if plan.labels is None:
        return None
    product = plan.scene.l2a
    backend, rasters = plan.labels.backend, plan.labels.rasters
    on_target = all(raster.grid == plan.target for raster in rasters)
    return {
        "role": backend.roles[0] if backend.roles else None,
        "roles": list(backend.roles),
        "files": [path.as_posix() for path in backend.files(plan.key)],
        "source_pixel_size": list(rasters[0].grid.pixel_size) if rasters else None,
        "resampling": "none" if on_target else config.labels.resampling,
        "scl_percentages": None
        if product is None or product.scl_percentages is None
        else dict(product.scl_percentages),
    }


def _normalization_document(config: PreprocessConfig, stats: Mapping[str, Any] | None) -> dict[str, Any]:
    if stats is None:
        return {"mode": config.normalize.mode}
    keys = ("clip_low_by_band", "clip_high_by_band", "mean_by_band", "std_by_band", "split", "fingerprint")
    return {"mode": config.normalize.mode, **{key: stats.get(key) for key in keys}}


def key_document(key: SceneKey) -> dict[str, str]:
    """JSON form of a scene's key."""
    return {"tile_id": key.tile_id, "sensing_start_utc": key.sensing_start_utc}


def grid_document(grid: Grid) -> dict[str, Any]:
    """JSON form of a grid."""
    return {"crs_wkt": grid.crs_wkt, "geotransform": list(grid.geotransform), "shape_yx": list(grid.shape_yx)}


def _product_document(product: Product | None) -> dict[str, Any] | None:
    if product is None:
        return None
    names = ("product_id", "product_name", "baseline", "rel_orbit", "cloud_cover")
    return {name: getattr(product, name) for name in names}


def write_meta(path: Path, document: Mapping[str, Any]) -> None:
    """Check and write ``meta.json``, the mark that a sample is complete."""
    validate_document(document, "sample_meta", str(path))
    write_json_atomic(path, document)


def complete_meta(out_dir: Path, directory: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return a sample's ``meta.json`` if the sample is complete and has this fingerprint, else None."""
    try:
        meta = json.loads((out_dir / directory / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(meta, dict) or meta.get("fingerprint") != fingerprint:
        return None
    there = all((out_dir / path).is_file() for path in meta.get("paths", {}).values())
    return meta if there else None


def stale_files(directory: Path) -> list[Path]:
    """Rasters that an earlier run with another configuration left in a sample's directory."""
    found = [directory / "y.tif", directory / "angles.tif"]
    try:
        paths = json.loads((directory / "meta.json").read_text(encoding="utf-8"))["paths"]
        found += [directory / Path(path).name for path in paths.values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # no earlier sample, or none that can be read
    return found


def index_entry(meta: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Make a sample's entry in the Step-2 index from its ``meta.json``."""
    paths = meta["paths"]
    return {
        "key": dict(meta["key"]),
        "x_path": paths["x"],
        "y_path": paths.get("y"),
        "angles_path": paths.get("angles"),
        "stack_path": paths.get("stack"),
        "meta_path": (directory / "meta.json").as_posix(),
        "fingerprint": meta["fingerprint"],
    }


def update_index(out_dir: Path, entries: Iterable[Mapping[str, Any]]) -> Path:
    """Merge samples into ``meta/step2/index.json`` under a lock; entries whose files are gone are dropped."""
    path = out_dir / "meta" / "step2" / "index.json"
    with locked(path.with_name(".index.json.lock")):
        samples = {_entry_key(entry): entry for entry in _existing_entries(path)}
        samples.update({_entry_key(entry): dict(entry) for entry in entries})
        kept = [samples[key] for key in sorted(samples) if (out_dir / samples[key]["meta_path"]).is_file()]
        document = {
            "schema": STEP2_INDEX,
            "created_utc": utc_now(),
            "output": {"out_dir": out_dir.as_posix(), "layout": "processed/tile=<TILE>/sensing=<SENSING>/"},
            "samples": kept,
        }
        write_json_atomic(path, document)
    return path


def _existing_entries(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(
            str(path), [Fault("", f"cannot be read as JSON: {error}; move it away")]
        ) from error
    validate_document(document, "step2_index", str(path))
    return document["samples"]


def _entry_key(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["key"]["tile_id"], entry["key"]["sensing_start_utc"]


class RunLog:
    """``meta/step2/runs/run=<run_id>.jsonl``: one line a scene, written as soon as the scene is through.

    Parameters
    ----------
    out_dir : Path
        Output directory.
    run_id : str
        Name of the run; the lines of an earlier run of that name stay.
    """

    def __init__(self, out_dir: Path, run_id: str) -> None:
        self.path = out_dir / "meta" / "step2" / "runs" / f"run={run_id}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._run_id = run_id
        self._stream: IO[str] = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()

    def add(self, key: SceneKey, status: str, seconds: float = 0.0, error: str | None = None) -> None:
        """Add a scene: ``done``, ``up_to_date``, ``incomplete`` or ``failed``."""
        line = {
            "schema": STEP2_RUN,
            "run_id": self._run_id,
            "time_utc": utc_now(),
            "key": key_document(key),
            "status": status,
            "seconds": round(seconds, 3),
            "error": error,
        }
        self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
