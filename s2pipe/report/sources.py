"""Step 1: scenes of an index, and what runs of download recorded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import has_index, load_index
from s2pipe.errors import S2PipeError
from s2pipe.report.model import Problem, Ring, Run, SourceScene
from s2pipe.report.places import journal_entries, read_part
from s2pipe.report.values import items, mapping, number, text

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.report.model import Contents

_MAX_POINTS = 200
"""Most points of a footprint that are drawn."""
_MOST_LON, _MOST_LAT = 540.0, 90.0


def add_sources(contents: Contents, root: Path) -> None:
    """Add the scenes of a root's Step-1 index, and its runs."""
    contents.steps.add(1)
    index = root / "meta" / "step1" / "index.json"
    for number_, entry in enumerate(_entries(index, contents)):
        key = key_of(mapping(entry).get("key"))
        if key is None:
            reason = "has no key of tile and sensing start"
            contents.problems.append(Problem("damaged", index, f"scene {number_}", reason))
        else:
            contents.sources.append(_source(root, key, mapping(entry)))
    for path in sorted((root / "meta" / "step1" / "runs").glob("*/manifest.json")):
        _add_run(contents, path)


def _entries(index: Path, contents: Contents) -> list[Any]:
    """Return the scenes of an index and its journals; of one that has faults, what can be read."""
    if not has_index(index):
        contents.problems.append(Problem("missing", index, "Step-1 index", "no such file"))
        return []
    try:
        return [scene.to_document() for scene in load_index(index).scenes]
    except (S2PipeError, OSError) as error:
        contents.problems.append(Problem("damaged", index, "Step-1 index", str(error)))
    said: list[Problem] = []  # that it is damaged has just been said
    document = read_part(index, "Step-1 index", said)
    pending = journal_entries(index, said)
    return [*items(document.get("scenes")), *(entry["scene"] for entry in pending if "scene" in entry)]


def key_of(document: object) -> SceneKey | None:
    """Return the key that a document states; None where it is none."""
    try:
        key = SceneKey.from_document(mapping(document))
    except (LookupError, AttributeError, TypeError):
        return None
    return key if isinstance(key.tile_id, str) and isinstance(key.sensing_start_utc, str) else None


def _source(root: Path, key: SceneKey, entry: dict[str, Any]) -> SourceScene:
    products = [product for level in ("l1c", "l2a") if (product := mapping(entry.get(level)))]
    files = [
        mapping(item)
        for level in ("files_l1c", "files_l2a")
        for item in items(mapping(entry.get(level)).get("items"))
    ]
    clouds = [cover for product in products if (cover := number(product.get("cloud_cover"))) is not None]
    footprints = [rings for product in products if (rings := rings_of(product.get("geofootprint")))]
    present = sum(item.get("present") is True for item in files)
    return SourceScene(
        root=root,
        key=key,
        products=tuple(text(product.get("product_name")) for product in products),
        cloud_cover=clouds[-1] if clouds else None,
        footprint=footprints[0] if footprints else [],
        files_present=present,
        files_planned=len(files) - present,
    )


def rings_of(geometry: object) -> list[Ring]:
    """Return the outer rings of a GeoJSON polygon or multipolygon; none of anything else."""
    found = mapping(geometry)
    coordinates = items(found.get("coordinates"))
    polygons = {"Polygon": [coordinates], "MultiPolygon": coordinates}.get(text(found.get("type")), [])
    rings = [_ring(items(polygon)[0]) for polygon in polygons if items(polygon)]
    return [ring for ring in rings if len(ring) > 2]


def _ring(points: object) -> Ring:
    ring = []
    for point in items(points):
        lon, lat = (number(value) for value in (*items(point)[:2], None, None)[:2])
        if lon is not None and lat is not None and abs(lon) <= _MOST_LON and abs(lat) <= _MOST_LAT:
            ring.append((lon, lat))
    return ring[:: max(1, -(-len(ring) // _MAX_POINTS))]


def _add_run(contents: Contents, path: Path) -> None:
    document = read_part(path, "run of download", contents.problems)
    if not document:
        return
    run_id, when = text(document.get("run_id")), text(document.get("finished_utc"))
    scenes = [mapping(scene) for scene in items(document.get("scenes"))]
    statuses = Counter(text(scene.get("status")) or "unknown" for scene in scenes)
    status = text(document.get("status"))
    contents.runs.append(
        Run("download", run_id, path, when or text(document.get("started_utc")), status, dict(statuses))
    )
    if config := mapping(document.get("config")):
        contents.configs.append((f"download, run {run_id}", config))
    if error := text(document.get("error")):
        contents.problems.append(Problem("failed", path, f"run {run_id}", error, when))
    for scene in scenes:
        error = text(scene.get("error"))
        if error:
            key = key_of(scene.get("key"))
            contents.problems.append(Problem("failed", path, str(key or "a scene"), error, when))
    for product in map(mapping, items(document.get("passed_over"))):
        reason = text(product.get("reason"))
        contents.problems.append(Problem("passed over", path, text(product.get("name")), reason, when))
