"""Building products: which files there are, their pixels strip by strip, then metadata and manifest."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from s2pipe.errors import ProductError
from s2pipe.raster.capabilities import require_jpeg2000_writer
from s2pipe.raster.grid import Grid
from s2pipe.raster.jp2 import write_jp2_bands
from s2pipe.raster.transform import crs_wkt
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.files import write_bytes_atomic
from s2pipe.runtime.progress import ByteProgress
from s2pipe.sentinel2.bands import BANDS, JP2_TILE_PX, L2A_BANDS_BY_RESOLUTION
from s2pipe.synthetic.imagery.strips import Scene, Strip, scene_of
from s2pipe.synthetic.metadata.gml import cloud_gml, detector_footprint_gml
from s2pipe.synthetic.metadata.manifest_xml import MANIFEST, MARK, manifest_xml
from s2pipe.synthetic.metadata.product_xml import datastrip_xml, product_xml
from s2pipe.synthetic.metadata.tile_xml import tile_xml
from s2pipe.synthetic.spec import ProductNames, ProductPaths, ProductSpec

_IN_MEMORY_BYTES = 64 << 20
"""Rasters larger than this are built in a temporary file, so that memory stays bounded."""
_NBITS = 15


Fill = Callable[[Strip], np.ndarray]


@dataclass(frozen=True)
class Layer:
    """One raster of a product."""

    path: str
    """Path inside its product."""
    resolution_m: int
    """Pixel size in metres."""
    fill: Fill
    """Computes a strip, ``(y, x)`` or ``(band, y, x)``."""
    dtype: str = "uint16"
    """Data type."""
    nbits: int | None = _NBITS
    """Significant bits in the JPEG 2000 file; None for all of the type's."""
    planes: int = 1
    """Number of bands of the raster."""
    mask: tuple[str, int | None] | None = None
    """Kind and band id, for quality masks."""


def build_products(out_dir: Path, spec: ProductSpec) -> ProductPaths:
    """Make the products of a specification (see :func:`s2pipe.demo.make_products`)."""
    require_jpeg2000_writer()
    scene = scene_of(spec)
    levels = ("L1C", "L2A") if spec.l2a else ("L1C",)
    plans = {level: _layers(spec.names(level)) for level in levels}
    finals = {level: out_dir / spec.names(level).product for level in levels}
    for final in finals.values():
        _refuse_foreign(final)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".demo-") as scratch:
        counts = np.zeros(12, np.int64)
        work = [(Path(scratch) / level, layer) for level in levels for layer in plans[level]]
        total = sum(_nbytes(layer, scene.pixels(layer.resolution_m)) for _, layer in work)
        with closing(ByteProgress(total, len(work))) as progress:
            for resolution in (10, 20, 60):
                chosen = [(root, layer) for root, layer in work if layer.resolution_m == resolution]
                if chosen or resolution == 20:
                    counts += _render(scene, resolution, chosen, Path(scratch), progress)
        if spec.l2a:
            plans["L2A"] += _copied_masks(plans["L1C"], Path(scratch), spec)
        for level in levels:
            root = Path(scratch) / level
            _write_text(root, spec.names(level), scene, plans[level], counts)
            if finals[level].exists():
                shutil.rmtree(finals[level])
            root.replace(finals[level])
    return ProductPaths(finals["L1C"], finals.get("L2A"))


def _refuse_foreign(final: Path) -> None:
    """Refuse to replace what is no synthetic product: the names are those of real ones."""
    if not os.path.lexists(final):
        return
    try:
        is_own = not final.is_symlink() and (final / MANIFEST).read_bytes().endswith(MARK)
    except OSError:
        is_own = False
    if not is_own:
        msg = (
            f"{final}: is there already, and no synthetic product that s2pipe made: expected such a product or none, "
            "and nothing was replaced; move it away, or choose another directory"
        )
        raise ProductError(msg)


def _layers(names: ProductNames) -> list[Layer]:
    return _l1c_layers(names) if names.level == "L1C" else _l2a_layers(names)


