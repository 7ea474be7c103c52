"""VRT text: how a raster is brought onto a target grid, declared and not executed. Pure text, no GDAL.

The elements are those of GDAL's VRT drivers (https://gdal.org/drivers/raster/vrt.html).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from s2pipe.raster.grid import Grid, RasterInfo, TargetGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALGORITHMS = {
    "nearest": "NearestNeighbour",
    "bilinear": "Bilinear",
    "cubic": "Cubic",
    "average": "Average",
    "mode": "Mode",
    "max": "Maximum",
    "min": "Minimum",
    "med": "Median",
    "q1": "Quartile1",
    "q3": "Quartile3",
    "sum": "Sum",
}
SCALED_METHODS = ("bilinear", "cubic")
"""Methods whose kernels widen where source pixels are smaller than the target's."""
WARP_BLOCK_YX = (256, 2048)
"""Rows and columns that GDAL warps at once. Fixed, because cubic results depend on it near nodata."""
_MAX_ERROR_PX = 0.125  # the default of GDAL's own Warp: keep it, so that results equal it bit for bit


@dataclass(frozen=True)
class WarpSpec:
    """How one raster is brought onto a target grid."""

    method: str
    """Resampling method as configurations name it."""
    dtype: str = "Float32"
    """GDAL pixel type of the result."""
    source_nodata: float | None = 0.0
    """Source value that does not take part; None lets every value take part."""
    fill: float = 0.0
    """Value of target pixels without source, and the nodata value when source_nodata is given."""
    max_error: float = _MAX_ERROR_PX
    """Largest error of target positions in source pixels when reprojecting; 0 computes every pixel exactly."""
    scale_xy: tuple[float, float] | None = None
    """Target pixels along a source pixel, by which kernels of ``bilinear`` and ``cubic`` widen; None lets GDAL take
    that of each piece that it works on, which differs between pieces where grids are not parallel."""
    band_names: tuple[str, ...] = ("",)
    """Descriptions of the bands, one for each band of the source."""


def warped_vrt(source: RasterInfo, target: Grid, spec: WarpSpec, *, vrt_dir: Path | None = None) -> str:
    """Declare a source raster on a target grid.

    Overviews are never used (``SrcOvrLevel`` NONE): GDAL would otherwise average a JPEG 2000 wavelet
    overview when it downsamples, which is off by hundreds of DN.

    Parameters
    ----------
    source : RasterInfo
        Raster of as many bands as ``spec`` names, or VRT text in its ``path``.
    target : Grid
        Grid of the result.
    spec : WarpSpec
        Method, type, nodata.
    vrt_dir : Path, optional
        Directory where the text will be stored; source paths become relative to it.

    Returns
    -------
    str
        A VRTDataset.
    """
    bands, mappings = _band_elements(spec)
    scale = ""
    if spec.scale_xy is not None and spec.method in SCALED_METHODS:
        scale = "".join(
            f'\n    <Option name="{axis}SCALE">{value:.17g}</Option>'
            for axis, value in zip("XY", spec.scale_xy, strict=True)
        )
    return f"""<VRTDataset rasterXSize="{target.width}" rasterYSize="{
        target.height
    }" subClass="VRTWarpedDataset">
  {_srs(target)}
  <GeoTransform>{_numbers(target.geotransform)}</GeoTransform>{bands}
  <BlockXSize>{WARP_BLOCK_YX[1]}</BlockXSize>
  <BlockYSize>{WARP_BLOCK_YX[0]}</BlockYSize>
  <SrcOvrLevel>NONE</SrcOvrLevel>
  <GDALWarpOptions>
    <WarpMemoryLimit>67108864</WarpMemoryLimit>
    <ResampleAlg>{_ALGORITHMS[spec.method]}</ResampleAlg>
    <WorkingDataType>{spec.dtype}</WorkingDataType>
    <Option name="INIT_DEST">{spec.fill:g}</Option>
    <Option name="ERROR_OUT_IF_EMPTY_SOURCE_WINDOW">FALSE</Option>{scale}
    {_source_element("SourceDataset", source.path, vrt_dir)}
    <Transformer>
      <ApproxTransformer>
        <MaxError>{spec.max_error:g}</MaxError>
        <BaseTransformer>
{_transformer(source.grid, target)}
        </BaseTransformer>
      </ApproxTransformer>
    </Transformer>
    <BandList>{mappings}
    </BandList>
  </GDALWarpOptions>
</VRTDataset>
"""


