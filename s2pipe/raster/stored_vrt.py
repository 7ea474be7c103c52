"""Warped VRTs that s2pipe stored beside a raster of its own, read back without following them anywhere else."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from s2pipe.errors import RasterError

_MAX_BYTES = 1 << 20
_ELEMENTS = frozenset(
    (
        *("VRTDataset", "SRS", "GeoTransform", "VRTRasterBand", "Description", "NoDataValue", "BlockXSize"),
        *(
            "BlockYSize",
            "SrcOvrLevel",
            "GDALWarpOptions",
            "WarpMemoryLimit",
            "ResampleAlg",
            "WorkingDataType",
        ),
        *("Option", "SourceDataset", "Transformer", "ApproxTransformer", "MaxError", "BaseTransformer"),
        *("GenImgProjTransformer", "SrcGeoTransform", "SrcInvGeoTransform", "DstGeoTransform"),
        *("DstInvGeoTransform", "ReprojectTransformer", "ReprojectionTransformer", "SourceSRS", "TargetSRS"),
        *("BandList", "BandMapping", "SrcNoDataReal", "SrcNoDataImag", "DstNoDataReal", "DstNoDataImag"),
    )
)
"""What :func:`s2pipe.raster.vrt.warped_vrt` writes."""


def load_stored_vrt(path: Path) -> tuple[str, Path]:
    """Read a warped VRT of one raster that lies beside it.

    Returns
    -------
    tuple of str and Path
        VRT text that names the raster by its whole path, and that raster.

    Raises
    ------
    RasterError
        The file cannot be read, or is another VRT than s2pipe writes: such could lead anywhere.
    """
    cure = "run the step that wrote it again"
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); {cure}"
        raise RasterError(msg) from error
    refusal = RasterError(f"{path}: is no VRT that s2pipe wrote for a raster beside it; {cure}")
    if len(data) > _MAX_BYTES or b"<!" in data:
        raise refusal
    try:
        root = ET.fromstring(data)  # noqa: S314 - small, and without a document type that could grow
    except (ET.ParseError, ValueError, LookupError) as error:
        raise refusal from error
    sources = list(root.iter("SourceDataset"))
    if not _ELEMENTS.issuperset(element.tag for element in root.iter()) or len(sources) != 1:
        raise refusal
    name = sources[0].text or ""
    if sources[0].get("relativeToVRT") != "1" or name != Path(name).name or name in ("", ".", ".."):
        raise refusal
    raster = path.absolute().parent / name
    sources[0].set("relativeToVRT", "0")
    # What GDAL is given is written anew from what was checked here, not the file's own text.
    here, there = (f">{escape(text)}</SourceDataset>" for text in (name, str(raster)))
    return ET.tostring(root, encoding="unicode").replace(here, there), raster
