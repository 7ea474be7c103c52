"""The DN of a plan, window by window: of one scene, or of the sources of a mosaic with the choice between them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.preprocess.nbar import NadirView
from s2pipe.preprocess.pixels.blocks import scene_windows
from s2pipe.preprocess.pixels.chosen import Choice, SourcePlace, common_part, inside
from s2pipe.preprocess.pixels.dn import DnWindows, dn_windows
from s2pipe.preprocess.record import stack_fingerprint
from s2pipe.raster.grid import Window
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.hashing import document_fingerprint
from s2pipe.runtime.progress import advance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.ground.mask import PixelMask
    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.scene_plan import ScenePlan


@dataclass(frozen=True, eq=False)
class Part:
    """What one source gives to a window."""

    source: int
    """Its place among the sources, from 0."""
    window: Window
    """Part of the window that it covers."""
    dn: np.ndarray
    """Its DN there, float32 (band, y, x); 0 where a band is not valid, and where a pixel is from another source."""
    chosen: np.ndarray | None
    """Which pixels (y, x) are from it; None for all of them."""


@dataclass(frozen=True, eq=False)
class MosaicWindow:
    """One window of the target grid."""

    window: Window
    """Where it lies."""
    parts: tuple[Part, ...]
    """What sources give to it; their arrays are overwritten when the next window is asked for."""
    numbers: np.ndarray | None
    """Number of the source of each pixel, uint8 (y, x), 0 where there is none; None for a scene of its own."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A plan whose pixels can be read."""

    windows: Iterator[MosaicWindow]
    """All windows of the target grid, in order."""
    nadir: tuple[NadirView | None, ...]
    """Of each source, what brings its reflectance to a view from nadir; None where that is off."""


def radiometry_of(plan: ScenePlan) -> Any:
    """Return how the DN of one source become values, as kernels take it."""
    from s2kernels import Radiometry

    return Radiometry(offset=plan.radiometry.offset, quantification=plan.radiometry.quantification)


def nadir_view(plan: ScenePlan, config: PreprocessConfig) -> NadirView | None:
    """Return what brings the reflectance of one source to a view from nadir; None where that is off."""
    if plan.nbar is None:
        return None
    return NadirView(plan.nbar, plan.stack, radiometry_of(plan), config)


@contextmanager
def opened(plan: ScenePlan, config: PreprocessConfig, mask: PixelMask | None) -> Iterator[Opened]:
    """Open the bands of a scene, or of all scenes of a mosaic.

    They are read through the stack cache if that is on, and as seen from nadir if that is asked for.

    Parameters
    ----------
    plan : ScenePlan
        What to read.
    config : PreprocessConfig
        Windows, cache, threads.
    mask : PixelMask or None
        Drops pixels before anything is chosen.
    """
    windows = scene_windows(plan.target, config.output.tile_px)
    views = tuple(nadir_view(source, config) for source in plan.each)
    with ExitStack() as exits:
        if plan.sources:
            sources = _sources(plan, views, config, windows)
            stream = exits.enter_context(closing(_chosen(plan, sources, windows, mask)))
        else:
            dn = exits.enter_context(_dn_windows(plan, config, windows, views[0]))
            stream = exits.enter_context(closing(_own(dn, mask)))
        yield Opened(stream, views)


def _own(stream: DnWindows, mask: PixelMask | None) -> Generator[MosaicWindow, None, None]:
    for window, dn in stream:
        if mask is not None:
            mask.apply(window, dn)
        yield MosaicWindow(window, (Part(0, window, dn, None),), None)
        advance(window.height, dn.nbytes)


class _Source:
    """A source of a mosaic: open from the first window that it touches to the last."""

    def __init__(
        self,
        number: int,
        plan: ScenePlan,
        nadir: NadirView | None,
        config: PreprocessConfig,
        windows: Sequence[Window],
    ) -> None:
        place = SourcePlace.of(plan.stack)
        assert place is not None  # a scene beside the target grid is left out before
        self.number = number
        self.place = place
        self._plan, self._nadir, self._config = plan, nadir, config
        self._parts = [part for window in windows if (part := common_part(place.box, window)) is not None]
        self._exits = ExitStack()
        self._stream: DnWindows | None = None

    def read(self, window: Window) -> tuple[Window, np.ndarray] | None:
        """Return the part of the next window that the source covers, and its DN; None where it covers none."""
        if common_part(self.place.box, window) is None:
            self.finish()
            return None
        if self._stream is None:
            self._stream = self._exits.enter_context(
                _dn_windows(self._plan, self._config, self._parts, self._nadir)
            )
        return next(self._stream)

    def finish(self) -> None:
        """Close it after its last window; the stream sees its end, so that the cache keeps it."""
        if self._stream is not None:
            next(self._stream, None)
            self.close()

    def close(self) -> None:
        """Close what is open."""
        self._stream = None
        self._exits.close()


def _sources(
    plan: ScenePlan,
    views: Sequence[NadirView | None],
    config: PreprocessConfig,
    windows: Sequence[Window],
) -> list[_Source]:
    return [
        _Source(number, source, view, config, windows)
        for number, (source, view) in enumerate(zip(plan.sources, views, strict=True))
    ]


def _chosen(
    plan: ScenePlan, sources: Sequence[_Source], windows: Sequence[Window], mask: PixelMask | None
) -> Generator[MosaicWindow, None, None]:
    with ExitStack() as exits:
        for source in sources:
            exits.callback(source.close)
        for window in windows:
            choice = Choice(window, plan.target)
            found = []
            for source in sources:
                read = source.read(window)
                if read is None:
                    continue
                part, dn = read
                if mask is not None:
                    mask.apply(part, dn)
                choice.offer(source.number + 1, source.place, part, dn)
                found.append((source.number, part, dn))
            parts = []
            for number, part, dn in found:
                chosen = choice.source[inside(part, window)] == number + 1
                np.copyto(dn, np.float32(0), where=~chosen)
                parts.append(Part(number, part, dn, chosen))
            yield MosaicWindow(window, tuple(parts), choice.source)
            advance(window.height, sum(part.dn.nbytes for part in parts))
        for source in sources:
            source.finish()


@contextmanager
def _dn_windows(
    plan: ScenePlan,
    config: PreprocessConfig,
    windows: Sequence[Window],
    nadir: NadirView | None,
) -> Iterator[DnWindows]:
    """DN of one source through the stack cache if that is on, as seen from nadir if asked for."""
    fingerprint = stack_fingerprint(plan, config) if config.cache.enabled else None
    if fingerprint is not None and config.group_by is not None:  # windows end where the tile does
        fingerprint = document_fingerprint([fingerprint, [list(window) for window in windows]])
    with ExitStack() as stack:
        stream = stack.enter_context(dn_windows(plan.stack, config, windows, fingerprint))
        if nadir is not None:
            stream = stack.enter_context(nadir.windows(stream, windows, core_count(config.num_workers)))
        yield stream
