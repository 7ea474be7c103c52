"""A file of another format than its place allows leads nowhere: not to a file, not to the network."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.errors import RasterError
from s2pipe.raster.formats import ANY_FORMAT, GEOTIFF, JPEG2000, LABELS, SELF_CONTAINED
from s2pipe.raster.grid import Grid, Window
from s2pipe.raster.jp2 import write_jp2
from s2pipe.raster.reader import RasterReader, StackReader, inspect_raster
from s2pipe.raster.transform import crs_wkt
from s2pipe.raster.vrt import WarpSpec, warped_vrt
from s2pipe.raster.writer import TiffSpec, TiffWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GRID = Grid(crs_wkt(32633), (499980.0, 20.0, 0.0, 5500020.0, 0.0, -20.0), (70, 90))
MOVED = Grid(GRID.crs_wkt, (0.0, 20.0, 0.0, 0.0, 0.0, -20.0), GRID.shape_yx)
WHOLE = Window(0, 0, *GRID.shape_yx)
AUX = "<PAMDataset><GeoTransform>0,20,0,0,0,-20</GeoTransform><PAMRasterBand band='1'><NoDataValue>7</NoDataValue>{}"
AUX += "</PAMRasterBand></PAMDataset>"


@contextmanager
def _listener() -> Iterator[tuple[int, list[bytes]]]:
    """A server on this machine that keeps what it is asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(4096))

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], asked
        server.shutdown(socket.SHUT_RDWR)


def _vrt_of(source: str) -> str:
    return (
        f'<VRTDataset rasterXSize="{GRID.width}" rasterYSize="{GRID.height}"><VRTRasterBand dataType="UInt16" band="1">'
        f"<SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )


def _tiff(path: Path, value: int = 1) -> Path:
    with TiffWriter(path, TiffSpec(GRID, ("one",), "uint16")) as writer:
        writer.write(WHOLE, np.full((1, *GRID.shape_yx), value, np.uint16))
    return path


def _pixels(reader: RasterReader) -> set[int]:
    out = np.empty(GRID.shape_yx, np.uint16)
    reader.read(WHOLE, out)
    return set(np.unique(out).tolist())


@pytest.mark.parametrize("formats", [JPEG2000, GEOTIFF, LABELS, SELF_CONTAINED])
@pytest.mark.parametrize("place", ["file", "network"])
def test_a_vrt_of_any_name_is_not_followed(tmp_path: Path, formats: object, place: str) -> None:
    assert isinstance(formats, type(JPEG2000))
    other = _tiff(tmp_path / "other.tif")
    disguised = tmp_path / "B02.jp2"
    with _listener() as (port, asked):
        disguised.write_text(
            _vrt_of(str(other) if place == "file" else f"/vsicurl/http://127.0.0.1:{port}/a.tif")
        )
        with pytest.raises(RasterError, match="GDAL cannot open it as"):
            inspect_raster(str(disguised), formats)
        with pytest.raises(RasterError, match="GDAL cannot open it as"):
            RasterReader(str(disguised), formats=formats)
        assert asked == []
    if place == "file":
        assert _pixels(RasterReader(str(disguised), formats=ANY_FORMAT)) == {1}


def test_a_geotiff_is_no_jpeg_2000(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="as JPEG 2000"):
        inspect_raster(str(_tiff(tmp_path / "B02.jp2")), JPEG2000)


def test_files_beside_a_product_say_nothing(tmp_path: Path) -> None:
    path, other = tmp_path / "B02.jp2", _tiff(tmp_path / "other.tif", 9)
    write_jp2(path, GRID, np.ones(GRID.shape_yx, np.uint16), 640)
    plain = inspect_raster(str(path), JPEG2000)
    (tmp_path / "B02.jp2.aux.xml").write_text(AUX.format(""))
    (tmp_path / "B02.j2w").write_text("1\n0\n0\n-1\n0\n0\n")
    for suffix in (".msk", ".ovr"):
        (tmp_path / f"B02.jp2{suffix}").write_text(_vrt_of(str(other)))
    assert gdal.Open(str(path)).GetGeoTransform()[0] == 0  # what a plain open would take
    assert inspect_raster(str(path), JPEG2000) == plain
    assert plain.grid.geotransform == GRID.geotransform
    spec = WarpSpec("nearest", "UInt16", None)
    for source in (str(path), warped_vrt(plain, GRID, spec)):
        assert _pixels(RasterReader(source, formats=JPEG2000)) == {1}


def test_a_label_raster_may_be_placed_by_a_file_beside_it_that_leads_nowhere(tmp_path: Path) -> None:
    path = _tiff(tmp_path / "labels.tif")
    with _listener() as (port, asked):
        overview = f"/vsicurl/http://127.0.0.1:{port}/a.tif"
        domain = f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{overview}</MDI></Metadata>'
        (tmp_path / "labels.tif.aux.xml").write_text(
            AUX.format("").replace("<PAMRasterB", domain + "<PAMRasterB")
        )
        raster = inspect_raster(str(path), LABELS, with_files_beside=True)
        assert (raster.grid.geotransform, raster.nodata) == (MOVED.geotransform, 7)
        text = warped_vrt(raster, MOVED, WarpSpec("mode", "UInt16", 7, 3))
        assert _pixels(RasterReader(text, formats=raster.formats)) == {1}
        assert asked == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('relativeToVRT="1">a.tif', 'relativeToVRT="0">/vsicurl/http://127.0.0.1:1/a.tif'),
        (">a.tif<", ">../a.tif<"),
        (">a.tif<", "><"),
        ("<GDALWarpOptions>", "<OverviewList>2</OverviewList><GDALWarpOptions>"),
        ("<VRTDataset", "<!DOCTYPE x><VRTDataset"),
        ("</VRTDataset>", ""),
    ],
)
def test_a_stored_vrt_leads_to_the_raster_beside_it_alone(tmp_path: Path, old: str, new: str) -> None:
    source = inspect_raster(str(_tiff(tmp_path / "a.tif")), GEOTIFF)
    text = warped_vrt(source, GRID, WarpSpec("nearest", "UInt16", None), vrt_dir=tmp_path)
    path = tmp_path / "a.vrt"
    path.write_text(text)
    out = np.empty((1, *GRID.shape_yx), np.uint16)
    StackReader(str(path)).read(WHOLE, out)
    assert (out == 1).all()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(RasterError, match="is no VRT that s2pipe wrote"):
        StackReader(str(path))