def _l1c_layers(names: ProductNames) -> list[Layer]:
    spec = names.spec
    layers = []
    for band in (band for band in BANDS if band.name in spec.bands):
        name, metres = band.name, band.resolution_m
        layers.append(Layer(names.image(name), metres, partial(Strip.toa_dn, band=name)))
        if spec.has_offsets:  # vector masks came before baseline 04.00
            kind = ("MSK_DETFOO", band.band_id)
            layers.append(_mask(names.mask(kind[0], name), metres, partial(Strip.detectors, band=name), kind))
        if spec.has_offsets and spec.quality_masks:
            kind = ("MSK_QUALIT", band.band_id)
            layers.append(
                _mask(names.mask(kind[0], name), metres, partial(Strip.quality, band=name), kind, 8)
            )
    if spec.has_offsets and spec.quality_masks:
        path = names.mask("MSK_CLASSI", "B00")
        layers.append(_mask(path, 60, Strip.classification, ("MSK_CLASSI", None), 3))
    if spec.tci:
        fill = partial(Strip.true_colour, level="L1C")
        layers.append(Layer(names.image("TCI"), 10, fill, "uint8", None, 3))
    return layers


def _l2a_layers(names: ProductNames) -> list[Layer]:
    spec = names.spec
    layers = []
    for metres in sorted({20, *spec.l2a_resolutions}):
        layers += [
            Layer(names.image(name, metres), metres, partial(Strip.boa_dn, band=name))
            for name in L2A_BANDS_BY_RESOLUTION[metres]
            if name in spec.bands
        ]
        layers.append(Layer(names.image("AOT", metres), metres, Strip.aerosol))
        layers.append(Layer(names.image("WVP", metres), metres, Strip.water_vapour))
        if metres != 10:
            layers.append(Layer(names.image("SCL", metres), metres, Strip.scene_classes, "uint8", None))
        if spec.tci:
            fill = partial(Strip.true_colour, level="L2A")
            layers.append(Layer(names.image("TCI", metres), metres, fill, "uint8", None, 3))
    cloud, snow = names.mask("MSK_CLDPRB", "20m"), names.mask("MSK_SNWPRB", "20m")
    layers.append(_mask(cloud, 20, Strip.cloud_probability, ("MSK_CLDPRB", None)))
    layers.append(_mask(snow, 20, Strip.snow_probability, ("MSK_SNWPRB", None)))
    return layers


def _copied_masks(layers: list[Layer], scratch: Path, spec: ProductSpec) -> list[Layer]:
    """Copy the detector footprints of the L1C product into the L2A product, which holds them as well."""
    names, copied = spec.names("L2A"), []
    for layer in layers:
        if layer.mask and layer.mask[0] == "MSK_DETFOO":
            path = f"{names.granule}/QI_DATA/{layer.path.rpartition('/')[2]}"
            target = scratch / "L2A" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(scratch / "L1C" / layer.path, target)
            copied.append(replace(layer, path=path))
    return copied


def _mask(path: str, resolution_m: int, fill: Fill, mask: tuple[str, int | None], planes: int = 1) -> Layer:
    return Layer(path, resolution_m, fill, "uint8", None, planes, mask)


def _nbytes(layer: Layer, side: int) -> int:
    return np.dtype(layer.dtype).itemsize * layer.planes * side**2


