"""Tile metadata (``MTD_TL.xml``): where a granule lies, when it was sensed, and its grids of angles."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from s2pipe.errors import MetadataError
from s2pipe.sentinel2.bands import BANDS, Level
from s2pipe.sentinel2.safe.xml import Xml, parse_float

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    import numpy as np
    from numpy.typing import NDArray

    FloatGrid = NDArray[np.float64]

Number = TypeVar("Number", int, float)

ANGLE_STEP_M = 5000
"""Distance of neighbouring nodes of the angle grids in metres."""

_LEVEL_OF_ROOT: dict[str, Level] = {"Level-1C_Tile_ID": "L1C", "Level-2A_Tile_ID": "L2A"}
_GENERAL = "General_Info"
_GEOCODING = "Geometric_Info/Tile_Geocoding"
_ANGLES = "Geometric_Info/Tile_Angles"
_TILE_IN_ID = re.compile(r"_(T\d{2}[A-Z]{3})_", re.ASCII)
_EPSG = re.compile(r"EPSG:(32[67](?:0[1-9]|[1-5]\d|60))", re.ASCII)
_MAX_SIDE = 100_000
_MAX_UTM_M = 1e7
_MAX_DETECTOR = 255


@dataclass(frozen=True)
class TileMetadata:
    """A granule's identity and raster grids."""

    source: str
    """File that the record was read from."""
    level: Level
    """Processing level, from the document's root element."""
    tile_id: str
    """MGRS tile with its ``T``, ``T33UWQ``."""
    granule_id: str
    """``TILE_ID``: the granule's full identifier."""
    l1c_tile_id: str | None
    """L2A: identifier of the L1C granule that the product was made from; None when not stated."""
    datastrip_id: str | None
    """Identifier of the datastrip that the granule was cut from."""
    sensing_time: str
    """``SENSING_TIME``, UTC, as written; 1 to 14 minutes after the datatake's start."""
    epsg: int
    """EPSG code of the tile's UTM zone."""
    sizes_yx: Mapping[int, tuple[int, int]]
    """Rows and columns by resolution in metres (10, 20, 60)."""
    upper_left: Mapping[int, tuple[float, float]]
    """ULX and ULY in metres by resolution: outer corner of the first pixel."""
    cloud_cover: float | None
    """``CLOUDY_PIXEL_PERCENTAGE``; None when not stated."""

    def geotransform(self, resolution_m: int) -> tuple[float, float, float, float, float, float]:
        """GDAL geotransform of the tile's raster at 10, 20 or 60 m."""
        ulx, uly = self.upper_left[resolution_m]
        return ulx, float(resolution_m), 0.0, uly, 0.0, -float(resolution_m)


@dataclass(frozen=True, eq=False)
class TileAngles:
    """Sun and view angles at the nodes of a 5 km grid.

    Node ``[i, j]`` lies at (ULX + j * 5000, ULY - i * 5000): at a point, not in the middle of a cell.
    Zenith from the ellipsoid's normal; azimuth clockwise from true north, ground to sun or satellite.
    """

    tile: TileMetadata
    """The granule that the angles belong to."""
    sun_zenith: FloatGrid
    """Degrees, (row, column), 23 x 23 in real products, finite."""
    sun_azimuth: FloatGrid
    """Degrees, (row, column), 23 x 23 in real products, finite."""
    view: Mapping[tuple[str, int], tuple[FloatGrid, FloatGrid]]
    """Zenith and azimuth, degrees, by (band name, detector id); both NaN outside the detector's footprint."""
    stubs: frozenset[str] = frozenset()
    """Bands with a stub instead of a view grid: steps of 0 and no value. Some products have nothing but stubs."""

    def detectors(self, band: str) -> tuple[int, ...]:
        """Return the detectors that see a band in this tile, in rising order; none where the grids are stubs.

        Raises
        ------
        MetadataError
            The file has no view angles for the band.
        """
        found = tuple(sorted(detector for name, detector in self.view if name == band))
        if not found and band not in self.stubs and (self.view or not self.stubs):
            msg = (
                f"{self.tile.source}: {_ANGLES}/Viewing_Incidence_Angles_Grids: none for band {band}; "
                "the metadata file is incomplete, fetch it again"
            )
            raise MetadataError(msg)
        return found


