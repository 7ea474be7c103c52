"""Products and files: the records that the Step-1 index is made of.

They keep the shape that earlier users' files have; keys that s2pipe does not know survive loading and saving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

from s2pipe.dataset.stored_raster import GEOMETRY_KEYS, RASTER_KEY, StoredRaster


@dataclass(frozen=True)
class Product:
    """One product of a scene."""

    product_id: str | None = None
    """Identifier in the catalogue; None for products found on disk."""
    product_name: str | None = None
    """Name with ``.SAFE``."""
    baseline: str | None = None
    """Processing baseline as names spell it, ``N0511``."""
    rel_orbit: str | int | None = None
    """Relative orbit as names spell it, ``R122``."""
    cloud_cover: float | None = None
    """Cloudy pixels, percent."""
    geofootprint: Mapping[str, Any] | None = None
    """Footprint as a GeoJSON geometry in degrees."""
    coverage_ratio: float | None = None
    """Part of the tile that the footprint covers, 0 to 1."""
    scl_percentages: Mapping[str, float] | None = None
    """L2A: percentages of the scene classification by element name (``VEGETATION_PERCENTAGE``)."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Keys that s2pipe does not know, kept."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Product:
        """Make a product from its (valid) JSON form."""
        known = {key: document.get(key) for key in PRODUCT_KEYS}
        return cls(**known, extra=extra_keys(document, PRODUCT_KEYS))

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**{key: getattr(self, key) for key in PRODUCT_KEYS}, **self.extra}


PRODUCT_KEYS = (
    "product_id",
    "product_name",
    "baseline",
    "rel_orbit",
    "cloud_cover",
    "geofootprint",
    "coverage_ratio",
    "scl_percentages",
)


@dataclass(frozen=True)
class Checksum:
    """A file's checksum."""

    algorithm: str
    """Name as SAFE manifests spell it: ``MD5``, ``SHA3-256``."""
    value: str
    """Lower-case hexadecimal digits."""


@dataclass(frozen=True)
class Asset:
    """One file of a scene."""

    role: str
    """Role, see :mod:`s2pipe.sentinel2.roles`."""
    path: str
    """Path relative to the dataset's root, forward slashes (for a member, that of its archive); or the address of a
    file in object storage or on a web server."""
    planned: bool = False
    """Known to the product, but not on disk."""
    present: bool = True
    """On disk when the index was written."""
    size: int | None = None
    """Size in bytes (of the member, not of its archive); None when unknown."""
    checksum: Checksum | None = None
    """Checksum of the raw bytes; None when unknown."""
    product_path: str | None = None
    """Path inside the product; None when unknown."""
    member: str | None = None
    """Path inside the zip archive at ``path``; None for a plain file."""
    etag: str | None = None
    """Entity tag of a file at an address; None when unknown, and for a file on disk."""
    raster: StoredRaster | None = None
    """Header of a raster; None for other files, and where it is unknown."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Keys that s2pipe does not know, kept."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Asset:
        """Make an asset from its (valid) JSON form; back slashes of Windows become slashes."""
        checksum = document.get("checksum")
        raster = StoredRaster.from_document(document)
        return cls(
            role=document["role"],
            path=document["path"].replace("\\", "/"),
            planned=bool(document.get("planned")),
            present=document.get("present") is not False,
            size=document.get("size"),
            checksum=Checksum(checksum["algorithm"], checksum["value"].lower()) if checksum else None,
            product_path=document.get("product_path"),
            member=document.get("member"),
            etag=document.get("etag"),
            raster=raster,
            extra=extra_keys(document, _ASSET_KEYS if raster is None else (*_ASSET_KEYS, *_RASTER_KEYS)),
        )

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form; unknown size, checksum and paths inside the product are left out."""
        document: dict[str, Any] = {
            "role": self.role,
            "path": self.path,
            "planned": self.planned,
            "present": self.present,
        }
        if self.size is not None:
            document["size"] = self.size
        if self.checksum is not None:
            document["checksum"] = {"algorithm": self.checksum.algorithm, "value": self.checksum.value}
        if self.product_path is not None:
            document["product_path"] = self.product_path
        if self.member is not None:
            document["member"] = self.member
        if self.etag is not None:
            document["etag"] = self.etag
        if self.raster is not None:
            document |= self.raster.to_document()
        return {**document, **self.extra}

    @property
    def is_remote(self) -> bool:
        """Tell whether it lies at an address, not on disk."""
        return "://" in self.path

    @property
    def is_absolute(self) -> bool:
        """Tell whether the path leaves the dataset's root as an absolute one, on POSIX or on Windows."""
        windows = PureWindowsPath(self.path)
        return self.path.startswith("/") or bool(windows.drive and windows.root)

    def display(self, root: Path) -> str:
        """Name the file in messages."""
        path = self.path if self.is_absolute or self.is_remote else str(root / self.path)
        return path if self.member is None else f"{path}!{self.member}"


_ASSET_KEYS = ("role", "path", "planned", "present", "size", "checksum", "product_path", "member", "etag")
_RASTER_KEYS = (*GEOMETRY_KEYS, RASTER_KEY)


@dataclass(frozen=True)
class AssetGroup:
    """The files of one product of a scene."""

    root_dir: str = ""
    """Directory of the files relative to the dataset's root; for information."""
    items: tuple[Asset, ...] = ()
    """The files, at most one a role."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Keys that s2pipe does not know, kept."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> AssetGroup:
        """Make a group from its (valid) JSON form."""
        items = tuple(Asset.from_document(item) for item in document["items"])
        return cls(document.get("root_dir") or "", items, extra_keys(document, ("root_dir", "items")))

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        items = [item.to_document() for item in self.items]
        return {"root_dir": self.root_dir, "items": items, **self.extra}

    def asset(self, role: str) -> Asset | None:
        """Return the file with a role, or None."""
        return next((item for item in self.items if item.role == role), None)


def extra_keys(document: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """Return the part of a document that s2pipe does not know."""
    return {key: value for key, value in document.items() if key not in known}