def validity_vrt(source: RasterInfo) -> RasterInfo:
    """Declare the validity of a raster: 1 where its DN is not 0, else 0, on its own grid.

    Returns
    -------
    RasterInfo
        Whose ``path`` is the VRT text itself.
    """
    return lut_vrt(source, ((0, 0), (1, 1), (65535, 1)), "Float32")


def lut_vrt(source: RasterInfo, table: Sequence[tuple[int, int]], dtype: str) -> RasterInfo:
    """Declare a raster of other values on the source's own grid; values between entries are interpolated.

    Parameters
    ----------
    source : RasterInfo
        Single-band raster.
    table : sequence of (int, int)
        Source value and new value, rising.
    dtype : str
        GDAL pixel type of the result.

    Returns
    -------
    RasterInfo
        Whose ``path`` is the VRT text itself.
    """
    grid = source.grid
    lut = ",".join(f"{value}:{new}" for value, new in table)
    text = f"""<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">
  {_srs(grid)}
  <GeoTransform>{_numbers(grid.geotransform)}</GeoTransform>
  <VRTRasterBand dataType="{dtype}" band="1">
    <ComplexSource>
      {_source_element("SourceFilename", source.path, None)}
      <SourceBand>1</SourceBand>
      <LUT>{lut}</LUT>
    </ComplexSource>
  </VRTRasterBand>
</VRTDataset>
"""
    return RasterInfo(text, grid, dtype, source.block_yx, formats=source.formats)


@dataclass(frozen=True)
class StackBand:
    """One band of a stack: its name and the raster, already on the target grid, that holds it."""

    name: str
    """Band description."""
    path: str
    """Raster or VRT file on the reference grid."""


def stack_vrt(bands: Sequence[StackBand], target: TargetGrid, vrt_dir: Path) -> str:
    """Declare rasters of one grid, or the same window of all, as the bands of one raster that opens in QGIS.

    Parameters
    ----------
    bands : sequence of StackBand
        Bands in order.
    target : TargetGrid
        Grid that all of them share, and its part that the raster covers.
    vrt_dir : Path
        Directory where the text will be stored; paths become relative to it.
    """
    grid, window = target.grid, target.window
    head = f"""<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">
  {_srs(grid)}
  <GeoTransform>{_numbers(grid.geotransform)}</GeoTransform>
"""
    size = f'xSize="{grid.width}" ySize="{grid.height}"'
    body = "".join(
        f"""  <VRTRasterBand dataType="Float32" band="{number}">
    <Description>{escape(band.name)}</Description>
    <NoDataValue>0</NoDataValue>
    <SimpleSource>
      {_source_element("SourceFilename", band.path, vrt_dir)}
      <SourceBand>1</SourceBand>
      <SrcRect xOff="{window.col}" yOff="{window.row}" {size}/>
      <DstRect xOff="0" yOff="0" {size}/>
    </SimpleSource>
  </VRTRasterBand>
"""
        for number, band in enumerate(bands, 1)
    )
    return f"{head}{body}</VRTDataset>\n"


def _source_element(tag: str, path: str, vrt_dir: Path | None) -> str:
    relative = 0
    if vrt_dir is not None and not path.startswith(("<", "/vsi")):
        try:
            path, relative = _portable_path(path, vrt_dir)
        except ValueError:  # Windows: another drive has no relative path
            path = os.path.abspath(path)  # noqa: PTH100 - GDAL stores the path that was given, links and all
    return f'<{tag} relativeToVRT="{relative}">{escape(path)}</{tag}>'


