"""A scene's plan in words, for ``--verbose``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s2pipe.preprocess.scene_plan import ScenePlan


def describe(scene: ScenePlan) -> str:
    """Return what will be done with a scene: grid, method and radiometry of each band, and what else is read."""
    target = scene.target
    size = " x ".join(f"{side:g}" for side in target.pixel_size)
    origin = f"{target.geotransform[0]:.17g}, {target.geotransform[3]:.17g}"
    lines = [
        f"{scene.key}: {target.width} x {target.height} pixels of {size}, origin {origin}, {_crs_name(target.crs_wkt)}"
    ]
    part = scene.stack.target
    if not part.is_whole:
        window, whole = part.window, part.reference
        lines.append(f"  from row {window.row}, column {window.col} of {whole.width} x {whole.height} pixels")
    if scene.mask is not None:
        lines.append(f"  area of interest: {scene.mask.pixels} pixels inside")
    radiometry = zip(scene.radiometry.offset, scene.radiometry.quantification, strict=True)
    for band, (offset, quantification) in zip(scene.stack.bands, radiometry, strict=True):
        lines.append(
            f"  {band.channel}: {band.method or 'as it is'}, (DN + {offset:g}) / {quantification:g}, {band.raster.path}"
        )
    for labels in scene.labels:
        sources = ", ".join(raster.path for raster in labels.rasters)
        name = "labels" if labels.name == "label" else f"labels {labels.name}"
        lines.append(f"  {name}: {type(labels.backend).__name__}, {sources}")
    if scene.quality is not None:
        probability = scene.quality.cloud_probability
        lines.append(
            f"  quality: {scene.quality.classes.path}, {probability.path if probability else 'no cloud probability'}"
        )
    if scene.nbar is not None:
        lines.append(
            f"  nadir view: {scene.nbar.metadata.label}, footprints of {len(scene.nbar.footprints)} band(s)"
        )
    if scene.angles is not None:
        lines.append(
            f"  angles: {scene.angles.metadata.label}, footprints of {len(scene.angles.footprints)} band(s)"
        )
    return "\n".join(lines)


def _crs_name(wkt: str) -> str:
    """Name of a coordinate reference system: the first quoted text of its WKT."""
    return wkt.split('"')[1] if wkt.count('"') > 1 else "no CRS"
