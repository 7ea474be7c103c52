"""Samples of Step 2 against what was recorded when they were written, as later steps use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s2pipe.dataset.proof import SEAL, FileRecord, is_unchanged, records_of
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import Fault, ManifestError, RasterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_CURE = "run `s2pipe verify --repair` on the directory, then `s2pipe preprocess` again"


def refuse_changed(path: Path, document: Mapping[str, Any]) -> None:
    """Refuse a document that carries a checksum of itself and is not what that is of.

    Raises
    ------
    ManifestError
        It changed since it was written.
    """
    if not is_unchanged(document):
        message = f"was changed since it was written: its content does not match its {SEAL}; {_CURE}"
        raise ManifestError(str(path), [Fault("", message)])


def check_entry(index: Path, entry: Mapping[str, Any], meta_path: Path, meta: Mapping[str, Any]) -> None:
    """Check that an entry of the index is of the sample that it names: others would show other ground, or another day.

    Raises
    ------
    ManifestError
        Its key or its paths are not those of the ``meta.json``.
    """
    key, own = (SceneKey.from_document(document["key"]) for document in (entry, meta))
    paths = meta["paths"]
    faults = [
        Fault(
            f"samples[{key}].{kind}_path", f"expected {paths.get(kind)!r}, as {meta_path} says, got {path!r}"
        )
        for kind in ("x", "y", "angles", "quality")
        if (path := entry.get(f"{kind}_path")) != paths.get(kind)
    ]
    if key.identity != own.identity:
        faults.append(Fault(f"samples[{key}].meta_path", f"{meta_path} is of {own}"))
    if faults:
        raise ManifestError(str(index), [*faults, Fault("", _CURE)])


def files_to_read(meta: Mapping[str, Any]) -> tuple[FileRecord, ...]:
    """Return the records of a sample's files that later steps read.

    The declared stack and the sidecars with names of classes are for people, whose tools may add to them.
    """
    declared = meta["paths"].get("stack", "").removesuffix(".vrt")
    return tuple(
        record
        for record in records_of(meta.get("files")) or []
        if not record.path.endswith(".aux.xml")
        and not (declared and record.path.startswith((f"{declared}.vrt", f"{declared}/")))
    )


def check_files(root: Path, files: Iterable[FileRecord]) -> None:
    """Compare files of a sample with their recorded size and SHA-256.

    Parameters
    ----------
    root : Path
        Output directory of Step 2.
    files : iterable of FileRecord
        Their records.

    Raises
    ------
    RasterError
        They differ, or cannot be read; all are listed.
    """
    found = [(record.path, record.difference(root)) for record in files]
    faults = [f"{path}: {fault}" for path, fault in found if fault is not None]
    if faults:
        msg = f"{root}: {'; '.join(faults)}; {_CURE}"
        raise RasterError(msg)
