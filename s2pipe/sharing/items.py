"""One sample as a STAC Item."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from s2pipe import __version__
from s2pipe.sharing.attribution import attribution_lines
from s2pipe.sharing.bands import band_fields, class_objects
from s2pipe.sharing.footprint import footprint, pixel_metres, projection_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s2pipe.dataset.proof import FileRecord
    from s2pipe.sharing.scenes import SharedScene

STAC_VERSION = "1.1.0"
_SCHEMAS = "https://stac-extensions.github.io"
EXTENSIONS = {
    "classification": f"{_SCHEMAS}/classification/v2.0.0/schema.json",
    "eo": f"{_SCHEMAS}/eo/v1.1.0/schema.json",
    "file": f"{_SCHEMAS}/file/v2.1.0/schema.json",
    "processing": f"{_SCHEMAS}/processing/v1.2.0/schema.json",
    "proj": f"{_SCHEMAS}/projection/v2.0.0/schema.json",
    "raster": f"{_SCHEMAS}/raster/v1.1.0/schema.json",
    "view": f"{_SCHEMAS}/view/v1.0.0/schema.json",
}
"""Schemas of the extensions by the prefix of their fields, in the versions that pystac reads."""
KEYS = {
    "x": "image",
    "y": "labels",
    "angles": "angles",
    "angles_native": "angles_native",
    "quality": "quality",
    "source": "source",
}
"""Rasters of a sample that become assets, and the keys of these; ``x`` and ``y`` are dimensions to who loads them."""
_ROLES = {
    "x": ["data", "reflectance"],
    "y": ["labels", "labels-raster"],
    "angles": ["metadata", "incidence-angle", "sun-azimuth"],
    "angles_native": ["metadata"],
    "quality": ["metadata", "cloud"],
    "source": ["metadata"],
}
TITLES = {
    "x": "bands and validity masks",
    "y": "labels",
    "angles": "sun and view angles",
    "angles_native": "sun and view angles, as the product has them",
    "quality": "scene classes and cloud probability",
    "source": "which scene of the mosaic each pixel is from",
    "meta": "record of the sample",
}
_SHA256_MULTIHASH = "1220"
"""What a SHA-256 begins with as a multihash: its code and its length in bytes."""


def item_document(
    scene: SharedScene, collection: str, view: Mapping[str, float], to_root: str
) -> dict[str, Any]:
    """Return a sample as a STAC Item (version 1.1).

    Parameters
    ----------
    scene : SharedScene
        The sample.
    collection : str
        Id of its collection.
    view : mapping
        Fields of the view extension; may be empty.
    to_root : str
        Path from the Item's directory to the output directory.
    """
    sample = scene.sample
    outline = footprint(sample.grid)
    assets = item_assets(scene, to_root)
    fields = {**projection_fields(sample.grid), **view, **_processing(scene)}
    if scene.cloud_cover is not None:
        fields["eo:cloud_cover"] = scene.cloud_cover
    document = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": sample.name,
        "geometry": outline.geometry,
        "bbox": list(outline.bbox),
        "properties": {
            "datetime": sample.key.sensing_start_utc,
            "created": scene.meta["created_utc"],
            "title": f"{_where(scene)}, {sample.key.day}",
            **platform_fields(scene),
            "gsd": sum(pixel_metres(sample.grid)) / 2.0,
            **fields,
            "s2pipe:source_products": list(scene.products),
            "s2pipe:fingerprint": sample.fingerprint,
            "s2pipe:attribution": "; ".join(attribution_lines([scene])),
        },
        "links": [
            {"rel": "root", "href": "../collection.json", "type": "application/json"},
            {"rel": "parent", "href": "../collection.json", "type": "application/json"},
            {"rel": "collection", "href": "../collection.json", "type": "application/json"},
        ],
        "assets": assets,
        "collection": collection,
    }
    document["stac_extensions"] = used_extensions(document)
    return document


def _where(scene: SharedScene) -> str:
    tiles = sorted({key.tile_id for key in scene.keys})
    return f"Tile {tiles[0]}" if len(tiles) == 1 else f"Mosaic of tiles {', '.join(tiles)}"


def platform_fields(scene: SharedScene) -> dict[str, Any]:
    """Return platform, constellation and instrument; the platform is that of the products' names."""
    units = sorted({name[1:3].lower() for name in scene.products if name[:2] == "S2"})
    platform = {"platform": f"sentinel-{units[0]}"} if len(units) == 1 else {}
    return {**platform, "constellation": "sentinel-2", "instruments": ["msi"]}


