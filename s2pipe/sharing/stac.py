"""A static STAC catalogue of the samples of Step 2, below ``stac/`` of their output directory."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.dataset.proof import FileRecord
from s2pipe.errors import UsageError
from s2pipe.runtime.files import check_writable, json_bytes, sweep_directory, write_bytes_atomic
from s2pipe.runtime.locks import locked
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.runtime.paths import InsidePath
from s2pipe.sharing.collection import collection_document
from s2pipe.sharing.directions import Directions
from s2pipe.sharing.items import item_document
from s2pipe.sharing.items_parquet import require_pyarrow, write_items_parquet
from s2pipe.sharing.licence import check_license
from s2pipe.sharing.scenes import described, read_scenes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from s2pipe.sharing.scenes import SharedScene

log = logging.getLogger("s2pipe.stac")
DIRECTORY, COLLECTION, ITEMS, PARQUET = "stac", "collection.json", "items", "items.parquet"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_ITEM_NAME = re.compile(r"T[0-9]{2}[A-Z]{3}_[0-9]{8}T[0-9]{6}Z[.]json", re.ASCII)
"""Names of Items of any run; others are not ours to remove."""


@dataclass(frozen=True)
class StacOptions:
    """What a catalogue says of a dataset that its files do not."""

    id: str | None = None
    """Id of the Collection; None takes the name of the output directory."""
    title: str | None = None
    """Title of the Collection; None makes one of its tiles and dates."""
    license: str = "other"
    """SPDX identifier of the dataset's licence; ``other`` stands for the terms of Copernicus Sentinel data."""
    geoparquet: bool = True
    """Write all Items as one GeoParquet file too."""


@dataclass(frozen=True)
class StacResult(InNotebooks):
    """A catalogue that was written."""

    collection: Path
    """The Collection."""
    items: tuple[str, ...]
    """Ids of the Items."""
    parquet: Path | None
    """The Items as GeoParquet; None where it was not asked for."""

    def summary(self) -> dict[str, Any]:
        """Return the form for ``--json``."""
        return {
            "collection": str(self.collection),
            "items": list(self.items),
            "parquet": None if self.parquet is None else str(self.parquet),
        }


def write_stac(out_dir: Path | str, options: StacOptions | None = None) -> StacResult:
    """Write Collection and Items of all samples; the same samples give the same bytes.

    Parameters
    ----------
    out_dir : Path
        Output directory of Step 2.
    options : StacOptions, optional
        Id, title and licence.

    Returns
    -------
    StacResult
        What was written.

    Raises
    ------
    UsageError
        An option is of no use.
    MissingInputError, ManifestError
        The samples are not there, or not as they were written.
    DependencyError
        pyarrow is not installed, and GeoParquet is asked for.
    """
    root, options = Path(out_dir), options or StacOptions()
    about = _about(root, options)
    if options.geoparquet:
        require_pyarrow()
    scenes = read_scenes(root)
    directions = Directions()
    with described(root):
        items = [item_document(scene, about["id"], directions.fields(scene), "../..") for scene in scenes]
        for item in items:
            datetime.fromisoformat(item["properties"]["datetime"])
            datetime.fromisoformat(item["properties"]["created"])
    without_view = sum(not any(key.startswith("view:") for key in item["properties"]) for item in items)
    if without_view:
        log.info("%d scene(s) without view fields: the metadata of their tiles are not at hand", without_view)
    about = {"title": _title(scenes), **about}
    directory = InsidePath(root, f"{DIRECTORY}/{COLLECTION}").owned().parent
    check_writable(directory)
    with locked(directory / ".lock"):
        return _write(directory, scenes, items, about, geoparquet=options.geoparquet)


def _about(root: Path, options: StacOptions) -> dict[str, str]:
    identifier = options.id or re.sub(r"[^A-Za-z0-9._-]+", "-", root.resolve().name).strip("-._") or "s2pipe"
    if not _ID.fullmatch(identifier):
        msg = f"--id: expected letters, digits and . _ - (128 at most), got {identifier!r}"
        raise UsageError(msg)
    check_license(options.license)
    about = {"id": identifier, "license": options.license}
    return about if options.title is None else {**about, "title": options.title}


def _title(scenes: Sequence[SharedScene]) -> str:
    tiles = sorted({key.tile_id for scene in scenes for key in scene.keys})
    days = sorted(scene.sample.key.day for scene in scenes)
    where = ", ".join(tiles) if len(tiles) <= 3 else f"{len(tiles)} tiles"
    when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    return f"Sentinel-2 samples of {where}, {when}"


def _write(
    directory: Path,
    scenes: Sequence[SharedScene],
    items: Sequence[dict[str, Any]],
    about: Mapping[str, str],
    *,
    geoparquet: bool,
) -> StacResult:
    """Write Items, then the table of them, the Collection last; and remove Items of samples that are gone."""
    folder = InsidePath(directory, f"{ITEMS}/item.json").owned().parent
    folder.mkdir(exist_ok=True)
    for left in (directory, folder):
        sweep_directory(left)
    for item in items:
        write_bytes_atomic(folder / f"{item['id']}.json", json_bytes(item))
    parquet = directory / PARQUET
    record = None
    if geoparquet:
        collection = collection_document(about, scenes, items, None)
        write_items_parquet(parquet, [_beside_collection(item) for item in items], collection)
        record = FileRecord.of(parquet, PARQUET)
    else:
        parquet.unlink(missing_ok=True)
    target = directory / COLLECTION
    write_bytes_atomic(target, json_bytes(collection_document(about, scenes, items, record)))
    known = {f"{item['id']}.json" for item in items}
    for path in folder.iterdir():
        if path.name not in known and _ITEM_NAME.fullmatch(path.name):
            path.unlink()
    return StacResult(target, tuple(item["id"] for item in items), parquet if geoparquet else None)


def _beside_collection(item: dict[str, Any]) -> dict[str, Any]:
    """Return an Item with the paths that lead from the directory of the Collection."""
    assets = {
        key: {**asset, "href": asset["href"].removeprefix("../")} for key, asset in item["assets"].items()
    }
    links = [{**link, "href": "./collection.json"} for link in item["links"]]
    return {**item, "assets": assets, "links": links}
