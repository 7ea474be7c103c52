"""An area of interest, and the part of a grid that it covers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.ground.area_files import LONLAT, Shapes, read_shapes, rings_of
from s2pipe.ground.area_mask import AreaMask
from s2pipe.ground.scanlines import ring_spans
from s2pipe.raster.grid import TargetGrid, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s2pipe.raster.grid import Grid

_STEPS = 500
"""Sides of an area are straight in its own reference system: they are cut into pieces of this part of a grid's."""
_LONLAT_PIECES = 8
"""Pieces of a side that is straight on a map and not in degrees; a catalogue takes few vertices."""
_SNAP_PX = 1e-6
"""Sides this close to those of pixels lie on them: coordinates have been through other reference systems."""
_LAP = 0.05
"""Part of a grid's sides by which the area around it is looked at."""


@dataclass(frozen=True, eq=False)
class AreaOnGrid:
    """The part of a grid that an area covers."""

    target: TargetGrid
    """Fewest whole pixels around it."""
    geometry: Any
    """The area in columns and rows of the reference grid."""

    @cached_property
    def mask(self) -> AreaMask:
        """Pixels of the target grid whose centres lie in the area."""
        window = self.target.window
        corner = np.array([window.col, window.row], float)
        rings = [np.asarray(ring.coords) - corner for ring in _rings(self.geometry)]
        return AreaMask(ring_spans(rings, window.shape_yx))


@dataclass(frozen=True, eq=False)
class Area:
    """An area of interest."""

    geometry: Any
    """Points, lines and polygons, joined; longitudes across the antimeridian go on beyond 180 degrees."""
    crs: Any
    """Reference system of its coordinates, which are x and y, or longitude and latitude."""
    margin_m: float = 0.0
    """Metres by which it is grown."""

    @classmethod
    def read(cls, text: str, crs: str | None = None, margin_m: float = 0.0) -> Area:
        """Read an area as :func:`s2pipe.ground.area_files.read_shapes` does, and check that it is one.

        Raises
        ------
        ValueError
            It cannot be read, or has polygons that cross themselves.
        """
        import shapely

        shapes = read_shapes(text, crs)
        parts = [unwrapped(part) for part in shapes.parts] if shapes.crs.is_geographic else [*shapes.parts]
        for part in parts:
            if not part.is_valid:
                msg = (
                    f"holds a {part.geom_type} that is not valid ({shapely.is_valid_reason(part)}); repair it, "
                    "such as with 'Fix geometries' of QGIS"
                )
                raise ValueError(msg)
        return cls(shapely.union_all(parts), shapes.crs, margin_m)

    @property
    def has_inside(self) -> bool:
        """Whether pixels can lie in it: points and lines have no inside until they are grown."""
        import shapely

        return self.margin_m > 0 or bool(shapely.area(self.geometry) > 0)

    def on(self, reference: Grid) -> AreaOnGrid | None:
        """Return the part of a grid that holds all of the area that lies on it; None where the area misses the grid.

        Raises
        ------
        ValueError
            The area has no place in the grid's reference system.
        """
        import shapely

        x0, dx, _, y0, _, dy = reference.geotransform

        def to_pixels(points: np.ndarray) -> np.ndarray:
            pixels = np.stack(((points[:, 0] - x0) / dx, (points[:, 1] - y0) / dy), axis=-1)
            nearest = np.rint(pixels)
            return np.where(np.abs(pixels - nearest) <= _SNAP_PX, nearest, pixels)

        placed = shapely.make_valid(shapely.transform(self._placed(reference), to_pixels))
        frame = shapely.box(0, 0, reference.width, reference.height)
        # What only touches the border of the grid is not on it.
        parts = [
            piece
            for part in shapely.get_parts(placed)
            for piece in shapely.get_parts(shapely.intersection(part, frame))
            if not piece.is_empty and shapely.get_dimensions(piece) == shapely.get_dimensions(part)
        ]
        if not parts:
            return None
        found = shapely.union_all(parts)
        left, top, right, bottom = found.bounds
        col, row = int(np.floor(left)), int(np.floor(top))
        if col >= reference.width or row >= reference.height:  # a point or line on the lower or right border
            return None
        height, width = max(int(np.ceil(bottom)) - row, 1), max(int(np.ceil(right)) - col, 1)
        return AreaOnGrid(TargetGrid(reference, Window(row, col, height, width)), found)

    def bounds_in(self, crs_wkt: str) -> tuple[float, float, float, float]:
        """Return left, bottom, right and top of the area, grown, in a reference system.

        Raises
        ------
        ValueError
            The area has no place in it.
        """
        import shapely
        from pyproj import CRS, Transformer

        system = CRS.from_wkt(crs_wkt)
        placed = self.geometry
        if not system.equals(self.crs, ignore_axis_order=True):
            there = Transformer.from_crs(self.crs, system, always_xy=True)
            west, south, east, north = placed.bounds
            pieces = shapely.segmentize(placed, max(east - west, north - south, 1e-9) / _STEPS)
            placed = shapely.transform(
                pieces, lambda points: np.stack(there.transform(points[:, 0], points[:, 1]), axis=-1)
            )
        if not np.isfinite(shapely.get_coordinates(placed)).all():
            msg = f"has no place in {system.name}, that of the target grid"
            raise ValueError(msg)
        if system.is_geographic:
            placed = shapely.union_all([unwrapped(part) for part in shapely.get_parts(placed)])
        left, bottom, right, top = self._grown(placed).bounds
        return left, bottom, right, top

    def _placed(self, grid: Grid) -> Any:
        """The area around a grid, grown, in the grid's reference system."""
        import shapely
        from pyproj import CRS, Transformer

        system = CRS.from_wkt(grid.crs_wkt)
        left, bottom, right, top = grid.bounds
        side = max(right - left, top - bottom)
        lap = self.margin_m + _LAP * side
        around = shapely.box(left - lap, bottom - lap, right + lap, top + lap)
        if system.equals(self.crs, ignore_axis_order=True):
            return self._grown(self._near(around))
        there = Transformer.from_crs(self.crs, system, always_xy=True)

        def backward(points: np.ndarray) -> np.ndarray:
            return np.stack(there.transform(points[:, 0], points[:, 1], direction="INVERSE"), axis=-1)

        def forward(points: np.ndarray) -> np.ndarray:
            return np.stack(there.transform(points[:, 0], points[:, 1]), axis=-1)

        outline = shapely.transform(shapely.segmentize(around, side / _STEPS), backward)
        if not np.isfinite(shapely.get_coordinates(outline)).all():
            return shapely.Point()  # the area's reference system does not reach as far as the grid
        west, south, east, north = (unwrapped(outline) if self.crs.is_geographic else outline).bounds
        near = self._near(shapely.box(west, south, east, north))
        near = shapely.segmentize(near, max(east - west, north - south) / _STEPS)
        placed = shapely.transform(near, forward)
        if not np.isfinite(shapely.get_coordinates(placed)).all():
            msg = f"has no place in {system.name}, that of a tile; give it in longitude and latitude (EPSG:4326)"
            raise ValueError(msg)
        if system.is_geographic:
            placed = _in_any_turn([unwrapped(part) for part in shapely.get_parts(placed)], around)
        return self._grown(placed)

    def _near(self, box: Any) -> Any:
        """The part of the area in a box, in its reference system."""
        import shapely

        if self.crs.is_geographic:
            return _in_any_turn([self.geometry], box)
        return shapely.intersection(self.geometry, box)

    def _grown(self, geometry: Any) -> Any:
        return geometry.buffer(self.margin_m) if self.margin_m > 0 else geometry


