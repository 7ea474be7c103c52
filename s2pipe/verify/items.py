"""What is checked, how, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from s2pipe.dataset.proof import SEAL, seal_fault
from s2pipe.runtime.notebook import InNotebooks

if TYPE_CHECKING:
    from s2pipe.dataset.proof import FileRecord

Count = Callable[[int], None]
"""Told the bytes of every piece that was read."""
By = Literal["checksum", "size", "nothing", "remote"]
"""What a file is checked by: a recorded checksum and the size, the size alone, or whether it is there at all; files at
addresses (``remote``) are not looked at."""
Kind = Literal["damaged", "missing", "unexpected"]


@dataclass(frozen=True)
class Problem:
    """One file that is not as it should be."""

    kind: Kind
    """Damaged, missing, or not written by any run."""
    path: Path
    """The file, or the archive that holds it."""
    reason: str
    """What was expected and what was found."""
    unit: Hashable = None
    """What has to be made anew; None when nothing can be."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}: {self.reason}"

    def to_document(self) -> dict[str, str]:
        """Return the form for ``--json``."""
        return {"path": str(self.path), "reason": self.reason}


@dataclass(frozen=True)
class Item:
    """One file to check."""

    path: Path
    """The file, or the archive that holds it."""
    by: By
    """What it is checked by."""
    size: int
    """Bytes that are read for it."""
    difference: Callable[[Count], str | None]
    """Says how it differs from what was recorded; None when it does not."""
    unit: Hashable = None
    """What has to be made anew when it is damaged."""

    def problem(self, count: Count) -> Problem | None:
        """Check the file."""
        reason = self.difference(count)
        if reason is None:
            return None
        return Problem("damaged" if self.path.exists() else "missing", self.path, reason, self.unit)


def recorded(record: FileRecord, root: Path, unit: Hashable) -> Item:
    """Return the check of a file with a record of size and SHA-256."""
    return Item(
        root / record.path, "checksum", record.size, lambda count: record.difference(root, count), unit
    )


def sealed(path: Path, data: bytes, unit: Hashable) -> Item:
    """Return the check of a document that carries its own checksum, or of one that does not."""
    by: By = "checksum" if SEAL.encode() in data else "nothing"
    return Item(path, by, 0, lambda _: seal_fault(data), unit)


def read_or_none(path: Path) -> bytes | None:
    """Return the content of a small file; None when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


class Part(Protocol):
    """One step's part of a dataset."""

    @property
    def name(self) -> str:
        """What messages call it: its directory or document."""

    def items(self) -> Sequence[Item]:
        """Return the files to check. Documents are read, no other content."""

    def problems(self) -> Sequence[Problem]:
        """Return what is wrong without looking into files: unexpected files, missing documents."""

    def unfinished(self) -> Sequence[Path]:
        """Return what running or killed runs left."""

    def repair(self, problems: Sequence[Problem]) -> Sequence[str]:
        """Make the next run redo what has problems; return what was done."""


@dataclass
class Report(InNotebooks):
    """What a verification found."""

    parts: list[str] = field(default_factory=list)
    """What was verified."""
    checked: dict[By, int] = field(default_factory=lambda: dict.fromkeys(get_args(By), 0))
    """Files by what they were checked by."""
    bytes: int = 0
    """Bytes that were hashed."""
    problems: list[Problem] = field(default_factory=list)
    """Damaged, missing and unexpected files."""
    unfinished: list[Path] = field(default_factory=list)
    """What running or killed runs left; the next run removes it."""
    repairs: list[str] = field(default_factory=list)
    """What was done so that the next run redoes what is damaged or missing."""

    @property
    def exit_code(self) -> int:
        """0 when everything is as it was written, else 1."""
        return 1 if self.problems else 0

    def of_kind(self, kind: Kind) -> Iterator[Problem]:
        """Yield the problems of one kind."""
        return (problem for problem in self.problems if problem.kind == kind)

    def summary(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        kinds: tuple[Kind, ...] = ("damaged", "missing", "unexpected")
        return {
            "verified": self.parts,
            "ok": not self.problems,
            "checked_by": dict(self.checked),
            "bytes": self.bytes,
            **{kind: [problem.to_document() for problem in self.of_kind(kind)] for kind in kinds},
            "unfinished": [str(path) for path in self.unfinished],
            "repairs": self.repairs,
        }
