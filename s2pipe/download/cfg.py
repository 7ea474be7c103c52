"""Configuration of Step 1 (``download``). The text under a field feeds ``--help``, the schema and the docs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from s2pipe.config.fields import Rule
from s2pipe.dataset.scene_choice import SceneChoice, choice_faults
from s2pipe.errors import ConfigError, Fault
from s2pipe.runtime.paths import path_fault
from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.bands import BAND_NAMES, L2A_BANDS_BY_RESOLUTION, BandName
from s2pipe.sentinel2.channels import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping

_TILE = "^T?[0-9]{2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V]$"
_PERCENT = Rule({"minimum": 0.0, "maximum": 100.0})
_L2A_RASTERS = [f"{band}_{res}m" for res, bands in L2A_BANDS_BY_RESOLUTION.items() for band in bands]
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?P<time>T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]00:00)?)?", re.ASCII)


@dataclass(frozen=True)
class QueryConfig:
    """What to search for."""

    date_from_utc: str
    """First sensing time, UTC: 2025-12-01T00:00:00.000Z, or a day, 2025-12-01."""
    date_to_utc: str
    """End of the sensing times, UTC, not included; a day without a time is included to its end."""
    tile_id: Annotated[str | None, Rule({"pattern": _TILE})] = None
    """MGRS tile, 33UWQ or T33UWQ; null when tile_ids or geometry say where."""
    tile_ids: Annotated[tuple[str, ...], Rule({"items": {"type": "string", "pattern": _TILE}})] = ()
    """More MGRS tiles."""
    geometry: str | None = None
    """Area that products must touch, as preprocess.aoi: a GeoJSON, GeoPackage (FILE.gpkg|layername=NAME where it has
    several layers) or .wkt file, WKT (POLYGON, MULTIPOLYGON, POINT), or left,bottom,right,top. With tiles, both must
    hold."""
    geometry_crs: str | None = None
    """Reference system of the coordinates of geometry, such as EPSG:32633; null takes the one that they state, else
    longitude and latitude (EPSG:4326)."""
    cloud_min: Annotated[float | None, _PERCENT] = None
    """Least cloud cover of the L1C product, percent; null sets no limit."""
    cloud_max: Annotated[float | None, _PERCENT] = None
    """Greatest cloud cover of the L1C product, percent; null sets no limit."""
    min_coverage_ratio: Annotated[float, Rule({"minimum": 0.0, "maximum": 1.0})] = 0.0
    """Least part of the tile that a product's footprint covers, 0 to 1."""
    top: Annotated[int, Rule({"minimum": 1, "maximum": 1000})] = 100
    """Products that the catalogue lists on one page; all pages are read."""


