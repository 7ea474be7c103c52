"""Angle rasters: sun and view directions of every pixel, from the nodes of the tile metadata.

View directions are those of the detector that saw the pixel, never of a mixture; see docs/angles.md.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s2pipe.preprocess.angles.files import AngleRaster
from s2pipe.preprocess.angles.node_raster import write_node_raster, write_node_vrt
from s2pipe.preprocess.angles.scene_angles import SceneAngles
from s2pipe.preprocess.angles.target_raster import write_target_raster
from s2pipe.preprocess.inputs import AngleInput
from s2pipe.preprocess.pixels.chosen import Chosen
from s2pipe.sentinel2.safe.tile import read_tile_angles

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.preprocess.cfg import AngleAssetConfig
    from s2pipe.preprocess.raster_tags import RasterForm
    from s2pipe.raster.grid import TargetGrid

log = logging.getLogger("s2pipe.preprocess")


@dataclass(frozen=True)
class AngleResult:
    """What was written."""

    rasters: Mapping[str, AngleRaster]
    """By kind: ``angles``, and ``angles_native`` where that is a VRT over it."""
    documents: tuple[Mapping[str, Any], ...]
    """How they were made, for ``meta.json``; of a mosaic for each source."""

    @property
    def document(self) -> Mapping[str, Any]:
        """How those of a scene of its own, or of the first source, were made."""
        return self.documents[0]


@dataclass(frozen=True)
class MosaicAngles:
    """What the angles of a mosaic are made from."""

    inputs: tuple[AngleInput, ...]
    """Of each source."""
    chosen: Chosen
    """Which of them each pixel is from."""


def write_angles(
    work: Path,
    inputs: AngleInput | MosaicAngles,
    target: TargetGrid,
    config: AngleAssetConfig,
    bands: Sequence[str],
    form: RasterForm,
) -> AngleResult:
    """Write the angle raster of a scene.

    Parameters
    ----------
    work : Path
        Directory to write to.
    inputs : AngleInput or MosaicAngles
        Tile metadata and detector footprints.
    target : TargetGrid
        Target grid.
    config : AngleAssetConfig
        What to write.
    bands : sequence of str
        Bands whose view angles are used.
    form : RasterForm
        What all rasters of the scene have in common, and the threads for reading and compression.

    Raises
    ------
    MetadataError
        Tile metadata or a footprint mask is damaged; names file and element.
    """
    mosaic = inputs if isinstance(inputs, MosaicAngles) else MosaicAngles((inputs,), Chosen())
    scenes = [_scene_angles(source, config, bands) for source in mosaic.inputs]
    path = work / config.output_name
    if config.grid == "target":
        rasters = {"angles": write_target_raster(path, scenes, target, form, mosaic.chosen)}
    else:
        native = write_node_raster(path, scenes[0], form)
        rasters = {"angles": native}
        if config.grid == "vrt":
            rasters = {"angles": write_node_vrt(work, native, target.grid), "angles_native": native}
    return AngleResult(rasters, tuple(scene.to_document() for scene in scenes))


def _scene_angles(inputs: AngleInput, config: AngleAssetConfig, bands: Sequence[str]) -> SceneAngles:
    label = inputs.metadata.label
    angles = read_tile_angles(inputs.metadata.read(), label, with_view=config.include_view)
    scene = SceneAngles(angles, inputs, config, tuple(bands) if config.include_view else ())
    _warn(scene, label)
    return scene


def _warn(scene: SceneAngles, label: str) -> None:
    """Say which view angles are missing."""
    if scene.blind_bands:
        log.warning(
            "%s: view angles of %s are NaN: the metadata has none for them",
            label,
            ", ".join(scene.blind_bands),
        )
    for band, fit in scene.seam_fits.items():
        if fit.unheld:
            log.warning(
                "%s: view angles of %s are NaN around %d of %d nodes of the metadata, where seams between detectors "
                "cannot be placed without a footprint mask",
                *(label, band, fit.unheld, fit.nodes),
            )
