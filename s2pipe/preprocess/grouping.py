"""Scenes that become one sample: those of one datatake, on one grid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from s2pipe.errors import ConfigError, Fault
from s2pipe.preprocess.pixels.chosen import MAX_SOURCES
from s2pipe.sentinel2.safe.names import ProductName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.dataset.scenes import Scene
    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.scene_plan import ScenePlan

_KEY = "preprocess.group_by"


def group_scenes(scenes: Sequence[Scene], config: PreprocessConfig) -> list[tuple[Scene, ...]]:
    """Divide scenes into those that become one sample each.

    Parameters
    ----------
    scenes : sequence of Scene
        In the order of their keys.
    config : PreprocessConfig
        Whether scenes are grouped.

    Returns
    -------
    list of tuple of Scene
        In the order of their first scenes, whose keys the samples get.
    """
    if config.group_by is None:
        return [(scene,) for scene in scenes]
    groups: dict[tuple[str, ...], list[Scene]] = {}
    for scene in scenes:
        groups.setdefault(datatake_of(scene), []).extend(scene.parts)
    return [tuple(group) for group in groups.values()]


def datatake_of(scene: Scene) -> tuple[str, ...]:
    """Identify the datatake of a scene: its start, and satellite and orbit as far as products state them."""
    for product in (scene.l1c, scene.l2a):
        name = None if product is None else ProductName.try_parse(product.product_name or "")
        if name is not None:
            return scene.key.second, name.satellite, name.orbit_code
    return (scene.key.second,)


def as_mosaic(parts: Sequence[ScenePlan]) -> ScenePlan:
    """Make one plan of the plans of several scenes, which has the key of the first.

    Raises
    ------
    ConfigError
        They lie on different grids, or are too many.
    """
    first = parts[0]
    if any(part.stack.target != first.stack.target for part in parts):
        tiles = ", ".join(dict.fromkeys(part.key.tile_id for part in parts))
        message = (
            f"expected scenes on one grid, got those of {tiles} on the grids of their own tiles (datatake "
            f"{first.key.second}); set target_grid, or choose one tile (only.tiles)"
        )
        raise ConfigError(_KEY, [Fault("", message)])
    if len(parts) > MAX_SOURCES:
        message = (
            f"expected at most {MAX_SOURCES} scenes in a datatake, got {len(parts)} at {first.key.second}; choose "
            "fewer tiles (only.tiles)"
        )
        raise ConfigError(_KEY, [Fault("", message)])
    for part in parts[1:]:
        _check_meanings(first, part)
    inputs = dict.fromkeys(state for part in parts for state in part.inputs)
    return replace(
        first,
        sources=tuple(parts),
        files=tuple(dict.fromkeys(file for part in parts for file in part.files)),
        in_tile=tuple(raster for part in parts for raster in part.in_tile),
        inputs=tuple(sorted(inputs, key=lambda state: (state.role, state.name))),
    )


def _check_meanings(first: ScenePlan, other: ScenePlan) -> None:
    """Refuse labels of one mosaic that mean different things in different sources."""
    for one, another in zip(first.labels, other.labels, strict=True):
        ours, theirs = ({**item.meaning.to_document(), "source": None} for item in (one, another))
        if ours != theirs:
            message = (
                f"expected labels {one.name} of one meaning, got other names or colours of classes for {other.key} "
                f"than for {first.key}; state labels.class_names and labels.class_colors"
            )
            raise ConfigError(_KEY, [Fault("", message)])