def _portable_path(path: str, vrt_dir: Path) -> tuple[str, int]:
    """Relative path and 1, or the absolute path and 0 where ``..`` would cross a symbolic link.

    GDAL drops ``..`` from the text, the system follows the link: only one of them would find the file.
    """
    relative = os.path.relpath(path, vrt_dir)
    reached = os.path.realpath(vrt_dir.resolve() / relative)
    if reached != os.path.realpath(path):
        return os.path.abspath(path), 0  # noqa: PTH100 - as above
    return Path(relative).as_posix(), 1


def _srs(grid: Grid) -> str:
    if not grid.crs_wkt:
        return "<SRS></SRS>"
    # Without a mapping of axes, x comes first whatever order the reference system defines.
    return f"<SRS>{escape(grid.crs_wkt)}</SRS>"


def _band_elements(spec: WarpSpec) -> tuple[str, str]:
    """Bands of a warped VRT, and how they map to those of its source."""
    nodata = ""
    mapping_nodata = ""
    if spec.source_nodata is not None:
        nodata = f"\n    <NoDataValue>{spec.fill:g}</NoDataValue>"
        mapping_nodata = f"""
        <SrcNoDataReal>{spec.source_nodata:g}</SrcNoDataReal>
        <SrcNoDataImag>0</SrcNoDataImag>
        <DstNoDataReal>{spec.fill:g}</DstNoDataReal>
        <DstNoDataImag>0</DstNoDataImag>"""
    bands = mappings = ""
    for number, name in enumerate(spec.band_names, 1):
        described = f"\n    <Description>{escape(name)}</Description>" if name else ""
        bands += f"""
  <VRTRasterBand dataType="{spec.dtype}" band="{number}" subClass="VRTWarpedRasterBand">{described}{nodata}
  </VRTRasterBand>"""
        mappings += f"""
      <BandMapping src="{number}" dst="{number}">{mapping_nodata}
      </BandMapping>"""
    return bands, mappings


def _transformer(source: Grid, target: Grid) -> str:
    """From pixels of the target to pixels of the source."""
    return f"""          <GenImgProjTransformer>
            <SrcGeoTransform>{_numbers(source.geotransform)}</SrcGeoTransform>
            <SrcInvGeoTransform>{_numbers(_inverse(source.geotransform))}</SrcInvGeoTransform>{
        _reprojection(source, target)
    }
            <DstGeoTransform>{_numbers(target.geotransform)}</DstGeoTransform>
            <DstInvGeoTransform>{_numbers(_inverse(target.geotransform))}</DstInvGeoTransform>
          </GenImgProjTransformer>"""


def _reprojection(source: Grid, target: Grid) -> str:
    if source.crs_wkt == target.crs_wkt:
        return ""
    return f"""
            <ReprojectTransformer>
              <ReprojectionTransformer>
                <SourceSRS>{escape(source.crs_wkt)}</SourceSRS>
                <TargetSRS>{escape(target.crs_wkt)}</TargetSRS>
              </ReprojectionTransformer>
            </ReprojectTransformer>"""


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:.17g}" for value in values)


def _inverse(transform: Sequence[float]) -> tuple[float, ...]:
    """Invert a geotransform: from CRS coordinates to pixel coordinates."""
    x0, dx, rx, y0, ry, dy = transform
    if rx == 0.0 and ry == 0.0:  # as GDAL does it, so that the numbers are the same to the last bit
        return (-x0 / dx, 1.0 / dx, 0.0, -y0 / dy, 0.0, 1.0 / dy)
    det = dx * dy - rx * ry
    return (
        (rx * y0 - x0 * dy) / det,
        dy / det,
        -rx / det,
        (-dx * y0 + x0 * ry) / det,
        -ry / det,
        dx / det,
    )