@dataclass(frozen=True)
class SelectionConfig:
    """Which files of a scene to fetch."""

    l1c_bands: Annotated[tuple[BandName, ...], Rule({"uniqueItems": True})] = BAND_NAMES  # type: ignore[assignment]
    """L1C bands."""
    l1c_product_metadata: bool = True
    """L1C product metadata: offsets and quantification value, needed for reflectance."""
    l1c_tile_metadata: bool = True
    """L1C tile metadata: sun and view angles."""
    l1c_manifest: bool = True
    """manifest.safe of the L1C product (read for the plan in any case)."""
    l1c_detector_footprint: bool = True
    """Detector footprints of the selected L1C bands, needed for exact view angles."""
    l1c_quality: bool = False
    """Quality masks of the selected L1C bands (baseline 04.00 and later)."""
    l1c_classification: bool = False
    """Cloud and snow classification of the L1C product (baseline 04.00 and later)."""
    l2a: bool = True
    """Pair every L1C product with its L2A twin, and pass over those that have none; false fetches L1C alone."""
    l2a_scl_20m: bool = True
    """L2A scene classification, the source of labels."""
    l2a_aot_20m: bool = False
    """L2A aerosol optical thickness."""
    l2a_wvp_20m: bool = False
    """L2A water vapour."""
    l2a_bands: Annotated[tuple[str, ...], Rule({"items": {"enum": _L2A_RASTERS}, "uniqueItems": True})] = ()
    """L2A surface reflectance rasters, such as B04_10m or B8A_20m."""
    l2a_product_metadata: bool = True
    """L2A product metadata."""
    l2a_tile_metadata: bool = True
    """L2A tile metadata."""
    l2a_manifest: bool = True
    """manifest.safe of the L2A product (read for the plan in any case)."""
    l2a_cloud_probability_20m: bool = False
    """L2A cloud probability."""
    l2a_snow_probability_20m: bool = False
    """L2A snow probability."""
    other_halves: bool = False
    """Fetch all products of an acquisition that was cut in two, not the larger alone: mosaics (preprocess.group_by) are
    made of them."""
    l2a_detector_footprint: bool = False
    """Detector footprints of the bands of l2a_bands, as the L2A product holds them; for view angles where those of
    L1C are not fetched."""

    def roles_l1c(self) -> tuple[str, ...]:
        """Roles wanted of an L1C product."""
        per_band = [roles.l1c_band(band) for band in self.l1c_bands]
        if self.l1c_detector_footprint:
            per_band += [roles.l1c_detector_footprint(band) for band in self.l1c_bands]
        if self.l1c_quality:
            per_band += [roles.l1c_quality(band) for band in self.l1c_bands]
        single = {
            roles.L1C_PRODUCT_METADATA: self.l1c_product_metadata,
            roles.L1C_TILE_METADATA: self.l1c_tile_metadata,
            roles.L1C_MANIFEST: self.l1c_manifest,
            roles.L1C_CLASSIFICATION: self.l1c_classification,
        }
        return (*per_band, *(role for role, wanted in single.items() if wanted))

    def roles_l2a(self) -> tuple[str, ...]:
        """Roles wanted of an L2A product; none when no L2A raster or metadata is selected."""
        single = {
            roles.L2A_SCL: self.l2a_scl_20m,
            roles.L2A_AOT: self.l2a_aot_20m,
            roles.L2A_WVP: self.l2a_wvp_20m,
            roles.L2A_PRODUCT_METADATA: self.l2a_product_metadata,
            roles.L2A_TILE_METADATA: self.l2a_tile_metadata,
            roles.L2A_MANIFEST: self.l2a_manifest,
            roles.L2A_CLOUD_PROBABILITY: self.l2a_cloud_probability_20m,
            roles.L2A_SNOW_PROBABILITY: self.l2a_snow_probability_20m,
        }
        wanted = [role for role, is_wanted in single.items() if is_wanted]
        wanted += [Channel.parse(f"l2a.{raster}").raster_role for raster in self.l2a_bands]
        if self.l2a_detector_footprint:
            bands = dict.fromkeys(Channel.parse(f"l2a.{raster}").band for raster in self.l2a_bands)
            wanted += [roles.l2a_detector_footprint(band) for band in bands]
        return tuple(wanted) if self.l2a else ()


@dataclass(frozen=True)
class NodesIndexConfig:
    """How the files of a product are found out."""

    mode: Literal["auto", "manifest", "walk"] = "auto"
    """manifest: one request for manifest.safe, which has sizes and checksums; walk: list the product's
    directories, without checksums; auto: manifest, and walk where that is missing or damaged."""
    cache: bool = True
    """Keep each manifest.safe in meta/step1/products, so that another run need not ask for it."""


@dataclass(frozen=True)
class RetryConfig:
    """How often and after which delay a failed request is repeated."""

    max_attempts: Annotated[int, Rule({"minimum": 1, "maximum": 100})] = 6
    """Attempts without progress before a request is given up."""
    base_delay_s: Annotated[float, Rule({"minimum": 0.0})] = 2.0
    """Delay before the first repetition, seconds; it doubles each time."""
    max_delay_s: Annotated[float, Rule({"minimum": 0.0})] = 240.0
    """Longest delay, seconds; a server's Retry-After beyond it is cut to it."""


