"""The target grid of a scene: decided once, when its run is planned, and the same value for all its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2pipe.errors import ConfigError, Fault, S2PipeError
from s2pipe.ground.area_mask import AreaMask
from s2pipe.preprocess.own_grid import holds_pixel_of
from s2pipe.raster.grid import Grid, TargetGrid

if TYPE_CHECKING:
    from s2pipe.ground.area import Area
    from s2pipe.preprocess.cfg import PreprocessConfig


_KEY = "preprocess.aoi"


@dataclass(frozen=True, eq=False)
class Target:
    """The pixels that a scene's outputs have."""

    grid: TargetGrid
    """Where they lie."""
    mask: AreaMask | None = None
    """Drops those outside the area of interest; None keeps all."""


class OutsideAreaError(Exception):
    """A scene has no pixel in the area of interest: it is left out."""


def area_of(config: PreprocessConfig) -> Area | None:
    """Read the area of interest; None for whole tiles.

    Raises
    ------
    ConfigError
        It cannot be read, or is no valid area.
    """
    if config.aoi is None:
        return None
    from s2pipe.ground.area import Area

    try:
        area = Area.read(_text(config), config.aoi_crs, config.aoi_margin_m)
    except ValueError as error:
        raise ConfigError(_KEY, [Fault("", f"{_shown(config)} {error}")]) from None
    if config.aoi_mask and not area.has_inside:
        message = (
            "is made of points or lines, which have no inside that pixels could lie in: aoi_mask needs polygons, or an "
            "aoi_margin_m above 0"
        )
        raise ConfigError(_KEY, [Fault("", f"{_shown(config)} {message}")])
    return area


def _text(config: PreprocessConfig) -> str:
    """An area as text, whichever way it is given."""
    return config.aoi if isinstance(config.aoi, str) else ",".join(map(repr, config.aoi or ()))


def _shown(config: PreprocessConfig) -> str:
    text = _text(config)
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def no_scene(config: PreprocessConfig, count: int) -> S2PipeError:
    """Return the error of a run whose area of interest misses every scene."""
    if config.aoi is None:
        return S2PipeError(
            f"preprocess.target_grid: expected a grid that holds pixels of one of the {count} scenes of "
            f"{config.index_json}, got one that misses them all; check crs and bounds (x before y)"
        )
    return S2PipeError(
        f"{_KEY}: expected an area that holds pixels of one of the {count} scenes of {config.index_json}, got "
        f"{_shown(config)}, which misses them all; check its coordinates (longitude before latitude) and aoi_crs"
    )


def choose_target(reference: Grid, area: Area | None, config: PreprocessConfig, tile: Grid) -> Target:
    """Decide which pixels a scene's outputs have.

    Parameters
    ----------
    reference : Grid
        Grid that ``target_grid`` defines, or that of the raster that ``target_grid_ref`` names.
    area : Area or None
        Area of interest; None takes all of the grid.
    config : PreprocessConfig
        Whether pixels outside the area are dropped.
    tile : Grid
        Grid of a raster of the whole tile.

    Raises
    ------
    OutsideAreaError
        The area misses the grid, or the grid misses the tile.
    ConfigError
        The area has no place in the grid's reference system.
    """
    target = _in_area(reference, area, config)
    if config.target_grid.is_on and not holds_pixel_of(tile, target.grid.grid):
        msg = "the target grid (target_grid) has no pixel whose centre lies on its tile"
        raise OutsideAreaError(msg)
    return target


def _in_area(reference: Grid, area: Area | None, config: PreprocessConfig) -> Target:
    """The part of a grid that an area takes."""
    if area is None:
        return Target(TargetGrid.whole(reference))
    try:
        found = area.on(reference)
    except ValueError as error:
        raise ConfigError(_KEY, [Fault("", f"{_shown(config)} {error}")]) from None
    if found is None:
        msg = "the area of interest (aoi) does not touch its tile"
        raise OutsideAreaError(msg)
    if not config.aoi_mask:
        return Target(found.target)
    if not found.mask.pixels:
        msg = (
            "no pixel of its tile has its centre in the area of interest (aoi), and aoi_mask drops all others"
        )
        raise OutsideAreaError(msg)
    return Target(found.target, found.mask)
