"""Checking files against the sizes and checksums that a product's manifest states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from s2pipe.dataset.step1_index import Asset, Checksum, Index
from s2pipe.errors import ChecksumError, PathEscapeError, ProductError
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.hashing import hash_file
from s2pipe.runtime.paths import describe_absence
from s2pipe.runtime.progress import ByteProgress
from s2pipe.sentinel2.safe.container import SafeContainer, open_container

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.input_file import InputFile


How = Literal["checksum", "size", "nothing"]
"""How a file was verified."""


@dataclass(frozen=True)
class Finding:
    """What checking one file found."""

    display: str
    """What messages call the file."""
    how: How
    """How it was verified: by its checksum (and size), by its size alone, not at all."""
    fault: str | None = None
    """How it differs from what is stated; None when it does not."""
    note: str | None = None
    """Why it was not verified by checksum; None when it was."""


@dataclass(frozen=True)
class Verification:
    """What checking many files found."""

    by_checksum: int = 0
    """Files that have the stated checksum."""
    by_size: int = 0
    """Files that have the stated size, and no checksum that can be computed."""
    unverified: int = 0
    """Files of which neither is stated."""
    notes: tuple[str, ...] = ()
    """One line for each file that was not verified by checksum."""

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Verification:
        """Count findings without faults."""
        found = list(findings)
        count = Counter(item.how for item in found)
        notes = tuple(f"{item.display}: {item.note}" for item in found if item.note is not None)
        return cls(count["checksum"], count["size"], count["nothing"], notes)

    @property
    def is_whole(self) -> bool:
        """Whether every file was verified by checksum."""
        return self.by_size == self.unverified == 0

    def __str__(self) -> str:
        return (
            f"{self.by_checksum} file(s) verified by checksum, {self.by_size} by size alone, {self.unverified} not "
            "at all"
        )


@dataclass(frozen=True)
class Check:
    """One file to check."""

    display: str
    """What messages call the file."""
    size: int
    """Size found, bytes."""
    expected_size: int | None
    """Size stated; None when unknown."""
    checksum: Checksum | None
    """Checksum stated; None when unknown."""
    hash: Callable[[str], str]
    """Computes the file's checksum by an algorithm's name."""

    def find(self) -> Finding:
        """Check the file."""
        how: How = "nothing" if self.expected_size is None else "size"
        if self.expected_size is not None and self.size != self.expected_size:
            fault = f"{self.display}: expected {self.expected_size} bytes, got {self.size}"
            return Finding(self.display, how, fault)
        if self.checksum is None:
            return Finding(self.display, how, note=f"no checksum is stated; verified by {how}")
        algorithm, value = self.checksum.algorithm, self.checksum.value
        try:
            found = self.hash(algorithm)
        except ValueError as error:
            return Finding(self.display, how, note=f"{error}; verified by {how}")
        except (OSError, ProductError) as error:
            return Finding(self.display, how, f"{self.display}: cannot be read: {error}")
        fault = f"{self.display}: expected {algorithm} {value}, got {found}"
        return Finding(self.display, "checksum", None if found == value else fault)


def run_checks(checks: Sequence[Check], what: str) -> Verification:
    """Run checks, several at a time, and count them.

    Raises
    ------
    ChecksumError
        Files differ; all of them are listed.
    """
    # Hashing and unpacking release the GIL, so threads suffice.
    progress = ByteProgress(0, len(checks))

    def find(check: Check) -> Finding:
        found = check.find()
        progress.file_done()
        return found

    try:
        with ThreadPoolExecutor(core_count()) as pool:
            findings = list(pool.map(find, checks))
    finally:
        progress.close()
    raise_differences([item.fault for item in findings if item.fault is not None], what)
    return Verification.of(findings)


def raise_differences(differences: Iterable[str], what: str) -> None:
    """Raise a ChecksumError that lists all differences, if there are any."""
    lines = list(differences)
    if lines:
        raise ChecksumError(
            "\n".join(
                [
                    f"{len(lines)} file(s) differ from what {what} states:",
                    *(f"  {line}" for line in lines),
                    "fetch these files again, or index without verifying",
                ]
            )
        )


def verify_index(index: Index) -> Verification:
    """Check every file that an index calls present against its recorded size and checksum.

    Returns
    -------
    Verification
        How many files were verified in which way.

    Raises
    ------
    ChecksumError
        Files are absent, unreadable or differ; all are listed.
    """
    archives: dict[Path, SafeContainer] = {}
    checks: list[Check] = []
    faults: list[str] = []
    for asset in (asset for scene in index.scenes for asset in scene.assets if _is_here(asset)):
        try:
            file = index.file(asset)
            if file.member is not None and file.path not in archives:
                archives[file.path] = open_container(file.path)
            checks.append(_check(file, archives.get(file.path)))
        except _ABSENT as error:
            faults.append(_absence(asset, index, error))
    verification = Verification()
    try:
        verification = run_checks(checks, "the index")
    except ChecksumError as error:
        faults.extend(line.strip() for line in str(error).splitlines()[1:-1])
    raise_differences(faults, "the index")
    return verification


def _is_here(asset: Asset) -> bool:
    """Tell whether a file should be on disk; those at addresses are compared when they are read."""
    return asset.present and not asset.is_remote


def check_asset(asset: Asset, index: Index) -> Finding:
    """Check one file of an index against its record."""
    if asset.is_remote:
        return Finding(asset.path, "nothing", note=f"{asset.path}: is compared when it is read")
    try:
        file = index.file(asset)
        archive = None if file.member is None else open_container(file.path)
        return _check(file, archive).find()
    except _ABSENT as error:
        return Finding(asset.display(index.root), "nothing", _absence(asset, index, error))


_ABSENT = (OSError, KeyError, ProductError, PathEscapeError)
"""What looking for a file may raise."""


def _absence(asset: Asset, index: Index, error: Exception) -> str:
    """Say why a file is not there; a broken link is called one."""
    display = asset.display(index.root)
    if not isinstance(error, PathEscapeError) and not (path := index.file(asset).path).exists():
        return f"{display}: is not there: {describe_absence(path)}"
    return f"{display}: is not there: {error}"


def _check(file: InputFile, archive: SafeContainer | None) -> Check:
    if file.member is None or archive is None:
        size = file.path.stat().st_size
        return Check(
            file.label, size, file.size, file.checksum, lambda algorithm: hash_file(file.path, algorithm)
        )
    product_path = file.member.removeprefix(archive.prefix or "")
    size = archive.sizes[product_path]
    return Check(
        file.label, size, file.size, file.checksum, lambda algorithm: archive.hash(product_path, algorithm)
    )