@dataclass(frozen=True)
class EndpointsConfig:
    """Hosts of the service, each as scheme, host and port."""

    catalogue: str | None = None
    """Search; null takes the variable S2PIPE_CATALOGUE_URL, else https://catalogue.dataspace.copernicus.eu."""
    download: str | None = None
    """Files; null takes the variable S2PIPE_DOWNLOAD_URL, else https://download.dataspace.copernicus.eu."""
    identity: str | None = None
    """Login; null takes the variable S2PIPE_IDENTITY_URL, else https://identity.dataspace.copernicus.eu."""


@dataclass(frozen=True)
class DownloadConfig:
    """Where files go and how they are transferred."""

    out_dir: Path
    """Root of the dataset."""
    dry_run: bool = False
    """Resolve the plan and write the manifests, but fetch no file; needs no login."""
    link: bool = False
    """Fetch nothing: write an index of addresses in the service's object storage (s3://eodata/...), where preprocess
    reads the files if remote.allow lists the place. Needs no login; with credentials of object storage in the
    environment manifest.safe is read there, for checksums."""
    overwrite: bool = False
    """Fetch files again that are there already."""
    verify: bool = False
    """First check every file of the index against its size and checksum; damaged ones are set aside."""
    concurrency: Annotated[int, Rule({"minimum": 1, "maximum": 4})] = 4
    """Connections at a time; the service allows 4."""
    chunk_size: Annotated[int, Rule({"minimum": 4096, "maximum": 67108864})] = 262144
    """Bytes read and written at a time."""
    connect_timeout_s: Annotated[float, Rule({"exclusiveMinimum": 0.0})] = 15.0
    """Longest time to connect, seconds."""
    read_timeout_s: Annotated[float, Rule({"exclusiveMinimum": 0.0})] = 60.0
    """Longest silence of a connection, seconds."""
    retry: RetryConfig = field(default_factory=RetryConfig)
    """Repetition of failed requests."""
    endpoints: EndpointsConfig = field(default_factory=EndpointsConfig)
    """Hosts of the service."""


@dataclass(frozen=True, init=False)
class RunControlConfig:
    """Limits and the name of a run."""

    max_scenes: Annotated[int | None, Rule({"minimum": 1})] = None
    """Fetch only the first scenes found (ordered by tile and time); null takes all."""
    run_id: Annotated[str | None, Rule({"pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$"})] = None
    """Name of the run's record in meta/step1/runs; null makes one from the time."""

    def __init__(
        self, max_scenes: int | None = None, run_id: str | None = None, *, max_pairs: int | None = None
    ) -> None:
        """Take ``max_pairs`` as another name of ``max_scenes``."""
        if max_pairs is not None and max_scenes is not None and max_pairs != max_scenes:
            message = f"is another name of max_scenes: got {max_pairs} and {max_scenes}; give one"
            msg = "RunControlConfig"
            raise ConfigError(msg, [Fault("max_pairs", message)])
        object.__setattr__(self, "max_scenes", max_scenes if max_pairs is None else max_pairs)
        object.__setattr__(self, "run_id", run_id)

    @property
    def max_pairs(self) -> int | None:
        """Another name of ``max_scenes``."""
        return self.max_scenes


@dataclass(frozen=True)
class ManifestConfig:
    """Which manifests and tables are written."""

    index_name: Annotated[str, Rule({"pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}[.]json$"})] = "index.json"
    """File name of the Step-1 manifest in meta/step1."""
    write_csv: bool = False
    """Write a table of the run's scenes, one column per role, beside its manifest (table.csv)."""
    write_xlsx: bool = False
    """The same as table.xlsx; needs the extra s2pipe[tables]."""


@dataclass(frozen=True)
class PipelineConfig:
    """Step 1: search, pair, fetch and verify Sentinel-2 products of the Copernicus Data Space Ecosystem."""

    query: QueryConfig
    """What to search for."""
    download: DownloadConfig
    """Where files go and how they are transferred."""
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    """Which files of a scene to fetch."""
    nodes_index: NodesIndexConfig = field(default_factory=NodesIndexConfig)
    """How the files of a product are found out."""
    control: RunControlConfig = field(default_factory=RunControlConfig)
    """Limits and the name of a run."""
    manifest: ManifestConfig = field(default_factory=ManifestConfig)
    """Which manifests and tables are written."""
    only: SceneChoice = field(default_factory=SceneChoice)
    """Scenes of the query that this run fetches."""


