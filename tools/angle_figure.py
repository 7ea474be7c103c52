"""Draw docs/img/angles.png from a real tile: ``python tools/angle_figure.py GRANULE/.../MTD_TL.xml``.

Needs Matplotlib (`pip install 's2pipe[figures]'`). The granule should have its detector footprints in QI_DATA.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "kernels")]

from s2kernels import AngleEncoding, DirectionField, interpolate_directions  # noqa: E402
from s2pipe.preprocess.angles.directions import (  # noqa: E402
    band_directions,
    mean_over_detectors,
    sun_vectors,
)
from s2pipe.preprocess.angles.footprints import MaskReader, OutlineReader  # noqa: E402
from s2pipe.preprocess.angles.placement import placement  # noqa: E402
from s2pipe.preprocess.angles.planes import TilePlanes  # noqa: E402
from s2pipe.preprocess.angles.seams import fit_seams  # noqa: E402
from s2pipe.raster.grid import Grid, Window  # noqa: E402
from s2pipe.raster.reader import inspect_raster  # noqa: E402
from s2pipe.raster.transform import crs_wkt  # noqa: E402
from s2pipe.sentinel2.safe.detectors import read_detector_outlines  # noqa: E402
from s2pipe.sentinel2.safe.tile import ANGLE_STEP_M, TileAngles, read_tile_angles  # noqa: E402

BAND = "B02"
SHIFT_M = ANGLE_STEP_M / 2


def detectors(angles: TileAngles, grid: Grid, granule: Path) -> np.ndarray:
    """Detector ids of the band, by the mask if the granule has one."""
    masks = sorted(granule.glob(f"QI_DATA/MSK_DETFOO_{BAND}.*"))
    reader: Any
    if masks and masks[0].suffix == ".jp2":
        reader = MaskReader(inspect_raster(str(masks[0])), grid)
    elif masks:
        reader = OutlineReader(read_detector_outlines(masks[0], BAND, angles.tile.epsg), grid)
    else:
        reader = OutlineReader(fit_seams(TilePlanes(angles), [BAND])[BAND].outlines, grid)
    ids = np.empty((1, *grid.shape_yx), np.uint8)
    reader.read(Window(0, 0, *grid.shape_yx), ids[0])
    return ids


def degrees(field: DirectionField, angles: TileAngles, grid: Grid, ids: np.ndarray | None) -> np.ndarray:
    """Zenith and azimuth of every pixel."""
    out = np.empty((2, *grid.shape_yx), np.float32)
    interpolate_directions(field, placement(angles.tile, grid), ids, AngleEncoding.of("deg"), out)
    return out


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Angle between two directions in degrees."""
    (z0, a0), (z1, a1) = np.radians(one.astype(float)), np.radians(other.astype(float))
    half = np.sin((z1 - z0) / 2) ** 2 + np.sin(z0) * np.sin(z1) * np.sin((a1 - a0) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half)))


def view_field(vectors: dict[int, np.ndarray]) -> DirectionField:
    """One band's detectors."""
    slots = np.full((1, 256), -1, np.int16)
    slots[0, list(vectors)] = np.arange(len(vectors))
    return DirectionField(np.stack(list(vectors.values())), slots)


def panels(metadata: Path, pixel_m: int) -> tuple[TileAngles, np.ndarray, list[tuple[str, np.ndarray, str]]]:
    """Everything that is drawn: title, values, colour map."""
    angles = read_tile_angles(metadata)
    ulx, uly = angles.tile.upper_left[10]
    side = 109_800 // pixel_m
    grid = Grid(crs_wkt(angles.tile.epsg), (ulx, pixel_m, 0, uly, 0, -pixel_m), (side, side))
    ids = detectors(angles, grid, metadata.parent)
    sun = DirectionField(sun_vectors(angles)[np.newaxis], np.zeros((1, 256), np.int16))
    view = view_field(dict(band_directions(TilePlanes(angles), BAND).vectors))
    right, sun_right = degrees(view, angles, grid, ids), degrees(sun, angles, grid, None)
    moved = {10: (ulx + SHIFT_M, uly - SHIFT_M)}
    cells = replace(angles, tile=replace(angles.tile, upper_left=moved))
    wrong = degrees(view, cells, grid, ids)
    merged = degrees(view_field({0: mean_over_detectors(angles, BAND)}), angles, grid, None)
    merged[:, ids[0] == 0] = np.nan
    return angles, ids[0], [
        ("sun zenith, degrees", sun_right[0], "viridis"),
        ("sun azimuth, degrees", sun_right[1], "viridis"),
        (f"view zenith of {BAND}, degrees", right[0], "viridis"),
        (f"view azimuth of {BAND}, degrees", right[1], "viridis"),
        ("grid placed as cells: view direction off by, degrees", apart(right, wrong), "magma"),
        ("detectors averaged at nodes: off by, degrees", apart(right, merged), "magma"),
    ]  # fmt: skip


def draw(metadata: Path, out: Path, pixel_m: int) -> None:
    """Write the figure."""
    from matplotlib.figure import Figure

    angles, ids, found = panels(metadata, pixel_m)
    figure = Figure(figsize=(11.5, 7.2), layout="constrained")
    axes = figure.subplots(2, 3)
    extent = (0, 109.8, 109.8, 0)
    nodes = np.arange(22) * ANGLE_STEP_M / 1000
    order = [axes[0, 0], axes[1, 0], axes[0, 1], axes[1, 1], axes[0, 2], axes[1, 2]]
    for axis, (title, values, colours) in zip(order, found, strict=True):
        axis.set_facecolor("0.85")
        limits = {"vmin": 0, "vmax": float(np.nanpercentile(values, 99.9))} if "off by" in title else {}
        image = axis.imshow(values, extent=extent, cmap=colours, interpolation="nearest", **limits)
        figure.colorbar(image, ax=axis, shrink=0.85)
        if "sun" in title:
            axis.plot(*(part.ravel() for part in np.meshgrid(nodes, nodes)), ".", color="white", ms=1.2)
        else:
            seams = np.diff(ids.astype(int), axis=1, append=0) != 0
            rows, cols = np.nonzero(seams[::8])
            places = (cols + 1) * pixel_m / 1000, rows * 8 * pixel_m / 1000
            axis.plot(*places, ",", color="white" if "off by" in title else "black", alpha=0.8)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("km from the upper-left corner", fontsize=7)
        if "off by" in title:
            rms = float(np.sqrt(np.nanmean(values**2)))
            text = f"rms {rms:.2f}, most {np.nanmax(values):.2f}"
            missing = np.isnan(values[ids > 0]).mean()
            if missing > 0.001:
                text += f", none at all for {missing:.1%}"
            axis.text(2, 107, text, color="black", fontsize=8, bbox={"facecolor": "white", "alpha": 0.85})
    figure.suptitle(
        f"{angles.tile.tile_id}, {angles.tile.sensing_time[:10]}: angles between the nodes of the tile metadata "
        "(dots), by detector (seams: lines)",
        fontsize=10,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100, metadata={"Software": None}, pil_kwargs={"optimize": True})


def main() -> None:
    """Read the arguments and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metadata", type=Path, help="MTD_TL.xml of a granule")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img" / "angles.png")
    parser.add_argument("--pixel-m", type=int, default=120, help="pixel size in metres")
    arguments = parser.parse_args()
    draw(arguments.metadata, arguments.out, arguments.pixel_m)


if __name__ == "__main__":
    main()
