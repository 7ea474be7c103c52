"""The samples of a dataset as a STAC Collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s2pipe import __version__
from s2pipe.sharing.attribution import COPERNICUS_NOTICE, attribution_lines
from s2pipe.sharing.items import (
    KEYS,
    STAC_VERSION,
    TITLES,
    file_fields,
    raster_asset,
    used_extensions,
)
from s2pipe.sharing.items_parquet import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from s2pipe.dataset.proof import FileRecord
    from s2pipe.sharing.scenes import SharedScene

_LISTED = ("platform", "constellation", "instruments", "gsd", "proj:code", "processing:level")
_RANGED = (
    "eo:cloud_cover",
    "view:sun_elevation",
    "view:sun_azimuth",
    "view:incidence_angle",
    "view:off_nadir",
    "view:azimuth",
)


def collection_document(
    about: Mapping[str, str],
    scenes: Sequence[SharedScene],
    items: Sequence[Mapping[str, Any]],
    parquet: FileRecord | None,
) -> dict[str, Any]:
    """Return the Collection of some Items.

    Parameters
    ----------
    about : mapping
        ``id``, ``title`` and ``license``.
    scenes : sequence of SharedScene
        The samples.
    items : sequence of mapping
        The same as Items.
    parquet : FileRecord, optional
        The Items as GeoParquet, beside the Collection.
    """
    attribution = attribution_lines(scenes)
    days = sorted(scene.sample.key.day for scene in scenes)
    document = {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": about["id"],
        "title": about["title"],
        "description": (
            f"{len(scenes)} sample(s) of Sentinel-2 scenes of {days[0]} to {days[-1]}, made with s2pipe "
            f"{__version__}. {'. '.join(attribution)}."
        ),
        "keywords": ["Sentinel-2", "Copernicus", "machine learning", "reflectance"],
        "license": about["license"],
        "providers": _providers(scenes),
        "extent": _extent(items),
        "summaries": _summaries(items),
        "item_assets": _item_assets(scenes),
        "s2pipe:attribution": attribution,
        "links": [
            {"rel": "root", "href": "./collection.json", "type": "application/json"},
            {"rel": "license", "href": COPERNICUS_NOTICE, "title": "Terms of Copernicus Sentinel data"},
            *(
                {"rel": "item", "href": f"./items/{item['id']}.json", "type": "application/geo+json"}
                for item in items
            ),
        ],
        "assets": {} if parquet is None else {"items": _parquet_asset(parquet)},
    }
    document["stac_extensions"] = used_extensions(document)
    return document


def _providers(scenes: Sequence[SharedScene]) -> list[dict[str, Any]]:
    versions = {version for scene in scenes for version in [scene.versions.get("s2pipe", __version__)]}
    return [
        {
            "name": "European Union / ESA Copernicus",
            "roles": ["producer", "licensor"],
            "url": "https://dataspace.copernicus.eu",
        },
        {
            "name": "s2pipe",
            "description": "Software that made the dataset",
            "roles": ["processor"],
            "processing:software": {"s2pipe": ", ".join(sorted(versions))},
        },
    ]


def _extent(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    boxes = [item["bbox"] for item in items]
    times = sorted(item["properties"]["datetime"] for item in items)
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    if any(box[0] > box[2] for box in boxes):  # RFC 7946: west of the antimeridian to east of it
        west = min(box[0] for box in boxes if box[0] > 0.0)
        east = max((box[2] for box in boxes if box[2] < 0.0), default=180.0)
        if any(box[0] <= box[2] and not (box[0] >= west or box[2] <= east) for box in boxes):
            west, east = -180.0, 180.0
    else:
        west, east = min(box[0] for box in boxes), max(box[2] for box in boxes)
    whole = [west, south, east, north]
    each = [list(box) for box in dict.fromkeys(map(tuple, boxes))]
    return {
        "spatial": {"bbox": [whole, *each] if len(each) > 1 else [whole]},
        "temporal": {"interval": [[times[0], times[-1]]]},
    }


def _summaries(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    properties = [item["properties"] for item in items]
    for name in _LISTED:
        values = [entry[name] for entry in properties if entry.get(name) is not None]
        flat = {part for value in values for part in (value if isinstance(value, list) else [value])}
        if flat:
            found[name] = sorted(flat)
    for name in _RANGED:
        values = [entry[name] for entry in properties if name in entry]
        if values:
            found[name] = {"minimum": min(values), "maximum": max(values)}
    return found


def _item_assets(scenes: Sequence[SharedScene]) -> dict[str, Any]:
    assets: dict[str, Any] = {}
    for kind, key in KEYS.items():
        first = next((scene for scene in scenes if kind in scene.sample.rasters), None)
        if first is not None:
            assets[key] = raster_asset(first, kind, counted=False)
    assets["meta"] = {"type": "application/json", "title": TITLES["meta"], "roles": ["metadata"]}
    return assets


def _parquet_asset(record: FileRecord) -> dict[str, Any]:
    return {
        "href": f"./{record.path}",
        "type": MEDIA_TYPE,
        "title": "All Items as GeoParquet (stac-geoparquet)",
        "roles": ["collection-mirror"],
        **file_fields(record),
    }