@dataclass(frozen=True)
class Endpoints:
    """The hosts of one run, each ``scheme://host[:port]``."""

    catalogue: str
    """Search."""
    download: str
    """Files."""
    identity: str
    """Login."""


_HOSTS = {name: f"https://{name}.dataspace.copernicus.eu" for name in ("catalogue", "download", "identity")}


def resolve_endpoints(config: EndpointsConfig, environ: Mapping[str, str] = os.environ) -> Endpoints:
    """Return the hosts to use: the configuration's, else the environment's, else the service's own.

    Raises
    ------
    ConfigError
        A URL is not of the form ``scheme://host[:port]``.
    """
    found, faults = {}, []
    for name, default in _HOSTS.items():
        variable = f"S2PIPE_{name.upper()}_URL"
        given = getattr(config, name)
        where = f"download.download.endpoints.{name}" if given else variable
        url = (given or environ.get(variable) or default).rstrip("/")
        if not _is_origin(url):
            faults.append(Fault(where, "expected scheme, host and port only, such as https://host:8443"))
        found[name] = url
    if faults:
        msg = "service hosts"
        raise ConfigError(msg, faults)
    return Endpoints(**found)


def _is_origin(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    rest = (parts.path, parts.query, parts.fragment, parts.username or "", parts.password or "")
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not any(rest)


def tiles_of(query: QueryConfig) -> tuple[str, ...]:
    """Tiles of a query with their ``T``, each once, in the order given."""
    given = ((query.tile_id,) if query.tile_id else ()) + query.tile_ids
    return tuple(dict.fromkeys(f"T{tile[-5:]}" for tile in given))


def parse_utc(text: str, *, is_end: bool = False) -> datetime | None:
    """Read a time, or a day (as an end: to its last moment); None when it is neither."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        time = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).replace(tzinfo=UTC)
    except ValueError:
        return None
    return time + timedelta(days=1) if is_end and match["time"] is None else time


def rule_faults(config: PipelineConfig) -> list[Fault]:
    """Return the faults of a configuration that its JSON Schema cannot express."""
    query = config.query
    names = {"control.run_id": config.control.run_id, "manifest.index_name": config.manifest.index_name}
    faults = [
        Fault(key, f"{name!r} {fault}; choose another name")
        for key, name in names.items()
        if name is not None and (fault := path_fault(name)) is not None
    ]
    faults += choice_faults(config.only)
    for name in ("dry_run", "verify", "overwrite"):
        if config.download.link and getattr(config.download, name):
            faults.append(
                Fault(f"download.{name}", "expected false with download.link: no file is fetched then")
            )
    start, end = parse_utc(query.date_from_utc), parse_utc(query.date_to_utc, is_end=True)
    for name, value in (("date_from_utc", start), ("date_to_utc", end)):
        if value is None:
            form = "expected 2025-12-01 or 2025-12-01T00:00:00.000Z (UTC)"
            faults.append(Fault(f"query.{name}", f"{form}, got {getattr(query, name)!r}"))
    if start is not None and end is not None and start >= end:
        faults.append(
            Fault("query.date_to_utc", f"expected a time after date_from_utc {query.date_from_utc}")
        )
    if query.cloud_min is not None and query.cloud_max is not None and query.cloud_min > query.cloud_max:
        faults.append(Fault("query.cloud_max", f"expected cloud_min {query.cloud_min} or more"))
    if not tiles_of(query) and not query.geometry:
        faults.append(Fault("query.tile_id", "is missing: give tile_id, tile_ids or geometry"))
    if query.geometry_crs is not None and not query.geometry:
        faults.append(Fault("query.geometry_crs", "has no effect without geometry"))
    if not config.selection.roles_l1c():
        faults.append(Fault("selection", "selects nothing of the L1C products; select bands or metadata"))
    for name in _HOSTS:
        url = getattr(config.download.endpoints, name)
        if url is not None and not _is_origin(url.rstrip("/")):
            form = "expected scheme, host and port only, such as https://host:8443"
            faults.append(Fault(f"download.endpoints.{name}", form))
    return faults
