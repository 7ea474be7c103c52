"""A dataset as Croissant metadata (https://docs.mlcommons.org/croissant), version 1.0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s2pipe.dataset.proof import FileRecord
from s2pipe.sharing.licence import license_urls
from s2pipe.sharing.scenes import INDEX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from s2pipe.sharing.contents import Contents, LabelBand, PatchSet

_CR = "http://mlcommons.org/croissant/"
_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet"),
    *("format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
    *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField"),
    "transform",
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": _CR,
    "rai": f"{_CR}RAI/",
    "dct": "http://purl.org/dc/terms/",
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
"""The terms of Croissant in JSON-LD."""
_DATABASE = "patches.parquet"
_COLUMNS = {
    "patch_id": "sc:Text",
    "tile_id": "sc:Text",
    "sensing_start_utc": "sc:Text",
    "row": "sc:Integer",
    "col": "sc:Integer",
    "cell_id": "sc:Text",
    "split": "sc:Text",
    "kept": "sc:Boolean",
    "shard": "sc:Text",
    "index_in_shard": "sc:Integer",
}
"""Columns of the patch database that every set has, and their types."""


def croissant_document(contents: Contents, about: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the metadata of a dataset.

    Parameters
    ----------
    contents : Contents
        The dataset.
    about : mapping
        ``name``, ``license``, ``url``, ``creator``, ``version`` and ``published``; None says nothing.
    """
    created = [scene.meta["created_utc"][:10] for scene in contents.scenes]
    distribution: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for patches in contents.sets:
        distribution += _set_files(patches)
        records += _set_records(patches)
    if contents.scenes:
        distribution += _sample_files(contents)
        records.append(_sample_records(contents))
    records += [
        record for number, band in enumerate(contents.labels) if (record := _class_records(band, number))
    ]
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": about["name"],
        "description": _description(contents),
        "conformsTo": f"{_CR}1.0",
        "license": license_urls(contents, about["license"] or "other"),
        "url": about["url"],
        "creator": None
        if about["creator"] is None
        else {"@type": "sc:Organization", "name": about["creator"]},
        "version": about["version"],
        "datePublished": about["published"] or (max(created) if created else None),
        "citeAs": "; ".join(contents.attribution),
        "keywords": ["Sentinel-2", "Copernicus", "Earth observation", "remote sensing"],
        "distribution": distribution,
        "recordSet": records,
    }
    return {key: value for key, value in document.items() if value not in (None, [])}


def _description(contents: Contents) -> str:
    parts = [f"Sentinel-2 data of {contents.period}"]
    parts += [
        f"{sum(split['samples'] for split in patches.splits.values())} patches of {patches.document['patch_size']} "
        f"pixels in {', '.join(patches.splits)}"
        for patches in contents.sets
    ]
    return f"{'; '.join(parts)}. {'. '.join(contents.attribution)}."


def _file(path: str, encoding: str, record: FileRecord | Mapping[str, Any]) -> dict[str, Any]:
    size, sha256 = (
        (record.size, record.sha256)
        if isinstance(record, FileRecord)
        else (record["bytes"], record["sha256"])
    )
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{size} B",
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def _set_files(patches: PatchSet) -> list[dict[str, Any]]:
    """Shards, what lies in them, and the database."""
    document = patches.document
    shards = [_file(patches.file(shard["path"]), "application/x-tar", shard) for shard in document["shards"]]
    others = [record for record in map(FileRecord.from_document, document["files"]) if record is not None]
    kinds = {"parquet": "application/x-parquet", "json": "application/json"}
    files = [
        _file(
            patches.file(record.path),
            kinds.get(record.path.rpartition(".")[2], "application/octet-stream"),
            record,
        )
        for record in others
    ]
    arrays = {"x.npy": True, "y.npy": bool(document["labels"]), "angles.npy": bool(document["angle_bands"])}
    inside = [
        {
            "@type": "cr:FileSet",
            "@id": patches.file(f"shards/{name}"),
            "name": f"{name} of every patch",
            "containedIn": [{"@id": shard["@id"]} for shard in shards],
            "encodingFormat": "application/x-npy",
            "includes": f"*.{name}",
        }
        for name, is_there in arrays.items()
        if is_there and shards
    ]
    return [*shards, *files, *inside]