class _Canvas:
    """Pixels of one layer while they are drawn: in memory, or in a raw file when they are many."""

    def __init__(self, layer: Layer, side: int, scratch: Path) -> None:
        self.shape = (layer.planes, side, side)
        self.dtype = np.dtype(layer.dtype)
        self.path = scratch if _nbytes(layer, side) > _IN_MEMORY_BYTES else None
        self.memory = np.empty(self.shape, self.dtype) if self.path is None else None
        if self.path is not None:
            self.path.touch()

    def add_rows(self, row: int, block: np.ndarray) -> None:
        """Draw rows from ``row`` on, ``(y, x)`` or ``(band, y, x)``; threads draw rows of their own."""
        if self.path is None:
            assert self.memory is not None
            self.memory[:, row : row + block.shape[-2]] = block
            return
        # Written, not mapped: pages of a mapping would count as this process's memory until the end.
        with self.path.open("r+b") as stream:
            for plane, rows in enumerate(block.reshape(-1, *block.shape[-2:])):
                stream.seek((plane * self.shape[1] + row) * self.shape[2] * self.dtype.itemsize)
                stream.write(np.ascontiguousarray(rows, self.dtype).data)

    def pixels(self) -> np.ndarray:
        """The finished raster ``(band, y, x)``."""
        if self.path is None:
            assert self.memory is not None
            return self.memory
        return np.memmap(self.path, self.dtype, "r", shape=self.shape)

    def discard(self) -> None:
        """Give memory or disk space back."""
        self.memory = None
        if self.path is not None:
            self.path.unlink()


def _render(
    scene: Scene,
    resolution_m: int,
    chosen: list[tuple[Path, Layer]],
    scratch: Path,
    progress: ByteProgress,
) -> np.ndarray:
    """Compute and write all rasters of one resolution; return the scene class counts (of 20 m only)."""
    side = scene.pixels(resolution_m)
    canvases = [_Canvas(layer, side, scratch / f"{index}.raw") for index, (_, layer) in enumerate(chosen)]
    corner = (scene.swath.ulx, resolution_m, 0.0, scene.swath.uly, 0.0, -resolution_m)
    grid = Grid(crs_wkt(scene.swath.epsg), corner, (side, side))

    def draw(strip: Strip) -> np.ndarray:
        for (_, layer), canvas in zip(chosen, canvases, strict=True):
            block = layer.fill(strip)
            canvas.add_rows(strip.row, block)
            progress.add(block.size * canvas.dtype.itemsize // 2)  # the other half when it is compressed
        if resolution_m != 20:
            return np.zeros(12, np.int64)
        return np.bincount(strip.scene_classes().ravel(), minlength=12)

    def encode(index: int) -> None:
        root, layer = chosen[index]
        tile_px, pixels = JP2_TILE_PX[resolution_m], canvases[index].pixels()
        # Several files at once with one thread each are faster than one file at a time with several threads.
        write_jp2_bands(root / layer.path, grid, pixels, tile_px, layer.nbits, threads=1)
        del pixels
        canvases[index].discard()
        progress.add(_nbytes(layer, side) // 2)
        progress.file_done()

    with ThreadPoolExecutor(core_count()) as pool:
        counts = sum(pool.map(draw, scene.strips(resolution_m)), np.zeros(12, np.int64))
        for _ in pool.map(encode, range(len(chosen))):
            pass
    return counts


def _write_text(
    root: Path, names: ProductNames, scene: Scene, layers: list[Layer], counts: np.ndarray
) -> None:
    """Write everything of a product that is not a raster, the manifest last."""
    masks = [(*layer.mask, layer.path) for layer in layers if layer.mask]
    if names.level == "L1C" and not names.spec.has_offsets:
        for band in (band for band in BANDS if band.name in names.spec.bands):
            path = names.mask("MSK_DETFOO", band.name, "gml")
            write_bytes_atomic(root / path, detector_footprint_gml(names, scene.swath, band.name))
            masks.append(("MSK_DETFOO", band.band_id, path))
        path = names.mask("MSK_CLOUDS", "B00", "gml")
        write_bytes_atomic(root / path, cloud_gml(names, scene.swath))
        masks.append(("MSK_CLOUDS", None, path))
    images = [layer.path for layer in layers if not layer.mask]
    metadata = product_xml(names, scene.swath, images, counts)
    write_bytes_atomic(root / f"MTD_MSI{names.level}.xml", metadata)
    write_bytes_atomic(root / names.granule / "MTD_TL.xml", tile_xml(names, scene.swath, masks, counts))
    write_bytes_atomic(root / names.datastrip / "MTD_DS.xml", datastrip_xml(names))
    write_bytes_atomic(root / MANIFEST, manifest_xml(names, root))
