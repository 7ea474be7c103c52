"""``stack.vrt``: the declared resampling of a scene as a file that opens in QGIS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2pipe.raster.vrt import StackBand, stack_vrt, warped_vrt

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.preprocess.inputs import BandStack

BAND_VRTS = "stack"
"""Directory beside ``stack.vrt`` that holds the warped VRT of each resampled band."""


def write_stack_vrt(work: Path, final: Path, stack: BandStack) -> None:
    """Write ``stack.vrt`` and the warped VRTs it refers to.

    Parameters
    ----------
    work : Path
        Directory to write to now.
    final : Path
        Directory where the files will be moved; relative paths are relative to it.
    stack : BandStack
        Bands and target grid.
    """
    bands, reference = [], stack.target.reference
    for band in stack.bands:
        path = band.raster.path
        if band.method is not None:
            (work / BAND_VRTS).mkdir(exist_ok=True)
            text = warped_vrt(band.raster, reference, band.warp, vrt_dir=final / BAND_VRTS)
            (work / BAND_VRTS / f"{band.channel}.vrt").write_text(text, encoding="utf-8")
            path = str(final / BAND_VRTS / f"{band.channel}.vrt")
        bands.append(StackBand(str(band.channel), path))
    (work / "stack.vrt").write_text(stack_vrt(bands, stack.target, final), encoding="utf-8")
