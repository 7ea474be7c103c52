"""A dataset's card: ``README.md`` as dataset hubs read it, ``LICENSE``, and ``croissant.json``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from s2pipe.dataset.card_files import CARD_RECORD, card_records
from s2pipe.dataset.proof import FileRecord, write_sealed
from s2pipe.errors import OutputError, UsageError
from s2pipe.runtime.files import check_writable, json_bytes, write_bytes_atomic
from s2pipe.runtime.locks import locked
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.runtime.paths import InsidePath
from s2pipe.sharing.contents import Contents, read_contents
from s2pipe.sharing.croissant import croissant_document
from s2pipe.sharing.licence import check_license, licence_text
from s2pipe.sharing.readme import readme_text
from s2pipe.sharing.scenes import described

_VERSION = re.compile(r"[0-9]+[.][0-9]+[.][0-9]+([-+][0-9A-Za-z.+-]+)?", re.ASCII)


@dataclass(frozen=True)
class CardOptions:
    """What a card says of a dataset that its files do not."""

    name: str | None = None
    """Name of the dataset; None takes that of its directory."""
    license: str = "other"
    """SPDX identifier of the dataset's licence; ``other`` stands for the terms of Copernicus Sentinel data."""
    url: str | None = None
    """Where the dataset is to be found."""
    creator: str | None = None
    """Who made it."""
    version: str = "1.0.0"
    """Its version, three numbers."""
    published: str | None = None
    """Date of publication, ``YYYY-MM-DD``; None takes that of the youngest sample, where there are samples."""
    overwrite: bool = False
    """Replace files that were edited, or that ``s2pipe card`` did not write."""


@dataclass(frozen=True)
class CardResult(InNotebooks):
    """A card that was written."""

    files: tuple[Path, ...]
    """``README.md``, ``LICENSE`` and ``croissant.json``."""
    attribution: tuple[str, ...]
    """Whom users of the dataset have to name."""

    def summary(self) -> dict[str, Any]:
        """Return the form for ``--json``."""
        return {"files": [str(path) for path in self.files], "attribution": list(self.attribution)}


def write_card(out_dir: Path | str, options: CardOptions | None = None) -> CardResult:
    """Describe the samples and patches of a directory; the same dataset gives the same bytes.

    Parameters
    ----------
    out_dir : Path
        Output directory of Step 2 or Step 3, or one that holds both.
    options : CardOptions, optional
        Name, licence, address, creator and version.

    Raises
    ------
    UsageError
        An option is of no use.
    MissingInputError, ManifestError
        There is nothing to describe, or it is damaged.
    OutputError
        A file is there that ``s2pipe card`` did not write, or that was edited since.
    """
    root, options = Path(out_dir), options or CardOptions()
    _check(options)
    contents = read_contents(root)
    name = options.name or root.resolve().name or "dataset"
    with described(root):
        texts = _texts(contents, name, options)
    check_writable(root)
    record = InsidePath(root, CARD_RECORD).owned()
    with locked(record.with_name(".card.json.lock")):
        if not options.overwrite:
            _refuse_edited(contents, texts)
        for file, data in texts.items():
            write_bytes_atomic(root / file, data)
        records = [FileRecord.of_bytes(data, file) for file, data in texts.items()]
        write_sealed(record, {"files": [one.to_document() for one in records]})
    return CardResult(tuple(root / file for file in texts), tuple(contents.attribution))


def _texts(contents: Contents, name: str, options: CardOptions) -> dict[str, bytes]:
    """Return the content of every file of a card by its name."""
    stated = {
        "name": name,
        "license": options.license,
        "url": options.url,
        "creator": options.creator,
        "version": options.version,
        "published": options.published,
    }
    return {
        "README.md": readme_text(contents, name, options.license).encode(),
        "LICENSE": licence_text(contents, name, options.license).encode(),
        "croissant.json": json_bytes(croissant_document(contents, stated)),
    }


def _check(options: CardOptions) -> None:
    check_license(options.license)
    faults = []
    if options.name is not None and (not options.name.strip() or not options.name.isprintable()):
        faults.append(f"--name: expected a line of text, got {options.name!r}")
    if options.creator is not None and (not options.creator.strip() or not options.creator.isprintable()):
        faults.append(f"--creator: expected a line of text, got {options.creator!r}")
    if options.url is not None and not re.fullmatch(r"https?://[^\s\"'<>]+", options.url):
        faults.append(f"--url: expected an address like https://example.org/dataset, got {options.url!r}")
    if options.published is not None and not _is_date(options.published):
        faults.append(f"--published: expected a date like 2026-01-31, got {options.published!r}")
    if not _VERSION.fullmatch(options.version):
        faults.append(f"--dataset-version: expected three numbers like 1.0.0, got {options.version!r}")
    if faults:
        msg = "; ".join(faults)
        raise UsageError(msg)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _refuse_edited(contents: Contents, texts: dict[str, bytes]) -> None:
    """Keep what a person wrote: files that differ from what was written last, and from what would be written now."""
    known = {record.path: record for record in card_records(contents.root)}
    edited = []
    for file, data in texts.items():
        path = contents.root / file
        if not (path.exists() or path.is_symlink()):
            continue
        if not path.is_file() or (
            path.read_bytes() != data
            and (file not in known or known[file].difference(contents.root) is not None)
        ):
            edited.append(str(path))
    if edited:
        msg = (
            f"{', '.join(edited)}: expected files that `s2pipe card` wrote and nobody changed since; move "
            "them away, or replace them with --overwrite"
        )
        raise OutputError(msg)
