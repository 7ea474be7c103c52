"""Rules of the documents of Step 1 and Step 2 that their JSON Schemas cannot express."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ROUNDING = 1e-6
"""Sums and ratios of other writers may be off by this much."""


def index_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a Step-1 index that fits its schema: times, levels of roles, ratios."""
    faults: list[Fault] = []
    for number, scene in enumerate(document["scenes"]):
        found = scene_faults(scene)
        faults += [Fault(f"scenes[{number}].{fault.path}", fault.message) for fault in found]
    return [*faults, *_repeated([scene["key"] for scene in document["scenes"]], "scenes")]


def scene_faults(scene: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of one scene of a Step-1 index that fits its schema."""
    faults = key_faults(scene["key"], "key")
    for level in ("l1c", "l2a"):
        faults += _level_faults(scene.get(f"files_{level}"), level, f"files_{level}")
        ratio = (scene.get(level) or {}).get("coverage_ratio")
        if ratio is not None and not -_ROUNDING <= ratio <= 1 + _ROUNDING:
            faults.append(Fault(f"{level}.coverage_ratio", f"expected 0 to 1, got {ratio}"))
    for number, half in enumerate(scene.get("other_halves") or ()):
        found = scene_faults({**half, "key": scene["key"]})
        faults += [Fault(f"other_halves[{number}].{fault.path}", fault.message) for fault in found]
    return faults


def sample_faults(sample: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of one sample of a Step-2 index that fits its schema."""
    return key_faults(sample["key"], "key")


def _level_faults(files: Mapping[str, Any] | None, level: str, where: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for number, item in enumerate((files or {}).get("items", ())):
        if item["role"] in seen:
            yield Fault(f"{where}.items[{number}].role", f"{item['role']} is listed already for the scene")
        seen.add(item["role"])
        if not item["role"].startswith(f"{level}."):
            message = f"expected a role of {level.upper()}, {level}.*, got {item['role']!r}"
            yield Fault(f"{where}.items[{number}].role", message)


def download_run_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a run manifest of Step 1 that fits its schema: times, scenes, totals."""
    faults = [*_time_faults(document, ("started_utc", "finished_utc")), *index_faults(document)]
    faults += _order_faults(document, "started_utc", "finished_utc")
    totals = document["totals"]
    scenes = len(document["scenes"])
    if totals.get("scenes", scenes) != scenes:
        faults.append(
            Fault("totals.scenes", f"expected {scenes}, the number of scenes, got {totals['scenes']}")
        )
    for part, whole in (("files_to_fetch", "files"), ("bytes_to_fetch", "bytes")):
        if totals.get(part, 0) > totals.get(whole, math.inf):
            message = f"expected at most {whole}, {totals[whole]}, got {totals[part]}"
            faults.append(Fault(f"totals.{part}", message))
    return faults


def samples_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a Step-2 index that fits its schema: times, and samples that are listed twice."""
    faults = [*_time_faults(document, ("created_utc",))]
    for number, sample in enumerate(document["samples"]):
        faults += key_faults(sample["key"], f"samples[{number}].key")
    return faults or list(_repeated([sample["key"] for sample in document["samples"]], "samples"))


def line_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a line of Step 2's log that fits its schema."""
    faults = [*key_faults(document["key"], "key"), *_time_faults(document, ("time_utc",))]
    has_error, status = document["error"] is not None, document["status"]
    if has_error != (status in ("failed", "incomplete", "outside")):
        wanted = "null" if has_error else "a reason"
        faults.append(
            Fault("error", f"expected {wanted} for the status {status}, got {document['error']!r:.80}")
        )
    return faults


def meta_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a ``meta.json`` that fits its schema: what it says in two places, and counts."""
    faults = [*key_faults(document["key"], "key"), *_time_faults(document, ("created_utc",))]
    faults += _asset_faults(document)
    names = document["assets"]["x"]["band_names"]
    masks = [name for name in names if name == "valid" or name.startswith("valid_")]
    bands = [name for name in names if name not in masks]
    radiometry, normalization = document["radiometry"], document["normalization"]
    faults += _names_faults(radiometry, ("offset_by_band", "quantification_by_band"), bands, "radiometry")
    faults += _names_faults(document, ("resampling",), bands, "")
    faults += _names_faults(document, ("valid_coverage",), masks, "")
    if normalization["mode"] == "apply_with_stats":
        faults += normalization_faults(normalization, bands)
    faults += _grid_faults(document["grid"], "grid")
    faults += _area_faults(document)
    labels, pixels = document["labels"], math.prod(document["grid"]["shape_yx"])
    faults += _label_faults(labels["stats"], pixels, "labels")
    for place, target in enumerate(labels.get("targets") or ()):
        faults += _label_faults(target["stats"], pixels, f"labels.targets.{place}")
    return faults


def _area_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of the window that an area of interest cut out of a tile."""
    area = document.get("area")
    if area is None:
        return
    window, (height, width) = area["window"], area["reference_grid"]["shape_yx"]
    yield from _grid_faults(area["reference_grid"], "area.reference_grid")
    size, shape = [window["height"], window["width"]], document["grid"]["shape_yx"]
    if size != shape:
        yield Fault("area.window", f"expected {shape} pixels as in grid, got {size}")
    if window["row"] + window["height"] > height or window["col"] + window["width"] > width:
        yield Fault("area.window", f"expected a window of a grid of {[height, width]} pixels, got {window}")


def normalization_faults(normalization: Mapping[str, Any], bands: list[str]) -> list[Fault]:
    """Return the faults of the values that bands were normalized with."""
    stated = ("clip_low_by_band", "clip_high_by_band", "mean_by_band", "std_by_band")
    faults = [*_names_faults(normalization, stated, bands, "normalization")]
    if faults:
        return faults
    lows, highs = (normalization[name] for name in stated[:2])
    return [
        Fault(f"normalization.clip_high_by_band.{band}", f"expected at least {lows[band]}, got {highs[band]}")
        for band in bands
        if None not in (lows[band], highs[band]) and not lows[band] <= highs[band]
    ]


def _asset_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    assets, paths = document["assets"], document["paths"]
    stated = {kind: asset["path"] for kind, asset in assets.items()}
    if stated != paths:
        yield Fault("paths", f"expected the paths of assets, {stated}, got {paths}")
    for kind, asset in assets.items():
        shape = [len(asset["band_names"]), *asset["grid"]["shape_yx"]]
        if asset["shape"] != shape:
            yield Fault(f"assets.{kind}.shape", f"expected bands and grid, {shape}, got {asset['shape']}")
        yield from _grid_faults(asset["grid"], f"assets.{kind}.grid")
        if kind in ("x", "y", "quality", "stack") and asset["grid"] != document["grid"]:
            yield Fault(f"assets.{kind}.grid", "expected the target grid of the sample")


def _grid_faults(grid: Mapping[str, Any], where: str) -> Iterator[Fault]:
    _, a, b, _, c, d = grid["geotransform"]
    if a * d - b * c == 0:
        yield Fault(f"{where}.geotransform", f"expected pixels with an area, got {grid['geotransform']}")


def _names_faults(
    document: Mapping[str, Any], names: Iterable[str], wanted: list[str], where: str
) -> Iterator[Fault]:
    """Faults of values by band that are not those of exactly these bands."""
    for name in names:
        path, values = f"{where}.{name}".lstrip("."), document.get(name)
        if values is None:
            yield Fault(path, "is missing")
            continue
        yield from (Fault(f"{path}.{band}", "is missing") for band in wanted if band not in values)
        others = (band for band in values if band not in wanted)
        yield from (Fault(f"{path}.{band}", f"is none of {', '.join(wanted)}") for band in others)


def _label_faults(stats: Mapping[str, Any] | None, total: int, where: str) -> Iterator[Fault]:
    if stats is None:
        return
    if "counts" not in stats:
        yield from _quantity_faults(stats, total, where)
        return
    counts = stats["counts"]
    for name, got in (("pixels", stats["pixels"]), ("counts", sum(counts.values()))):
        if got != total:
            yield Fault(f"{where}.stats.{name}", f"expected {total}, the pixels of the grid, got {got}")
    ignored = counts.get(str(stats["ignore_index"]), 0)
    if stats["ignored"] != ignored:
        yield Fault(f"{where}.stats.ignored", f"expected {ignored}, as in counts, got {stats['ignored']}")
    for label, ratio in stats["ratios"].items():
        wanted = counts.get(label, 0) / max(1, stats["pixels"])
        if abs(ratio - wanted) > _ROUNDING:
            yield Fault(f"{where}.stats.ratios.{label}", f"expected {wanted}, as in counts, got {ratio}")


def _quantity_faults(stats: Mapping[str, Any], total: int, where: str) -> Iterator[Fault]:
    if stats["pixels"] != total:
        yield Fault(
            f"{where}.stats.pixels", f"expected {total}, the pixels of the grid, got {stats['pixels']}"
        )
    count = stats.get("count")
    if count is None or stats["ignored"] + count != stats["pixels"]:
        yield Fault(f"{where}.stats.count", f"expected pixels without ignored ones, got {count}")
        return
    stated = [stats.get(name) for name in ("min", "mean", "max")]
    found = [value for value in stated if value is not None]
    if len(found) != (3 if count else 0) or found != sorted(found):
        yield Fault(
            f"{where}.stats.mean", f"expected min <= mean <= max where there are values, got {stated}"
        )


def key_faults(key: Mapping[str, Any], where: str) -> list[Fault]:
    """Return the faults of a scene's key: a day or a time that does not exist."""
    return [
        Fault(f"{where}.{fault.path}", fault.message) for fault in _time_faults(key, ("sensing_start_utc",))
    ]


def _time_faults(document: Mapping[str, Any], names: Iterable[str]) -> Iterator[Fault]:
    for name in names:
        text = document.get(name)
        if text is None:
            continue
        try:
            datetime.fromisoformat(text[:19])  # the schema has checked the rest
        except ValueError as error:
            yield Fault(name, f"there is no such time: {text!r} ({error})")


def _order_faults(document: Mapping[str, Any], first: str, last: str) -> Iterator[Fault]:
    start, end = document.get(first), document.get(last)
    if start is not None and end is not None and end[:19] < start[:19]:
        yield Fault(last, f"expected a time from {first}, {start}, on, got {end}")


def _repeated(keys: list[Mapping[str, Any]], where: str) -> Iterator[Fault]:
    seen: dict[tuple[str, str], int] = {}
    for number, document in enumerate(keys):
        key = SceneKey.from_document(document)
        first = seen.setdefault(key.identity, number)
        if first != number:
            yield Fault(f"{where}[{number}].key", f"scene {key} is listed already as {where}[{first}]")