def level_of(scene: SharedScene) -> str | None:
    """Return the level of the products that the bands are from; None where they are from both."""
    inputs = {
        str(file.get("role", "")).split(".band.")[0] for file in scene.meta["inputs"] if ".band." in str(file)
    }
    if len(inputs) == 1:
        return inputs.pop().upper()
    return None


def _processing(scene: SharedScene) -> dict[str, Any]:
    level, normalization = level_of(scene), scene.sample.normalization
    steps = ["bands resampled onto one grid", f"digital numbers to {scene.sample.unit.replace('_', ' ')}"]
    if normalization.is_applied:
        steps.append("clipped and normalized by the statistics of the dataset")
    fields: dict[str, Any] = {
        "processing:lineage": f"{'; '.join(steps)}; from {', '.join(scene.products) or 'Sentinel-2 products'}",
        "processing:software": scene.versions or {"s2pipe": __version__},
        "processing:datetime": scene.meta["created_utc"],
    }
    return {**({"processing:level": level} if level else {}), **fields}


def item_assets(scene: SharedScene, to_root: str) -> dict[str, Any]:
    """Return the files of a sample as assets."""
    assets = {}
    for kind, key in KEYS.items():
        raster = scene.sample.rasters.get(kind)
        if raster is not None:
            href = str(PurePosixPath(to_root) / raster.path)
            asset = {"href": href, **raster_asset(scene, kind)}
            if raster.grid != scene.sample.grid:
                asset |= projection_fields(raster.grid)
            assets[key] = {**asset, **file_fields(scene.record(raster.path))}
    meta = scene.meta_file
    assets["meta"] = {
        "href": str(PurePosixPath(to_root) / meta.path),
        "type": "application/json",
        "title": TITLES["meta"],
        "roles": ["metadata"],
        **file_fields(meta),
    }
    return assets


def raster_asset(scene: SharedScene, kind: str, *, counted: bool = True) -> dict[str, Any]:
    """Return what is true of a raster wherever it lies: media type, roles, bands, classes.

    Parameters
    ----------
    scene : SharedScene
        The sample.
    kind : str
        One of ``KEYS``.
    counted : bool
        Say how many pixels each class of labels has.
    """
    asset: dict[str, Any] = {
        "type": _media_type(scene, kind),
        "title": TITLES[kind],
        "roles": _ROLES[kind],
        **band_fields(scene.sample, kind),
    }
    for place, classes in _classes(scene, kind, counted=counted).items():
        if len(asset["bands"]) == 1:
            asset["classification:classes"] = classes
        for form in ("bands", "raster:bands"):
            asset[form][place]["classification:classes"] = classes
    return asset


def _classes(scene: SharedScene, kind: str, *, counted: bool) -> dict[int, list[dict[str, Any]]]:
    """Classes of the bands of a raster by their place in the file; none where values are no classes."""
    if kind == "quality" and scene.sample.quality is not None:
        return {0: class_objects(scene.sample.quality.meaning)}
    if kind != "y":
        return {}
    many = scene.meta["labels"].get("targets")
    stats = [target["stats"] for target in many] if many else [scene.meta["labels"].get("stats")]
    return {
        place: class_objects(
            labels.meaning,
            labels.found if counted else (),
            (found or {}).get("counts") if counted else None,
        )
        for place, (labels, found) in enumerate(zip(scene.sample.label_bands, stats, strict=True))
        if labels.kind == "classes"
    }


def _media_type(scene: SharedScene, kind: str) -> str:
    if scene.sample.rasters[kind].path.endswith(".vrt"):
        return "application/x-gdal-vrt"
    output = scene.meta["config"].get("output") or {}
    profile = "; profile=cloud-optimized" if output.get("cog") else ""
    return f"image/tiff; application=geotiff{profile}"


def file_fields(record: FileRecord | None) -> dict[str, Any]:
    """Return the fields of the file extension; none without a record."""
    if record is None:
        return {}
    return {"file:size": record.size, "file:checksum": _SHA256_MULTIHASH + record.sha256}


def used_extensions(document: Any) -> list[str]:
    """Return the schemas of the extensions whose fields a document has, at any depth."""
    prefixes: set[str] = set()
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            prefixes |= {key.partition(":")[0] for key in value if ":" in key}
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return [schema for prefix, schema in EXTENSIONS.items() if prefix in prefixes]
