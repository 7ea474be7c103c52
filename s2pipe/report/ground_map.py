"""The map: footprints, samples, ground cells and patches as SVG, on nothing that comes from a network."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from s2pipe.ground.cells import CellGrid
from s2pipe.ground.split import SPLITS
from s2pipe.report.markup import Html, el, joined
from s2pipe.report.patch_sets import DROPPED
from s2pipe.report.values import items, mapping, number, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s2pipe.report.model import Contents, PatchSet, Ring

WIDTH = 1000
_HEIGHTS = (260.0, 620.0)
"""Least and greatest height: a map is as high as its ground asks for."""
_MARGIN = 34
_MAX_CELLS = 20_000
_LEAST_CELL_M = 100
_CELL = re.compile(r"\d{1,8}m_(\d{1,8})_(\d{1,8})", re.ASCII)
_STEPS_DEG = (90, 45, 30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
_LEAST_GAP, _MOST_LINES = 24.0, 24
_HALF_TURN = 180.0


def ground_map(contents: Contents) -> Html | None:
    """Draw the map; None where nothing has a place."""
    sources = [ring for scene in contents.sources for ring in scene.footprint]
    samples = [sample.outline for sample in contents.samples if sample.outline]
    cells = _cells(contents.patches)
    patches: dict[str, list[Ring]] = {}
    for found in contents.patches:
        for name, rings in found.outlines.items():
            patches.setdefault(name, []).extend(rings)
    every = [
        *sources,
        *samples,
        *(ring for part in (cells, patches) for rings in part.values() for ring in rings),
    ]
    if not every:
        return None
    view = _View(every)
    groups = [
        ("cells", "Ground cells", _by_split(cells, view, "cell")),
        ("patches", "Patches", _by_split(patches, view, "patch")),
        ("sources", "Footprints of scenes", [_scene_paths(contents, view)]),
        ("samples", "Samples", [_sample_paths(contents, view)]),
    ]
    shown = [(name, title, parts) for name, title, parts in groups if any(parts)]
    drawing = el(
        "svg",
        _graticule(view),
        *(el("g", *parts, class_=f"layer {name}", data_layer=name) for name, _, parts in shown),
        viewBox=f"0 0 {WIDTH} {view.height:.0f}",
        role="img",
        aria_label=_in_words(contents, cells, patches),
        class_="map",
        id="map",
    )
    return joined(
        [_controls([(name, title) for name, title, _ in shown]), drawing, _legend(contents, cells, patches)]
    )


class _View:
    """Longitude and latitude to the drawing: equirectangular, true to scale in the middle."""

    def __init__(self, rings: Iterable[Ring]) -> None:
        points = [point for ring in rings for point in ring]
        longitudes = [lon for lon, _ in points]
        self._is_turned = (
            max(longitudes) - min(longitudes) > _HALF_TURN
        )  # ground on both sides of the antimeridian
        longitudes = [self._turned(lon) for lon in longitudes]
        latitudes = [lat for _, lat in points]
        self.west, self.east = min(longitudes), max(longitudes)
        self.south, self.north = min(latitudes), max(latitudes)
        self._shrink = max(0.05, math.cos(math.radians((self.south + self.north) / 2)))
        across = max((self.east - self.west) * self._shrink, 1e-4)
        along = max(self.north - self.south, 1e-4)
        self.scale = min((WIDTH - 2 * _MARGIN) / across, (_HEIGHTS[1] - 2 * _MARGIN) / along)
        self.height = max(_HEIGHTS[0], along * self.scale + 2 * _MARGIN)
        self._left = (WIDTH - across * self.scale) / 2
        self._top = (self.height - along * self.scale) / 2

    def _turned(self, lon: float) -> float:
        return lon + 360.0 if self._is_turned and lon < 0 else lon

    def x(self, lon: float) -> float:
        """Place from the left."""
        return self._left + (self._turned(lon) - self.west) * self._shrink * self.scale

    def y(self, lat: float) -> float:
        """Place from the top."""
        return self._top + (self.north - lat) * self.scale

    def path(self, rings: Iterable[Ring]) -> str:
        """Rings as the data of an SVG path, with a tenth of a unit as the least step."""
        return "".join(
            "M" + "L".join(f"{self.x(lon):.2f} {self.y(lat):.2f}" for lon, lat in ring) + "Z"
            for ring in rings
        )


def _cells(patches: Iterable[PatchSet]) -> dict[str, list[Ring]]:
    """Ground cells by split."""
    found: dict[str, list[Ring]] = {}
    for part in patches:
        size = number(part.split.get("cell_m"))
        if size is None or not (_LEAST_CELL_M <= size <= 10_000_000):
            continue
        grid = CellGrid(int(size))
        for name, split in list(mapping(part.split.get("cells")).items())[:_MAX_CELLS]:
            match = _CELL.fullmatch(name)
            if match is None or split not in SPLITS or int(match[1]) >= grid.rows:
                continue
            row, column = int(match[1]), int(match[2])
            tall, wide = 180.0 / grid.rows, 360.0 / int(grid.columns[row])
            south, west = -90.0 + row * tall, -180.0 + column * wide
            corners = [(west, south), (west, south + tall), (west + wide, south + tall), (west + wide, south)]
            found.setdefault(split, []).append(corners)
    return found


def _by_split(rings: dict[str, list[Ring]], view: _View, kind: str) -> list[Html]:
    """One path a split, those that are dropped beneath."""
    order = [DROPPED, *SPLITS]
    return [
        el("path", d=view.path(rings[name]), class_=f"{kind} {name}") for name in order if rings.get(name)
    ]


def _scene_paths(contents: Contents, view: _View) -> Html:
    done = contents.done
    failed = {problem.what for problem in contents.problems if problem.kind == "failed"}

    def state(identity: tuple[str, str], name: str) -> str:
        return "done" if identity in done else "failed" if name in failed else "indexed"

    return joined(
        el(
            "path",
            el("title", f"{scene.key}: {state(scene.key.identity, str(scene.key))}"),
            d=view.path(scene.footprint),
            class_=f"scene {state(scene.key.identity, str(scene.key))}",
        )
        for scene in contents.sources
        if scene.footprint
    )


def _sample_paths(contents: Contents, view: _View) -> Html:
    tiles = _split_of_tiles(contents.patches)
    return joined(
        el(
            "path",
            el("title", f"{sample.key}: sample{f', {split}' if split else ''}"),
            d=view.path([sample.outline]),
            class_=f"sample {split or ''}".strip(),
        )
        for sample in contents.samples
        if sample.outline
        for split in [tiles.get(sample.key.tile_id)]
    )


def _split_of_tiles(patches: Iterable[PatchSet]) -> dict[str, str]:
    """Split of each tile, where whole tiles were drawn."""
    return {
        text(tile.get("tile_id") or tile.get("name")): text(tile.get("split"))
        for part in patches
        for tile in map(mapping, items(part.split.get("tiles")))
        if tile.get("split") in SPLITS
    }


def _graticule(view: _View) -> Html:
    """Meridians and parallels, about five of each, with their degrees."""
    parts = []
    for value in _multiples(view.west, view.east, view.scale / 2):
        x = f"{view.x(value):.1f}"
        parts.append(el("line", x1=x, x2=x, y1=0, y2=f"{view.height:.0f}"))
        parts.append(el("text", _degrees(value, "EW"), x=x, y=f"{view.height - 6:.0f}", text_anchor="middle"))
    for value in _multiples(view.south, view.north, view.scale):
        y = f"{view.y(value):.1f}"
        parts += [
            el("line", x1=0, x2=WIDTH, y1=y, y2=y),
            el("text", _degrees(value, "NS"), x=4, y=y, dy="-3"),
        ]
    return el("g", *parts, class_="graticule", aria_hidden="true")


def _multiples(low: float, high: float, scale: float) -> list[float]:
    """Round degrees of a range, at least two if their labels have room."""
    for step in _STEPS_DEG:
        first, last = math.ceil(low / step), math.floor(high / step)
        if last > first or step * scale < 2 * _LEAST_GAP:
            return [step * count for count in range(first, last + 1)][:_MOST_LINES]
    return []


def _degrees(value: float, sides: str) -> str:
    if sides == "EW":
        value = (value + _HALF_TURN) % (2 * _HALF_TURN) - _HALF_TURN
    return f"{abs(value):.6g}° {sides[0] if value >= 0 else sides[1]}"


def _controls(layers: list[tuple[str, str]]) -> Html:
    boxes = [
        el("label", el("input", type="checkbox", checked=True, data_toggle=name), f" {title}")
        for name, title in layers
    ]
    buttons = [
        el("button", sign, type="button", data_zoom=what, aria_label=label)
        for what, sign, label in (
            ("in", "+", "Zoom in"),
            ("out", "−", "Zoom out"),
            ("left", "←", "Move west"),
            ("right", "→", "Move east"),
            ("up", "↑", "Move north"),
            ("down", "↓", "Move south"),
            ("reset", "Whole map", "Show the whole map"),
        )
    ]
    return el(
        "div",
        el("fieldset", el("legend", "Show"), *boxes),
        el("div", *buttons, class_="buttons", role="group", aria_label="Zoom and move the map"),
        class_="controls script-only",
    )


def _legend(contents: Contents, cells: dict[str, list[Ring]], patches: dict[str, list[Ring]]) -> Html:
    names = [name for name in (*SPLITS, DROPPED) if cells.get(name) or patches.get(name)]
    swatches = [_swatch(name, name) for name in names]
    if contents.samples:
        swatches.append(_swatch("outline sample", "sample"))
    if contents.sources:
        swatches.append(_swatch("outline scene", "scene of the index"))
        swatches.append(_swatch("outline scene failed", "failed scene"))
    return el("p", *swatches, class_="legend")


def _swatch(kind: str, name: str) -> Html:
    box = el(
        "svg",
        el("rect", width=14, height=14, class_=kind),
        class_="swatch",
        viewBox="0 0 14 14",
        aria_hidden="true",
    )
    return el("span", box, f" {name}")


def _in_words(contents: Contents, cells: dict[str, list[Ring]], patches: dict[str, list[Ring]]) -> str:
    parts = [f"Map of {len(contents.sources)} scene(s) of the index and {len(contents.samples)} sample(s)"]
    for what, rings in (("ground cells", cells), ("patches drawn", patches)):
        if rings:
            counted = ", ".join(
                f"{len(rings[name])} {name}" for name in (*SPLITS, DROPPED) if rings.get(name)
            )
            parts.append(f"{what}: {counted}")
    return "; ".join(parts) + ". The tables below hold the same."
