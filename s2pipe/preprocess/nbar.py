"""Reflectance as seen from nadir (NBAR): DN adjusted window by window, before anything else is made of them.

Pass 1, draws of pixels and pass 2 adjust the same DN to the same values: see docs/nbar.md.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import MetadataError
from s2pipe.ground.projection import utm_to_lonlat
from s2pipe.preprocess.angles.footprints import MaskReader
from s2pipe.preprocess.angles.placement import placement
from s2pipe.preprocess.angles.scene_angles import SceneAngles
from s2pipe.preprocess.cfg import AngleAssetConfig, BrdfConfig
from s2pipe.preprocess.pixels.blocks import BandReader, TargetReader, stream_windows
from s2pipe.raster.block_cache import block_cache
from s2pipe.sentinel2.brdf import (
    BRDF_PARAMETERS,
    BRDF_REFERENCES,
    MAX_SUN_ZENITH_DEG,
    BrdfParameters,
    sun_zenith_by_latitude,
)
from s2pipe.sentinel2.safe.tile import ANGLE_STEP_M, read_tile_angles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s2kernels import Placement, Radiometry, ViewGeometry
    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.inputs import AngleInput, BandStack
    from s2pipe.preprocess.pixels.dn import DnWindows
    from s2pipe.raster.grid import Window
    from s2pipe.sentinel2.channels import Channel
    from s2pipe.sentinel2.safe.tile import TileAngles

log = logging.getLogger("s2pipe.preprocess")

_KNOT_M = 320.0
"""Ground distance between exact c-factors: bilinear ones between them are off by less than 1e-5."""
_MAX_KNOT_PX = 32
_MASK_CACHE_BYTES = 128 << 20
"""Block cache that holds a row of JPEG 2000 tiles of the masks of all bands, twice."""
_LAMBERTIAN = BrdfParameters(1.0, 0.0, 0.0)


def nbar_notes(config: PreprocessConfig) -> list[str]:
    """Say what a user of NBAR should know of a configuration: bands that stay as they are, and bands of L1C."""
    if not config.brdf.is_on:
        return []
    notes = []
    kept = [str(channel) for channel in config.channels if channel.band not in BRDF_PARAMETERS]
    above = [str(channel) for channel in _of_l1c(config.channels)]
    if kept:
        notes.append(f"brdf: {', '.join(kept)} stay as they are: no parameters are published for them")
    if above:
        notes.append(
            f"brdf: {', '.join(above)} are top-of-atmosphere reflectance, and the parameters are of the surface: the "
            "air's own directional effects stay in; use l2a. bands for surface reflectance"
        )
    if config.group_by is not None and isinstance(config.brdf.sun_zenith, str):
        notes.append(
            f"brdf: with sun_zenith {config.brdf.sun_zenith} each tile of a mosaic is brought to a sun of its own, "
            "which leaves a step between them; state degrees for mosaics"
        )
    return notes


def _of_l1c(channels: Sequence[Channel]) -> list[Channel]:
    return [channel for channel in channels if channel.band in BRDF_PARAMETERS and channel.level == "L1C"]


class NadirView:
    """Adjusts the DN of one scene.

    Parameters
    ----------
    inputs : AngleInput
        Tile metadata and detector footprints.
    stack : BandStack
        Bands and target grid.
    radiometry : s2kernels.Radiometry
        Offset of each band.
    config : PreprocessConfig
        Which sun zenith to adjust to.

    Raises
    ------
    MetadataError
        Tile metadata or a footprint mask is damaged, a band has no view angles, or the sun is too low.
    """

    def __init__(
        self, inputs: AngleInput, stack: BandStack, radiometry: Radiometry, config: PreprocessConfig
    ) -> None:
        from s2kernels import BrdfModel, ViewGeometry

        label = inputs.metadata.label
        self._channels = tuple(band.channel for band in stack.bands)
        self._target, self._radiometry, self._brdf = stack.target, radiometry, config.brdf
        self._angles = read_tile_angles(inputs.metadata.read(), label)
        self._inputs = inputs
        # All bands in one field, whose planes are theirs.
        directions = AngleAssetConfig(view_mode="single")
        self._scene = SceneAngles(self._angles, inputs, directions, config.nbar_bands)
        self._check(label)
        self.sun_zenith_deg = _sun_zenith(self._angles, config.brdf)
        if self.sun_zenith_deg > MAX_SUN_ZENITH_DEG:  # that of a latitude; others are checked before
            msg = (
                f"{label}: the sun zenith of the tile's latitude is {self.sun_zenith_deg:.1f} degrees, and brdf needs "
                f"{MAX_SUN_ZENITH_DEG:g} at most; set brdf.sun_zenith to scene_mean or degrees"
            )
            raise MetadataError(msg)
        parameters = [BRDF_PARAMETERS.get(channel.band, _LAMBERTIAN) for channel in self._channels]
        self._weights = np.array(parameters).T
        isotropic, volumetric, geometric = self._weights
        self._model = BrdfModel(isotropic, volumetric, geometric, self.sun_zenith_deg)
        sun, view = (group.field for group in self._scene.groups())
        place = placement(self._angles.tile, self._target.reference)
        self._planes = [
            config.nbar_bands.index(channel.band) if channel.band in config.nbar_bands else -1
            for channel in self._channels
        ]
        self._geometry = ViewGeometry(view, sun.vectors[0], place, self._planes, _knot_px(place))
        self._lost = np.zeros(len(self._channels), np.int64)

    def _check(self, label: str) -> None:
        cure = "leave such scenes or bands out, or set brdf.model to none"
        highest = float(self._angles.sun_zenith.max())
        if highest > MAX_SUN_ZENITH_DEG:
            allowed = f"{MAX_SUN_ZENITH_DEG:g} degrees at most"
            msg = f"{label}: brdf needs a sun zenith of {allowed}, got up to {highest:.1f}; {cure}"
            raise MetadataError(msg)
        if self._scene.blind_bands:
            bands = ", ".join(self._scene.blind_bands)
            msg = f"{label}: no view angles for {bands}, which brdf needs; fetch the file again, {cure}"
            raise MetadataError(msg)
        for band, fit in self._scene.seam_fits.items():
            if fit.unheld:
                log.warning(
                    "%s: pixels of %s around %d of %d nodes of the metadata become invalid: without a footprint mask, "
                    "seams between detectors cannot be placed there",
                    *(label, band, fit.unheld, fit.nodes),
                )

    @contextmanager
    def windows(self, stream: DnWindows, windows: Sequence[Window], workers: int) -> Iterator[DnWindows]:
        """Yield the iterator over the same windows with adjusted DN, in the same arrays.

        Parameters
        ----------
        stream : iterator of (Window, ndarray)
            DN of the scene.
        windows : sequence of Window
            Its windows.
        workers : int
            Threads that read masks.
        """
        with ExitStack() as exits:
            exits.enter_context(block_cache(_MASK_CACHE_BYTES))
            readers = [self._reader(band, exits) for band in self._scene.bands]
            ids = stream_windows(readers, windows, workers=workers, look_ahead=2, dtype="uint8")
            yield self._adjusted(stream, exits.enter_context(closing(ids)))

    def _adjusted(self, stream: DnWindows, ids: DnWindows) -> DnWindows:
        from s2kernels import nbar

        for (window, dn), (_, detectors) in zip(stream, ids, strict=True):
            geometry = self._geometry_at(window)
            self._lost += nbar(dn, self._radiometry, self._model, geometry, detectors, dn)
            yield window, dn

    def _reader(self, band: str, exits: ExitStack) -> TargetReader:
        """Detector ids of a band on the target grid."""
        reader = self._scene.detector_reader(band, self._target.reference)
        if isinstance(reader, MaskReader):
            exits.callback(reader.close)
        return TargetReader(reader, self._target)

    def adjusting(self, readers: Sequence[BandReader], exits: ExitStack) -> list[BandReader]:
        """Return readers of the bands, in the configured order, that adjust what they read; ``exits`` closes masks.

        They may be used by one thread each.
        """
        exits.enter_context(block_cache(_MASK_CACHE_BYTES))
        found: list[BandReader] = []
        for number, (reader, channel) in enumerate(zip(readers, self._channels, strict=True)):
            if self._planes[number] < 0:
                found.append(reader)
            else:  # a mask of its own, since bands are read at the same time
                found.append(_AdjustingReader(self, number, reader, self._reader(channel.band, exits)))
        return found

    def adjust_band(self, number: int, window: Window, ids: np.ndarray, dn: np.ndarray) -> None:
        """Adjust the DN (y, x) of one band in place, with the detector ids of its window."""
        from s2kernels import BrdfModel, Radiometry, nbar

        plane = self._planes[number]
        view = self._geometry.view._replace(slots=self._geometry.view.slots[plane : plane + 1])
        geometry = self._geometry_at(window)._replace(view=view, planes=[0])
        radiometry = Radiometry(*(np.asarray(column)[[number]] for column in self._radiometry))
        isotropic, volumetric, geometric = self._weights[:, [number]]
        model = BrdfModel(isotropic, volumetric, geometric, self.sun_zenith_deg)
        nbar(dn[np.newaxis], radiometry, model, geometry, ids[np.newaxis], dn[np.newaxis])

    def _geometry_at(self, window: Window) -> ViewGeometry:
        origin_yx = self._target.in_reference(window)[:2]
        return self._geometry._replace(place=self._geometry.place._replace(origin_yx=origin_yx))

    def to_document(self) -> dict[str, Any]:
        """Say in ``meta.json`` how reflectance was adjusted; counts are those of the windows done so far."""
        angles = self._scene.to_document()
        return {
            "model": self._brdf.model,
            "sun_zenith": self._brdf.sun_zenith,
            "sun_zenith_deg": self.sun_zenith_deg,
            "parameters_by_band": {
                str(channel): BRDF_PARAMETERS[channel.band]._asdict()
                for channel in self._channels
                if channel.band in BRDF_PARAMETERS
            },
            "bands_not_adjusted": [
                str(channel) for channel in self._channels if channel.band not in BRDF_PARAMETERS
            ],
            "top_of_atmosphere_bands": list(map(str, _of_l1c(self._channels))),
            "pixels_without_direction_by_band": {
                str(channel): int(count) for channel, count in zip(self._channels, self._lost, strict=True)
            },
            "metadata": angles["metadata"],
            "detector_source_by_band": angles["detector_source_by_band"],
            "node_seams_by_band": angles["node_seams_by_band"],
            "references": list(BRDF_REFERENCES),
        }


class _AdjustingReader:
    """Reads one band, and adjusts it."""

    def __init__(self, view: NadirView, number: int, reader: BandReader, mask: BandReader) -> None:
        self.cost = reader.cost
        self._view, self._number = view, number
        self._reader, self._mask = reader, mask

    def read(self, window: Window, out: np.ndarray) -> None:
        """Fill ``out``, of shape (window.height, window.width)."""
        self._reader.read(window, out)
        ids = np.empty(window.shape_yx, np.uint8)
        self._mask.read(window, ids)
        self._view.adjust_band(self._number, window, ids, out)


def _sun_zenith(angles: TileAngles, brdf: BrdfConfig) -> float:
    """Zenith of the sun that a tile is adjusted to."""
    if brdf.sun_zenith == "scene_mean":
        return float(angles.sun_zenith.mean())
    if brdf.sun_zenith == "latitude":
        tile = angles.tile
        (rows, cols), (ulx, uly) = tile.sizes_yx[10], tile.upper_left[10]
        x, y = np.array(ulx + 5.0 * cols), np.array(uly - 5.0 * rows)  # the middle
        return sun_zenith_by_latitude(float(utm_to_lonlat(x, y, tile.epsg)[1]))
    return float(brdf.sun_zenith)


def _knot_px(place: Placement) -> int:
    """Pixels between exact factors."""
    nodes = np.asarray(place.nodes)
    steps = [
        np.median(np.hypot(*np.diff(nodes, axis=axis))) / step
        for axis, step in zip((1, 2), place.step_yx, strict=True)
    ]
    return int(min(max(_KNOT_M / ANGLE_STEP_M / max(steps), 1), _MAX_KNOT_PX))