def _set_records(patches: PatchSet) -> list[dict[str, Any]]:
    """Splits, and the table of patches with the split of each."""
    splits = f"{patches.name}-splits"
    names = [
        {f"{splits}/name": name, f"{splits}/patches": split["samples"], f"{splits}/shards": split["shards"]}
        for name, split in patches.splits.items()
    ]
    records = [
        {
            "@type": "cr:RecordSet",
            "@id": splits,
            "name": splits,
            "description": "Splits, and how many patches each has.",
            "dataType": "cr:Split",
            "key": {"@id": f"{splits}/name"},
            "field": [
                _field(splits, "name", "sc:Text"),
                _field(splits, "patches", "sc:Integer"),
                _field(splits, "shards", "sc:Integer"),
            ],
            "data": names,
        }
    ]
    if not any(record.get("path") == _DATABASE for record in patches.document["files"]):
        return records
    table = f"{patches.name}-table"
    fields = []
    for column, kind in _COLUMNS.items():
        field = _field(table, column, kind)
        field["source"] = {
            "fileObject": {"@id": patches.file(_DATABASE)},
            "extract": {"column": column},
        }
        fields.append(field)
    about = "All candidates for patches: where they lie, their split, and whether they are in the shards."
    return [
        *records,
        {
            "@type": "cr:RecordSet",
            "@id": table,
            "name": table,
            "description": about,
            "key": {"@id": f"{table}/patch_id"},
            "field": fields,
        },
    ]


def _field(record_set: str, name: str, kind: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{record_set}/{name}", "name": name, "dataType": kind}


def _sample_files(contents: Contents) -> list[dict[str, Any]]:
    """Return the index, which has the checksums of all rasters, and the rasters by kind."""
    index = INDEX.as_posix()
    record = FileRecord.of(contents.root / INDEX, index)
    kinds = sorted({kind for scene in contents.scenes for kind in scene.sample.rasters if kind != "stack"})
    return [
        _file(index, "application/json", record),
        *(
            {
                "@type": "cr:FileSet",
                "@id": f"samples/{kind}",
                "name": f"{kind} of every sample",
                "encodingFormat": "image/tiff",
                "includes": sorted({_pattern(contents, kind)}),
            }
            for kind in kinds
        ),
    ]


def _pattern(contents: Contents, kind: str) -> str:
    path = next(scene.sample.rasters[kind].path for scene in contents.scenes if kind in scene.sample.rasters)
    return f"processed/*/*/{path.rpartition('/')[2]}"


def _sample_records(contents: Contents) -> dict[str, Any]:
    columns = {
        "sample_id": "sc:Text",
        "tile_id": "sc:Text",
        "sensing_start_utc": "sc:Text",
        "image": "sc:Text",
    }
    rows: Iterable[Sequence[str]] = (
        (
            scene.sample.name,
            scene.sample.key.tile_id,
            scene.sample.key.sensing_start_utc,
            scene.sample.rasters["x"].path,
        )
        for scene in contents.scenes
    )
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "Samples: whole tiles, or parts of them.",
        "key": {"@id": "samples/sample_id"},
        "field": [_field("samples", name, kind) for name, kind in columns.items()],
        "data": [
            {f"samples/{name}": value for name, value in zip(columns, row, strict=True)} for row in rows
        ],
    }


def _class_records(band: LabelBand, number: int) -> dict[str, Any] | None:
    """Return the classes of labels as an enumeration; None for quantities and classes without names."""
    if band.kind != "classes" or not band.names:
        return None
    name = "classes" if number == 0 and band.name is None else f"classes-{band.name or number}"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"Classes of the labels, from {band.source}.",
        "dataType": "sc:Enumeration",
        "key": {"@id": f"{name}/value"},
        "field": [
            _field(name, "value", "sc:Integer"),
            _field(name, "name", "sc:Text"),
            _field(name, "color", "sc:Text"),
        ],
        "data": [
            {f"{name}/value": value, f"{name}/name": text, f"{name}/color": band.colors.get(value, "")}
            for value, text in sorted(band.names.items())
        ],
    }