def read_tile_metadata(data: bytes | Path, source: str | None = None) -> TileMetadata:
    """Read a granule's ``MTD_TL.xml`` without its angles.

    Parameters
    ----------
    data : bytes or Path
        The document, or the file that holds it.
    source : str, optional
        What messages call it; by default the path.

    Raises
    ------
    MetadataError
        Not tile metadata, or an element is missing or unusable.
    """
    return _tile(Xml.read(data, source))


def read_tile_angles(data: bytes | Path, source: str | None = None, *, with_view: bool = True) -> TileAngles:
    """Read a granule's ``MTD_TL.xml`` with its grids of sun and view angles.

    Parameters
    ----------
    data : bytes or Path
        The document, or the file that holds it.
    source : str, optional
        What messages call it; by default the path.
    with_view : bool
        Read the view grids; without, none is looked at.

    Raises
    ------
    MetadataError
        As :func:`read_tile_metadata`; also when a grid's step is not 5000 m, its rows differ in length, its
        size differs from the sun grid's, a value is not a number, a band is unknown, or a pair of band and
        detector comes twice.
    """
    xml = Xml.read(data, source)
    tile = _tile(xml)
    sun_path = f"{_ANGLES}/Sun_Angles_Grid"
    sun = xml.find(sun_path)
    if sun is None:
        raise xml.error(sun_path, "is missing; the metadata file is incomplete, fetch it again")
    zenith, azimuth = _grid_pair(xml, sun, sun_path)
    import numpy as np

    if not (np.isfinite(zenith).all() and np.isfinite(azimuth).all()):
        raise xml.error(sun_path, "expected finite numbers, got NaN")
    view: dict[tuple[str, int], tuple[FloatGrid, FloatGrid]] = {}
    stubs: set[str] = set()
    elements = xml.root.iterfind(f"{_ANGLES}/Viewing_Incidence_Angles_Grids") if with_view else ()
    for element in elements:
        key, path = _view_key(xml, element)
        if _is_stub(element):
            stubs.add(key[0])
            continue
        if key in view:
            raise xml.error(path, "is there twice")
        view[key] = _view_pair(xml, element, path, zenith.shape)
    return TileAngles(tile, zenith, azimuth, view, frozenset(stubs))


def _tile(xml: Xml) -> TileMetadata:
    level = _LEVEL_OF_ROOT.get(xml.root.tag)
    if level is None:
        expected = " or ".join(_LEVEL_OF_ROOT)
        raise xml.error(xml.root.tag, f"expected the root element {expected}; this is not tile metadata")
    # Early L2A products name the granule TILE_ID_2A and call the L1C granule TILE_ID_1C or TILE_ID.
    granule_id = xml.need_text(*(f"{_GENERAL}/{tag}" for tag in ("TILE_ID", "TILE_ID_2A")))
    tile = _TILE_IN_ID.search(granule_id)
    if tile is None:
        msg = f"{_GENERAL}/TILE_ID"
        raise xml.error(msg, f"expected one with a tile such as _T33UWQ_, got {granule_id!r}")
    code = xml.need_text(f"{_GEOCODING}/HORIZONTAL_CS_CODE")
    epsg = _EPSG.fullmatch(code)
    if epsg is None:
        msg = f"{_GEOCODING}/HORIZONTAL_CS_CODE"
        raise xml.error(msg, f"expected EPSG:<code of a UTM zone>, got {code[:80]!r}")
    return TileMetadata(
        source=xml.source,
        level=level,
        tile_id=tile[1],
        granule_id=granule_id,
        l1c_tile_id=xml.text(f"{_GENERAL}/L1C_TILE_ID", f"{_GENERAL}/TILE_ID_1C"),
        datastrip_id=xml.text(f"{_GENERAL}/DATASTRIP_ID", f"{_GENERAL}/DATASTRIP_ID_2A"),
        sensing_time=xml.need_text(f"{_GENERAL}/SENSING_TIME"),
        epsg=int(epsg[1]),
        sizes_yx=_by_resolution(xml, "Size", ("NROWS", "NCOLS"), (1, _MAX_SIDE), xml.to_integer),
        upper_left=_by_resolution(
            xml, "Geoposition", ("ULX", "ULY"), (-_MAX_UTM_M, _MAX_UTM_M), xml.to_number
        ),
        cloud_cover=xml.percentage("Quality_Indicators_Info/Image_Content_QI/CLOUDY_PIXEL_PERCENTAGE"),
    )