def _in_any_turn(parts: Sequence[Any], box: Any) -> Any:
    """The part of areas in a box, in longitudes, of which whole turns do not matter."""
    import shapely.affinity

    turns = (-720.0, -360.0, 0.0, 360.0, 720.0)
    turned = (shapely.affinity.translate(part, turn) for part in parts for turn in turns)
    return shapely.union_all([shapely.intersection(part, box) for part in turned])


def _rings(geometry: Any) -> Iterator[Any]:
    """Rings of all polygons of a geometry."""
    for part in getattr(geometry, "geoms", (geometry,)):
        yield from _rings(part) if hasattr(part, "geoms") else rings_of(part)


def lonlat_parts(shapes: Shapes) -> list[Any]:
    """Return shapes in longitude and latitude on WGS 84, cut where they cross the antimeridian.

    Raises
    ------
    ValueError
        A place has no longitude and latitude.
    """
    import shapely
    from pyproj import CRS, Transformer

    lonlat = CRS.from_user_input(LONLAT)
    there = Transformer.from_crs(shapes.crs, lonlat, always_xy=True)

    def forward(points: np.ndarray) -> np.ndarray:
        return np.stack(there.transform(points[:, 0], points[:, 1]), axis=-1)

    found: list[Any] = []
    for part in shapes.parts:
        placed = part
        if not shapes.crs.is_geographic:  # sides that are straight on the map are not in degrees
            placed = shapely.segmentize(part, max(*_sides(part), 1e-9) / _LONLAT_PIECES)
        if not shapes.crs.equals(lonlat, ignore_axis_order=True):
            placed = shapely.transform(placed, forward)
        if not np.isfinite(shapely.get_coordinates(placed)).all():
            msg = f"has places without longitude and latitude in {shapes.crs.name}"
            raise ValueError(msg)
        found += _cut_at_antimeridian(unwrapped(placed))
    return found


def _sides(part: Any) -> tuple[float, float]:
    left, bottom, right, top = part.bounds
    return right - left, top - bottom


def _cut_at_antimeridian(part: Any) -> list[Any]:
    """Parts of a geometry, turned to within 180 degrees; one that lies there stays as it is."""
    import shapely.affinity

    left, _, right, _ = part.bounds
    if -180.0 <= left and right <= 180.0:
        return [part]
    part = shapely.make_valid(part)
    globe = shapely.box(-180.0, -90.0, 180.0, 90.0)
    turned = (shapely.affinity.translate(part, turn) for turn in (-720.0, -360.0, 0.0, 360.0, 720.0))
    pieces = (piece for whole in turned for piece in shapely.get_parts(shapely.intersection(whole, globe)))
    dimension = shapely.get_dimensions(part)
    return [piece for piece in pieces if not piece.is_empty and shapely.get_dimensions(piece) == dimension]


def unwrapped(part: Any) -> Any:
    """Return a geometry whose sides of more than half a turn go the other way round, across the antimeridian."""
    import shapely

    def along(ring: np.ndarray) -> np.ndarray:
        steps = np.diff(ring[:, 0])
        short = np.where((np.abs(steps) > 180.0) & (np.abs(steps) < 360.0), -360.0 * np.sign(steps), 0.0)
        return np.stack((ring[:, 0] + np.concatenate(([0.0], np.cumsum(short))), ring[:, 1]), axis=-1)

    if isinstance(part, shapely.LineString):
        return shapely.LineString(along(shapely.get_coordinates(part)))
    if not isinstance(part, shapely.Polygon):
        return part
    shell, *holes = [along(shapely.get_coordinates(ring)) for ring in rings_of(part)]
    middle = shell[:, 0].mean()
    turned = [hole - (360.0 * np.rint((hole[:, 0].mean() - middle) / 360.0), 0.0) for hole in holes]
    return shapely.Polygon(shell, turned)
