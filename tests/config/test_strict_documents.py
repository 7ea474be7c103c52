"""What s2pipe alone writes is checked strictly; what others may write, tolerantly but for types, roles and ranges."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.cli import main
from s2pipe.config.schema import RULES, SCHEMA_IDS, document_faults, load_schema
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = sorted(path.name.removesuffix(".schema.json") for path in (ROOT / "schemas").glob("*.json"))
OPEN = {"step1_index", "config", "l1c", "l2a", "geofootprint"}
"""Documents of others, and parts that are described by a schema of their own."""
FINGERPRINT = "sha256:" + "0" * 64
KEY = {"tile_id": "T33UWQ", "sensing_start_utc": "2025-12-10T10:03:19Z"}
OTHER_KEY = {**KEY, "tile_id": "T33UWP"}


def _objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of an object, with the path of its keyword."""
    if isinstance(schema, dict):
        kinds = schema.get("type", ())
        if "object" in ([kinds] if isinstance(kinds, str) else kinds):
            yield path, schema
        for key, value in schema.items():
            yield from _objects(value, f"{path}.{key}")
    elif isinstance(schema, list):
        for item in schema:
            yield from _objects(item, path)


def test_every_document_has_rules() -> None:
    assert set(RULES) == set(SCHEMA_IDS.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_property_is_described(name: str) -> None:
    silent = [
        f"{path}.{key}"
        for path, schema in _objects(load_schema(name))
        for key, value in schema.get("properties", {}).items()
        if not value.get("description", "").strip()
    ]
    assert silent == []


@pytest.mark.parametrize("name", [name for name in NAMES if name != "step1_index"])
def test_unknown_keys_are_faults_wherever_keys_are_known(name: str) -> None:
    lenient = [
        path
        for path, schema in _objects(load_schema(name))
        if schema.get("additionalProperties", True) is True and path.rpartition(".")[2] not in OPEN
    ]
    assert lenient == []


def _grid() -> dict[str, Any]:
    return {"crs_wkt": "EPSG:32633", "geotransform": [0, 20, 0, 0, 0, -20], "shape_yx": [2, 3]}


def _asset(path: str, bands: list[str]) -> dict[str, Any]:
    shape = [len(bands), 2, 3]
    return {
        "path": path,
        "dtype": "float32",
        "band_names": bands,
        "nodata": None,
        "shape": shape,
        "grid": _grid(),
    }


def _by_band(value: Any) -> dict[str, Any]:
    return {"B02": value, "B03": value}


NORMALIZATION = {
    "mode": "apply_with_stats",
    **{name: _by_band(0.1) for name in ("clip_low_by_band", "mean_by_band", "std_by_band")},
    "clip_high_by_band": _by_band(0.5),
    "split": None,
    "fingerprint": FINGERPRINT,
}
COUNTS = {"shards": 1, "samples": 2, "bytes": 10, "class_histogram": {"4": 7}}
NO_COUNTS = {"shards": 0, "samples": 0, "bytes": 0, "class_histogram": {}}
BY = {"a": {"kept": 2, "dropped": 3}}
SCENE_FILES = {"items": [{"role": "l1c.band.B02", "path": "a.jp2", "planned": False, "present": True}]}

GOOD: dict[str, dict[str, Any]] = {
    "sample_meta": {
        "schema": "s2pipe.step2.sample_meta.v2",
        "created_utc": "2026-01-01T00:00:00Z",
        "key": KEY,
        "paths": {"x": "p/x.tif", "y": "p/y.tif"},
        "files": ["p/x.tif", "p/y.tif"],
        "assets": {"x": _asset("p/x.tif", ["B02", "B03", "valid"]), "y": _asset("p/y.tif", ["label"])},
        "grid": _grid(),
        "source_products": {"l1c": {"product_name": "a", "cloud_cover": 3.5}, "l2a": None},
        "inputs": [{"role": "l1c.band.B02", "name": "a", "size": 1, "mtime_ns": 1, "checksum": None}],
        "radiometry": {"unit": "dn", "offset_by_band": _by_band(0), "quantification_by_band": _by_band(1)},
        "resampling": _by_band({"method": "none"}),
        "normalization": NORMALIZATION,
        "valid_coverage": {"valid": 0.5},
        "labels": {
            "enabled": True,
            "backend": "scl",
            "stats": {
                "pixels": 6,
                "ignore_index": 255,
                "ignored": 2,
                "counts": {"4": 4, "255": 2},
                "ratios": {"4": 4 / 6, "255": 2 / 6},
            },
            "backend_stats": None,
        },
        "config": {"any": 1},
        "fingerprint": FINGERPRINT,
        "versions": {},
        "attribution": "a",
    },
    "step2_index": {
        "schema": "s2pipe.step2.index.v2",
        "created_utc": "2026-01-01T00:00:00Z",
        "output": {"out_dir": "out", "layout": "processed"},
        "samples": [
            {
                "key": key,
                "x_path": "x.tif",
                "y_path": None,
                "meta_path": "meta.json",
                "fingerprint": FINGERPRINT,
            }
            for key in (KEY, OTHER_KEY)
        ],
    },
    "step2_run": {
        "schema": "s2pipe.step2.run.v1",
        "run_id": "a",
        "time_utc": "2026-01-01T00:00:00Z",
        "key": KEY,
        "status": "done",
        "seconds": 1.5,
        "error": None,
    },
    "step1_run": {
        "schema": "s2pipe.step1.run.v1",
        "run_id": "a",
        "status": "done",
        "started_utc": "2026-01-01T00:00:00Z",
        "finished_utc": "2026-01-01T00:00:01Z",
        "dry_run": False,
        "config": {},
        "hosts": {"catalogue": "a", "download": "b", "identity": "c"},
        "totals": {"scenes": 1, "files": 1, "files_to_fetch": 1, "bytes": 5, "bytes_to_fetch": 5},
        "scenes": [{"key": KEY, "status": "done", "files_l1c": SCENE_FILES}],
        "passed_over": [{"name": "a", "reason": "b"}],
        "warnings": [],
    },
    "step1_index": {
        "schema": "s2pipe.step1.index.v2",
        "scenes": [
            {"key": KEY, "l1c": {"cloud_cover": 5, "coverage_ratio": 1.0}, "files_l1c": SCENE_FILES},
            {"key": OTHER_KEY},
        ],
    },
    "step3_split": {
        "schema": "s2pipe.step3.split.v1",
        "by": "tile",
        "train": 0.7,
        "val": 0.2,
        "test": 0.1,
        "seed": 0,
        "cell_m": 20000,
        "buffer_m": 0,
        "same_ground": False,
        "val_from": "2025-06-01",
        "test_from": "2025-07-01",
        "tiles": [{"tile_id": "T33UWQ", "split": "train", "epsg": 32633, "bounds": [0, 0, 1, 1]}],
        "cells": {},
    },
    "step3_shards": {
        "schema": "s2pipe.step3.shards.v1",
        "fingerprint": None,
        "config": {},
        "split": FINGERPRINT,
        "candidates": 5,
        "kept": 2,
        "bands": ["B02", "B03", "valid"],
        "unit": "standard deviations",
        "normalization": NORMALIZATION,
        "angle_bands": [],
        "labels": {"dtype": "uint8", "ignore_index": 255, "class_names": {}},
        "patch_size": 4,
        "stride": 4,
        "group": "none",
        "splits": {"train": COUNTS, "val": NO_COUNTS, "test": NO_COUNTS},
        "class_weights": {"4": 1.0},
        "shards": [
            {
                "path": "train/a.tar",
                "split": "train",
                "count": 2,
                "bytes": 10,
                "sha256": "0" * 64,
                "class_histogram": {"4": 7},
                "fingerprint": FINGERPRINT,
            }
        ],
    },
    "step3_summary": {
        "schema": "s2pipe.step3.summary.v1",
        "candidates": 5,
        "kept": 2,
        "dropped": 3,
        "dropped_by_reason": {"valid": 3},
        "by_split": BY,
        "by_tile": BY,
        "by_month": BY,
        "by_cloud_cover": {},
        "by_class": {
            "4": {"kept_patches": 1, "dropped_patches": 0, "kept_pixels": 9, "dropped_pixels": 0},
        },
        "split": {"by": "cell", "fingerprint": FINGERPRINT, "separates_ground": True},
        "unreadable": [],
    },
}

_LABELS = ("labels", "stats")
BAD: list[tuple[str, tuple[str | int, ...], Any, str]] = [
    ("sample_meta", ("note",), "x", "note: unknown key"),
    ("sample_meta", ("grid", "note"), "x", "grid.note: unknown key"),
    (
        "sample_meta",
        ("key", "sensing_start_utc"),
        "2025-13-10T10:03:19Z",
        "key.sensing_start_utc: there is no such",
    ),
    ("sample_meta", ("paths", "y"), "other.tif", "paths: expected the paths of assets"),
    (
        "sample_meta",
        ("assets", "x", "shape"),
        [2, 2, 3],
        "assets.x.shape: expected bands and grid, [3, 2, 3]",
    ),
    ("sample_meta", ("assets", "y", "grid", "geotransform", 0), 5, "assets.y.grid: expected the target grid"),
    ("sample_meta", ("grid", "geotransform", 1), 0, "grid.geotransform: expected pixels with an area"),
    ("sample_meta", ("grid", "shape_yx"), [0, 3], "grid.shape_yx[0]: expected a number >= 1"),
    (
        "sample_meta",
        ("source_products", "l1c", "cloud_cover"),
        100.5,
        "cloud_cover: expected a number <= 100",
    ),
    ("sample_meta", ("inputs", 0, "size"), -1, "inputs[0].size: expected a number >= 0"),
    (
        "sample_meta",
        ("radiometry", "offset_by_band"),
        {"B02": 0},
        "radiometry.offset_by_band.B03: is missing",
    ),
    ("sample_meta", ("resampling", "B04"), {"method": "none"}, "resampling.B04: is none of B02, B03"),
    ("sample_meta", ("valid_coverage", "valid"), 1.5, "valid_coverage.valid: expected a number <= 1"),
    ("sample_meta", ("valid_coverage",), {}, "valid_coverage.valid: is missing"),
    (
        "sample_meta",
        ("normalization", "mean_by_band"),
        {"B02": 0},
        "normalization.mean_by_band.B03: is missing",
    ),
    (
        "sample_meta",
        ("normalization", "clip_low_by_band", "B02"),
        0.7,
        "clip_high_by_band.B02: expected at least 0.7",
    ),
    ("sample_meta", ("normalization", "std_by_band", "B02"), 0, "std_by_band.B02: expected a number > 0"),
    (
        "sample_meta",
        (*_LABELS, "counts", "4"),
        5,
        "labels.stats.counts: expected 6, the pixels of the grid, got 7",
    ),
    ("sample_meta", (*_LABELS, "counts", "4"), -4, "labels.stats.counts.4: expected a number >= 0"),
    ("sample_meta", (*_LABELS, "pixels"), 7, "labels.stats.pixels: expected 6"),
    ("sample_meta", (*_LABELS, "ignored"), 0, "labels.stats.ignored: expected 2"),
    ("sample_meta", (*_LABELS, "ratios", "4"), 0.9, "labels.stats.ratios.4: expected 0.66"),
    ("sample_meta", (*_LABELS, "ratios", "4"), 1.1, "labels.stats.ratios.4: expected a number <= 1"),
    ("sample_meta", ("fingerprint",), "abc", "fingerprint: 'abc' does not match the pattern"),
    ("step2_index", ("made_by",), "x", "made_by: unknown key"),
    ("step2_index", ("samples", 0, "z_path"), "x", "samples[0].z_path: unknown key"),
    (
        "step2_index",
        ("samples", 1, "key"),
        KEY,
        "samples[1].key: scene T33UWQ/2025-12-10T10:03:19Z is listed already",
    ),
    (
        "step2_index",
        ("samples", 1, "key", "tile_id"),
        "33UWP",
        "samples[1].key.tile_id: '33UWP' does not match",
    ),
    ("step2_index", ("created_utc",), "2026-02-30T00:00:00Z", "created_utc: there is no such time"),
    ("step2_run", ("note",), 1, "note: unknown key"),
    ("step2_run", ("seconds",), -1, "seconds: expected a number >= 0"),
    ("step2_run", ("status",), "failed", "error: expected a reason for the status failed"),
    ("step2_run", ("error",), "why", "error: expected null for the status done"),
    ("step1_run", ("note",), 1, "note: unknown key"),
    (
        "step1_run",
        ("finished_utc",),
        "2025-01-01T00:00:00Z",
        "finished_utc: expected a time from started_utc",
    ),
    ("step1_run", ("totals", "scenes"), 2, "totals.scenes: expected 1, the number of scenes"),
    ("step1_run", ("totals", "files_to_fetch"), 2, "totals.files_to_fetch: expected at most files, 1"),
    ("step1_run", ("totals", "bytes_to_fetch"), 9, "totals.bytes_to_fetch: expected at most bytes, 5"),
    (
        "step1_run",
        ("scenes", 0, "files_l1c", "items", 0, "note"),
        1,
        "scenes[0].files_l1c.items[0].note: unknown",
    ),
    (
        "step1_index",
        ("scenes", 0, "l1c", "cloud_cover"),
        101,
        "scenes[0].l1c.cloud_cover: expected a number <= 100",
    ),
    (
        "step1_index",
        ("scenes", 0, "l1c", "cloud_cover"),
        "5",
        "scenes[0].l1c.cloud_cover: expected number or null",
    ),
    ("step1_index", ("scenes", 0, "l1c", "coverage_ratio"), 1.2, "coverage_ratio: expected 0 to 1"),
    ("step1_index", ("scenes", 0, "files_l1c", "items", 0, "size"), -1, "size: expected a number >= 0"),
    (
        "step1_index",
        ("scenes", 0, "files_l1c", "items", 0, "role"),
        "l1c.band.B99",
        "role: 'l1c.band.B99' does not",
    ),
    (
        "step1_index",
        ("scenes", 0, "files_l1c", "items", 0, "role"),
        "l2a.scl_20m",
        "role: expected a role of L1C",
    ),
    (
        "step1_index",
        ("scenes", 0, "key", "tile_id"),
        "33UWQ",
        "scenes[0].key.tile_id: '33UWQ' does not match",
    ),
    (
        "step1_index",
        ("scenes", 0, "key", "sensing_start_utc"),
        "2025-02-30T10:03:19Z",
        "there is no such time",
    ),
    (
        "step1_index",
        ("scenes", 1, "key"),
        KEY,
        "scenes[1].key: scene T33UWQ/2025-12-10T10:03:19Z is listed already",
    ),
    ("step3_split", ("note",), 1, "note: unknown key"),
    ("step3_split", ("train",), 0.8, "train: expected train, val and test to sum to 1"),
    ("step3_split", ("val_from",), "2025-08-01", "test_from: expected a day from val_from"),
    ("step3_split", ("val_from",), "2025-06-31", "val_from: there is no such day"),
    ("step3_split", ("tiles", 0, "bounds"), [0, 1, 1, 0], "tiles[0].bounds: expected left < right"),
    ("step3_split", ("tiles", 0, "epsg"), 4326, "tiles[0].epsg: expected a number >="),
    ("step3_split", ("cells",), {"x": "train"}, "cells.x: 'x' is not a ground cell"),
    ("step3_shards", ("note",), 1, "note: unknown key"),
    ("step3_shards", ("kept",), 6, "kept: expected at most candidates, 5"),
    ("step3_shards", ("kept",), 3, "kept: expected 2, the items of the shards"),
    ("step3_shards", ("splits", "train", "bytes"), 9, "splits.train.bytes: expected 10"),
    (
        "step3_shards",
        ("splits", "train", "class_histogram"),
        {"4": 6},
        "splits.train.class_histogram: expected",
    ),
    (
        "step3_shards",
        ("normalization", "mean_by_band"),
        {"B02": 0},
        "normalization.mean_by_band.B03: is missing",
    ),
    ("step3_shards", ("labels", "dtype"), "int3", "labels.dtype: 'int3' is not one of"),
    ("step3_summary", ("note",), 1, "note: unknown key"),
    ("step3_summary", ("dropped",), 2, "dropped: expected 3, candidates without kept"),
    ("step3_summary", ("dropped_by_reason",), {"valid": 2}, "dropped_by_reason: expected a sum of 3"),
    (
        "step3_summary",
        ("by_tile",),
        {"a": {"kept": 1, "dropped": 3}},
        "by_tile: expected a sum of 2 kept patches",
    ),
    ("step3_summary", ("by_class", "4", "kept_patches"), 3, "by_class.4.kept_patches: expected at most 2"),
    ("step3_summary", ("kept",), -1, "kept: expected a number >= 0"),
]


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_good_document_has_no_fault(name: str) -> None:
    assert document_faults(GOOD[name], name) == []


@pytest.mark.parametrize(("name", "path", "value", "message"), BAD)
def test_impossible_documents_are_faults(
    name: str, path: tuple[str | int, ...], value: Any, message: str
) -> None:
    document = copy.deepcopy(GOOD[name])
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    faults = [str(fault) for fault in document_faults(document, name)]
    assert any(message in fault for fault in faults), faults


def test_a_step1_index_of_others_may_say_more(tmp_path: Path) -> None:
    document = copy.deepcopy(GOOD["step1_index"])
    document["note"] = document["scenes"][0]["note"] = {"any": [1]}
    document["scenes"][0]["files_l1c"]["items"].append({"role": "l1c.preview", "path": "p", "colour": "grey"})
    assert document_faults(document, "step1_index") == []
    path = tmp_path / "index.json"
    path.write_text(json.dumps(document))
    assert main(["validate", str(path)]) == 0
    document["scenes"][0]["key"] = OTHER_KEY
    path.write_text(json.dumps(document))
    assert main(["validate", str(path)]) == 2