def _by_resolution(
    xml: Xml,
    tag: str,
    names: tuple[str, str],
    limits: tuple[float, float],
    convert: Callable[[str | None, str], Number],
) -> dict[int, tuple[Number, Number]]:
    """Two numbers of each ``Size`` or ``Geoposition`` by resolution in metres."""
    path = f"{_GEOCODING}/{tag}"
    found: dict[int, tuple[Number, Number]] = {}
    for element in xml.root.iterfind(path):
        resolution = xml.to_integer(element.get("resolution"), f"{path}/@resolution")
        where = f"{path}[@resolution={resolution}]"
        first, second = (convert(element.findtext(name), f"{where}/{name}") for name in names)
        for name, value in zip(names, (first, second), strict=True):
            xml.in_range(value, *limits, f"{where}/{name}")
        found[resolution] = first, second
    missing = [str(resolution) for resolution in (10, 20, 60) if resolution not in found]
    if missing:
        raise xml.error(path, f"none for {', '.join(missing)} m; the metadata file is incomplete")
    return found


def _view_key(xml: Xml, element: Element) -> tuple[tuple[str, int], str]:
    path = f"{_ANGLES}/Viewing_Incidence_Angles_Grids"
    band_id = xml.to_integer(element.get("bandId"), f"{path}/@bandId")
    detector = xml.to_integer(element.get("detectorId"), f"{path}/@detectorId")
    if not 0 <= band_id < len(BANDS):
        msg = f"{path}/@bandId"
        raise xml.error(msg, f"expected 0 to {len(BANDS) - 1}, got {band_id}")
    xml.in_range(detector, 1, _MAX_DETECTOR, f"{path}/@detectorId")
    return (BANDS[band_id].name, detector), f"{path}[@bandId={band_id}][@detectorId={detector}]"


def _is_stub(element: Element) -> bool:
    """Tell whether a grid has steps of 0 and no value but 0 or NaN, as some products have for want of view angles."""
    import math

    steps = [
        parse_float(e.text or "") for step in ("COL_STEP", "ROW_STEP") for e in element.iterfind(f"*/{step}")
    ]
    texts = [text for row in element.iterfind("*/Values_List/VALUES") for text in (row.text or "").split()]
    values = [parse_float(text) for text in texts]
    return (
        bool(steps)
        and set(steps) == {0.0}
        and all(v is not None and (v == 0 or math.isnan(v)) for v in values)
    )


def _view_pair(xml: Xml, element: Element, path: str, shape: tuple[int, ...]) -> tuple[FloatGrid, FloatGrid]:
    import numpy as np

    zenith, azimuth = _grid_pair(xml, element, path)
    if zenith.shape != shape:
        raise xml.error(
            path, f"expected {shape[0]} x {shape[1]} values like the sun grid, got {zenith.shape}"
        )
    # A direction needs both angles: a node that lacks one lies outside the footprint.
    outside = np.isnan(zenith) | np.isnan(azimuth)
    zenith[outside] = azimuth[outside] = np.nan
    return zenith, azimuth


def _grid_pair(xml: Xml, element: Element, path: str) -> tuple[FloatGrid, FloatGrid]:
    zenith = _grid(xml, element, f"{path}/Zenith", "Zenith")
    azimuth = _grid(xml, element, f"{path}/Azimuth", "Azimuth")
    if zenith.shape != azimuth.shape:
        raise xml.error(path, f"zenith and azimuth differ in size: {zenith.shape} and {azimuth.shape}")
    return zenith, azimuth


def _grid(xml: Xml, element: Element, path: str, tag: str) -> FloatGrid:
    import numpy as np

    grid = element.find(tag)
    if grid is None:
        raise xml.error(path, "is missing; the metadata file is incomplete, fetch it again")
    for step in ("COL_STEP", "ROW_STEP"):
        if xml.to_number(grid.findtext(step), f"{path}/{step}") != ANGLE_STEP_M:
            msg = f"{path}/{step}"
            raise xml.error(msg, f"expected {ANGLE_STEP_M} m, got {grid.findtext(step)!r}")
    path = f"{path}/Values_List/VALUES"
    texts = [row.text or "" for row in grid.iterfind("Values_List/VALUES")]
    rows = [[parse_float(value) for value in text.split()] for text in texts]
    if len(rows) < 2 or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise xml.error(path, f"expected 23 rows of 23 numbers, got rows of {[len(row) for row in rows]}")
    if any(value is None for row in rows for value in row):
        raise xml.error(path, "expected numbers or NaN, got other text")
    values = np.array(rows, dtype=np.float64)
    if np.isinf(values).any():
        raise xml.error(path, "expected finite numbers or NaN, got an infinite one")
    return values
