"""The angles of one scene: directions at the nodes, their channels, and readers of the detectors that saw a pixel."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from s2kernels import DirectionField
from s2pipe.preprocess.angles.directions import (
    band_directions,
    mean_over_detectors,
    sun_vectors,
)
from s2pipe.preprocess.angles.footprints import MaskReader, OutlineReader
from s2pipe.preprocess.angles.planes import TilePlanes
from s2pipe.preprocess.angles.seams import SeamFit, fit_seams
from s2pipe.raster.formats import JPEG2000
from s2pipe.raster.reader import inspect_raster
from s2pipe.raster.transform import crs_wkt, same_crs, transform_points
from s2pipe.sentinel2.angle_channels import channel_names
from s2pipe.sentinel2.safe.detectors import read_detector_outlines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.dataset.input_file import InputFile
    from s2pipe.preprocess.cfg import AngleAssetConfig
    from s2pipe.preprocess.inputs import AngleInput
    from s2pipe.raster.grid import Grid
    from s2pipe.sentinel2.safe.tile import TileAngles


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels of one direction: the sun's, one band's, or the mean over bands."""

    prefix: str
    """What their names begin with: ``sun``, ``view``, ``view_B02``."""
    field: DirectionField
    """Unit vectors at the nodes."""
    bands: slice | None
    """Which of the bands' detector ids the field is looked up with; None for a field without detectors."""

    def channel_names(self, encode: str) -> tuple[str, ...]:
        """Names of the channels: ``sun_zen_sin``, ``view_B02_azi_deg``."""
        return channel_names(self.prefix, encode)


class SceneAngles:
    """Directions at the nodes of a scene, and where its detectors are.

    Parameters
    ----------
    angles : TileAngles
        Angle grids of the tile metadata.
    inputs : AngleInput
        Tile metadata and detector footprints.
    config : AngleAssetConfig
        Which directions, and how a pixel finds its detector.
    bands : tuple of str
        Bands whose view angles are used; none without view angles.
    """

    def __init__(
        self, angles: TileAngles, inputs: AngleInput, config: AngleAssetConfig, bands: tuple[str, ...]
    ) -> None:
        self.angles = angles
        self.config = config
        self.bands = bands
        self._inputs = inputs
        self._is_mean = config.detector_aggregate == "nanmean"
        self._views = {} if self._is_mean else {band: band_directions(self._planes, band) for band in bands}
        self._tile_crs = crs_wkt(angles.tile.epsg)

    @functools.cached_property
    def _planes(self) -> TilePlanes:
        return TilePlanes(self.angles)

    @functools.cached_property
    def blind_bands(self) -> dict[str, str]:
        """Bands without any view direction in the tile, and why: ``stub`` grids, or ``no_node`` with a value."""
        blind = {}
        for band in self.bands:
            grids = [self.angles.view[band, detector][0] for detector in self.angles.detectors(band)]
            if not any(np.isfinite(grid).any() for grid in grids):
                blind[band] = "no_node" if grids else "stub"
        return blind

    def groups(self) -> list[ChannelGroup]:
        """Directions in the order of the channels."""
        from s2kernels import DirectionField

        groups = []
        if self.config.include_sun:
            sun = DirectionField(sun_vectors(self.angles)[np.newaxis], np.zeros((1, 256), np.int16))
            groups.append(ChannelGroup("sun", sun, None))
        if self.bands and self.config.view_mode == "single":
            groups.append(
                ChannelGroup("view", self._view_field(self.bands), None if self._is_mean else slice(None))
            )
        elif self.bands:
            for index, band in enumerate(self.bands):
                own_ids = None if self._is_mean else slice(index, index + 1)
                groups.append(ChannelGroup(f"view_{band}", self._view_field((band,)), own_ids))
        return groups

    def _view_field(self, bands: Sequence[str]) -> DirectionField:
        from s2kernels import DirectionField

        slots = np.full((len(bands), 256), -1, np.int16)
        vectors: list[np.ndarray] = []
        for index, band in enumerate(bands):
            if self._is_mean:
                by_detector = {0: mean_over_detectors(self.angles, band)}
            else:
                by_detector = dict(self._views[band].vectors)
            for detector, grid in by_detector.items():
                slots[index, detector] = len(vectors)
                vectors.append(grid)
        if not vectors:  # no detector has a node here: no slot is ever used
            vectors = [np.full((*self.angles.sun_zenith.shape, 3), np.nan)]
        return DirectionField(np.stack(vectors), slots)

    def detector_readers(self, target: Grid) -> list[MaskReader | OutlineReader]:
        """Detector ids of every band on the target grid; none where directions do not depend on detectors."""
        return [] if self._is_mean else [self.detector_reader(band, target) for band in self.bands]

    def detector_reader(self, band: str, target: Grid) -> MaskReader | OutlineReader:
        """Detector ids of one band on the target grid."""
        mask = self._mask(band)
        if mask is not None and not mask.is_gml:
            return MaskReader(inspect_raster(mask.gdal_path, JPEG2000), target)
        if mask is not None:
            outlines = read_detector_outlines(mask.read(), band, self.angles.tile.epsg, mask.label)
        else:
            outlines = self.seam_fits[band].outlines
        if same_crs(self._tile_crs, target.crs_wkt):
            return OutlineReader(outlines, target)
        return OutlineReader(
            outlines, target, functools.partial(transform_points, self._tile_crs, target.crs_wkt)
        )

    @functools.cached_property
    def seam_fits(self) -> dict[str, SeamFit]:
        """Footprints estimated from the nodes, of the bands that have no mask."""
        missing = [band for band in self.bands if not self._is_mean and self._mask(band) is None]
        return fit_seams(self._planes, missing) if missing else {}

    def _mask(self, band: str) -> InputFile | None:
        return self._inputs.footprints.get(band) if self.config.detector_aggregate == "footprint" else None

    def to_document(self) -> dict[str, Any]:
        """Say in ``meta.json`` how the angles were made."""
        return {
            "enabled": True,
            "metadata": self._inputs.metadata.role,
            "sensing_time": self.angles.tile.sensing_time,
            "encode": self.config.encode,
            "grid": self.config.grid,
            "view_mode": self.config.view_mode if self.bands else None,
            "footprint_by_band": {band: mask.role for band in self.bands if (mask := self._mask(band))},
            "detector_source_by_band": {band: self._detector_source(band) for band in self.bands},
            "bands_without_view_angles": self.blind_bands,
            "node_seams_by_band": {band: fit.to_document() for band, fit in self.seam_fits.items()},
            "extrapolated_detectors_by_band": {
                band: list(view.borrowed) for band, view in self._views.items() if view.borrowed
            },
        }

    def _detector_source(self, band: str) -> str:
        if self._is_mean:
            return "node_mean"
        mask = self._mask(band)
        return "node_seam" if mask is None else "footprint_polygons" if mask.is_gml else "footprint_mask"
