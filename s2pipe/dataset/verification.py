"""Checking files against the sizes and checksums that a product's manifest states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2pipe.dataset.step1_index import Asset, Checksum, Index
from s2pipe.errors import ChecksumError, PathEscapeError, ProductError
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.hashing import hash_file
from s2pipe.sentinel2.safe.container import SafeContainer, open_container

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.input_file import InputFile


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

    def difference(self) -> str | None:
        """Say how the file differs from what is stated; None when it does not."""
        if self.expected_size is not None and self.size != self.expected_size:
            return f"{self.display}: expected {self.expected_size} bytes, got {self.size}"
        if self.checksum is None:
            return None
        algorithm, value = self.checksum.algorithm, self.checksum.value
        try:
            found = self.hash(algorithm)
        except ValueError:
            return f"{self.display}: cannot be checked: unknown checksum algorithm {algorithm!r}"
        except (OSError, ProductError) as error:
            return f"{self.display}: cannot be read: {error}"
        return None if found == value else f"{self.display}: expected {algorithm} {value}, got {found}"


def run_checks(checks: Sequence[Check], what: str) -> int:
    """Run checks, several at a time, and return their number.

    Raises
    ------
    ChecksumError
        Files differ; all of them are listed.
    """
    # Hashing and unpacking release the GIL, so threads suffice.
    with ThreadPoolExecutor(core_count()) as pool:
        differences = [text for text in pool.map(Check.difference, checks) if text is not None]
    raise_differences(differences, what)
    return len(checks)


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


def verify_index(index: Index) -> int:
    """Check every file that an index calls present against its recorded size and checksum.

    Returns
    -------
    int
        Number of files checked; those without a recorded checksum by their size alone.

    Raises
    ------
    ChecksumError
        Files are absent, unreadable or differ; all are listed.
    """
    archives: dict[Path, SafeContainer] = {}
    checks: list[Check] = []
    faults: list[str] = []
    for asset in (asset for scene in index.scenes for asset in scene.assets if asset.present):
        try:
            file = index.file(asset)
            if file.member is not None and file.path not in archives:
                archives[file.path] = open_container(file.path)
            checks.append(_check(file, archives.get(file.path)))
        except (OSError, KeyError, ProductError, PathEscapeError) as error:
            faults.append(f"{asset.display(index.root)}: is not there: {error}")
    try:
        run_checks(checks, "the index")
    except ChecksumError as error:
        faults.extend(line.strip() for line in str(error).splitlines()[1:-1])
    raise_differences(faults, "the index")
    return len(checks)


def check_asset(asset: Asset, index: Index) -> str | None:
    """Say how one file of an index is absent or differs from its record; None when it does not."""
    try:
        file = index.file(asset)
        archive = None if file.member is None else open_container(file.path)
        return _check(file, archive).difference()
    except (OSError, KeyError, ProductError, PathEscapeError) as error:
        return f"{asset.display(index.root)}: is not there: {error}"


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
