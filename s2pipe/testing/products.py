"""What the service holds: SAFE directories with catalogue rows of the real shape, or rows alone."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_NAME = re.compile(r"(S2.)_MSI(L1C|L2A)_(\d{8}T\d{6})_N(\d{4})_R(\d{3})_T(\w{5})_(\d{8}T\d{6})")


@dataclass
class StoredProduct:
    """One product of the service."""

    row: dict[str, Any]
    """Its row in the catalogue, expanded."""
    root: Path | None = None
    """Its SAFE directory; None when it cannot be fetched."""
    overrides: dict[str, bytes] = field(default_factory=dict)
    """Contents that replace files, by path."""

    @property
    def id(self) -> str:
        """Identifier in the catalogue."""
        return str(self.row["Id"])

    @property
    def name(self) -> str:
        """Name with ``.SAFE``."""
        return str(self.row["Name"])


def stored(root: Path, **changes: Any) -> StoredProduct:
    """A product that is on disk; its footprint and clouds come from its own metadata."""
    from s2pipe.sentinel2.safe import read_product_info

    metadata = root / f"MTD_MSI{'L1C' if '_MSIL1C_' in root.name else 'L2A'}.xml"
    info = read_product_info(metadata)
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    fields: dict[str, Any] = {
        "cloud": info.cloud_cover,
        "footprint": info.geofootprint,
        "datastrip": info.datastrip_id,
        "size": size,
    }
    product = catalogue_only(root.name, **{**fields, **changes})
    product.root = root
    return product


def catalogue_only(
    name: str,
    *,
    cloud: float | None = 20.0,
    footprint: Any = None,
    datastrip: str | None = None,
    size: int = 1000,
    online: bool = True,
    delay: timedelta = timedelta(milliseconds=24),
) -> StoredProduct:
    """A row of the catalogue."""
    match = _NAME.match(name)
    assert match is not None, name
    _, level, start, _, _, _, made = match.groups()
    time = datetime.strptime(start, "%Y%m%dT%H%M%S").replace(tzinfo=UTC) + delay
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
    processed = (
        datetime.strptime(made, "%Y%m%dT%H%M%S").replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    )
    attributes = _attributes(match, datastrip, cloud, (stamp, processed))
    key = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
    day = f"{time:%Y/%m/%d}"
    s3 = f"/eodata/Sentinel-2/MSI/{level}/{day}/{name}"
    sums = [
        ("MD5", hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()),
        ("BLAKE3", hashlib.sha256(name.encode()).hexdigest()),
    ]
    row: dict[str, Any] = {
        "@odata.mediaContentType": "application/octet-stream",
        "Id": key,
        "Name": name,
        "ContentType": "application/octet-stream",
        "ContentLength": size,
        "OriginDate": processed,
        "PublicationDate": processed,
        "ModificationDate": processed,
        "Online": online,
        "EvictionDate": "9999-12-31T23:59:59.999999Z",
        "S3Path": s3,
        "Checksum": [{"Value": v, "Algorithm": a, "ChecksumDate": processed} for a, v in sums],
        "ContentDate": {"Start": stamp, "End": stamp},
        "Footprint": None if footprint is None else _ewkt(footprint),
        "GeoFootprint": footprint,
        "Attributes": attributes,
        "Assets": [],
    }
    return StoredProduct(row)


def _attributes(
    match: re.Match[str], datastrip: str | None, cloud: float | None, times: tuple[str, str]
) -> list[dict[str, Any]]:
    """Attributes of a product whose name matched; times are those of sensing and of processing."""
    satellite, level, start, baseline, orbit, tile, made = match.groups()
    stamp, processed = times
    code = f"{baseline[:2]}.{baseline[2:]}"
    strip = datastrip or f"{satellite}_OPER_MSI_{level}_DS_2APS_{made}_S{start}_N{code}"
    strings = {
        "origin": "ESA",
        "tileId": tile,
        "datastripId": strip,
        "productGroupId": f"G{satellite}_{start}_026783_N{code}",
        "operationalMode": "INS-NOBS",
        "processingLevel": f"S2MSI{level[1:]}",
        "processorVersion": code,
        "platformShortName": "SENTINEL-2",
        "instrumentShortName": "MSI",
        "platformSerialIdentifier": satellite[2],
        "productType": f"S2MSI{level[1:]}",
    }
    attributes = [_attribute("String", key, value) for key, value in strings.items()]
    if cloud is not None:
        attributes.append(_attribute("Double", "cloudCover", cloud))
    return [
        *attributes,
        _attribute("Integer", "orbitNumber", 26783),
        _attribute("Integer", "relativeOrbitNumber", int(orbit)),
        _attribute("DateTimeOffset", "processingDate", processed),
        _attribute("DateTimeOffset", "beginningDateTime", stamp),
        _attribute("DateTimeOffset", "endingDateTime", stamp),
    ]


def _attribute(kind: str, name: str, value: Any) -> dict[str, Any]:
    return {"@odata.type": f"#OData.CSC.{kind}Attribute", "Name": name, "Value": value, "ValueType": kind}


def _ewkt(footprint: Any) -> str:
    parts = [footprint["coordinates"]] if footprint["type"] == "Polygon" else footprint["coordinates"]
    rings = [", ".join(f"{point[0]} {point[1]}" for point in part[0]) for part in parts]
    if footprint["type"] == "Polygon":
        return f"geography'SRID=4326;POLYGON (({rings[0]}))'"
    return "geography'SRID=4326;MULTIPOLYGON (" + ", ".join(f"(({ring}))" for ring in rings) + ")'"
