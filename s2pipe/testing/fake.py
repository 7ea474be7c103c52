"""Products of random bytes in the real layout, quick to make: for tests that never decode a pixel."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

from s2pipe.sentinel2.bands import BAND_NAMES

if TYPE_CHECKING:
    from pathlib import Path

JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
L1C = "S2A_MSIL1C_20251210T100319_N0511_R122_T33UWQ_20251210T130336.SAFE"
L2A = "S2A_MSIL2A_20251210T100319_N0511_R122_T33UWQ_20251210T150336.SAFE"
SQUARE = {
    "type": "Polygon",
    "coordinates": [
        [[15.0, 48.65], [16.49, 48.64], [16.46, 47.65], [15.0, 47.66], [15.0, 48.65]],
    ],
}


def make_safe(
    parent: Path,
    name: str = L1C,
    *,
    size: int = 4096,
    bands: tuple[str, ...] = BAND_NAMES,
    algorithm: str = "SHA3-256",
    seed: int = 0,
) -> Path:
    """Write a SAFE directory whose rasters are ``size`` random bytes behind a JPEG 2000 signature."""
    level, tile, start, baseline = name[7:10], name[38:44], name[11:26], name[28:32]
    chance = random.Random(f"{name}{seed}")  # noqa: S311 - made-up pixels
    granule = f"GRANULE/{level}_{tile}_A045678_{start}"
    files: dict[str, bytes] = {}

    def raster(path: str) -> None:
        files[f"{granule}/{path}"] = JP2 + chance.randbytes(size)

    for band in bands if level == "L1C" else ():
        raster(f"IMG_DATA/{tile}_{start}_{band}.jp2")
        raster(f"QI_DATA/MSK_DETFOO_{band}.jp2")
        raster(f"QI_DATA/MSK_QUALIT_{band}.jp2")
    if level == "L1C":
        raster("QI_DATA/MSK_CLASSI_B00.jp2")
    else:
        for layer in ("SCL", "AOT", "WVP", "B04", "B8A"):
            raster(f"IMG_DATA/R20m/{tile}_{start}_{layer}_20m.jp2")
        raster(f"IMG_DATA/R10m/{tile}_{start}_B04_10m.jp2")
        raster("QI_DATA/MSK_CLDPRB_20m.jp2")
        raster("QI_DATA/MSK_SNWPRB_20m.jp2")
    root_name = f"Level-{level[1:]}_User_Product"
    classes = "<VEGETATION_PERCENTAGE>12.5</VEGETATION_PERCENTAGE>" if level == "L2A" else ""
    files[f"MTD_MSI{level}.xml"] = (
        f'<n1:{root_name} xmlns:n1="urn:x"><n1:General_Info><Product_Info><PRODUCT_URI>{name}</PRODUCT_URI>'
        f"<PROCESSING_BASELINE>{baseline[:2]}.{baseline[2:]}</PROCESSING_BASELINE></Product_Info></n1:General_Info>"
        "<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>20.0</Cloud_Coverage_Assessment>"
        f"<Image_Content_QI>{classes}</Image_Content_QI></n1:Quality_Indicators_Info></n1:{root_name}>"
    ).encode()
    files[f"{granule}/MTD_TL.xml"] = b"<?xml version='1.0'?><tile>" + b" " * 300 + b"</tile>"
    files["INSPIRE.xml"] = b"<inspire/>"
    root = parent / name
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "manifest.safe").write_bytes(manifest_of(files, algorithm))
    return root


def manifest_of(files: dict[str, bytes], algorithm: str = "SHA3-256") -> bytes:
    """``manifest.safe`` of some files; like real ones it mixes the case of its checksums."""
    objects = []
    for number, (path, content) in enumerate(files.items()):
        digest = hashlib.new(algorithm.lower().replace("-", "_"), content).hexdigest()
        objects.append(
            f'<dataObject><byteStream size="{len(content)}"><fileLocation href="./{path}"/><checksum '
            f'checksumName="{algorithm}">{digest.upper() if number % 2 else digest}</checksum></byteStream>'
            "</dataObject>"
        )
    return f'<x:XFDU xmlns:x="y"><dataObjectSection>{"".join(objects)}</dataObjectSection></x:XFDU>'.encode()
