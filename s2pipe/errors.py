"""One named exception per cause. Messages say what, where, expected, got and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class S2PipeError(Exception):
    """Base of every error that s2pipe raises on purpose; the command line prints it and exits with 2."""


class UsageError(S2PipeError):
    """The command line itself is wrong (unknown step, missing argument)."""


@dataclass(frozen=True)
class Fault:
    """One fault of a document: where it is (a dotted JSON path) and what is wrong there."""

    path: str
    """Dotted path of the value, e.g. ``preprocess.normalize.mode``; empty for the document itself."""
    message: str
    """What was expected and what was found."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class DocumentError(S2PipeError):
    """A document (configuration, manifest, statistics) has one or more faults, all of them listed.

    Parameters
    ----------
    source : str
        File name, or what the document is when it has none.
    faults : sequence of Fault
        Every fault found, in document order.
    """

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        self.source = source
        self.faults = tuple(faults)
        super().__init__("\n".join(f"{source}: {fault}" for fault in self.faults))


class ConfigError(DocumentError):
    """A configuration is invalid."""


class ManifestError(DocumentError):
    """A manifest or index is invalid."""


class StatsMismatchError(DocumentError):
    """Normalization statistics were computed for something else than what they are to be applied to."""


class MissingInputError(S2PipeError):
    """Roles or files that the configuration needs are missing; ``gaps`` lists every one of them."""

    def __init__(self, headline: str, gaps: Sequence[str], hint: str) -> None:
        self.gaps = tuple(gaps)
        super().__init__("\n".join([headline, *(f"  {gap}" for gap in gaps), hint]))


class PathEscapeError(S2PipeError):
    """A path from a manifest, archive or server would leave its root directory."""


class ProductError(S2PipeError):
    """A Sentinel-2 product is not laid out as its kind requires, or its name cannot be parsed."""


class MetadataError(S2PipeError):
    """Product or tile metadata XML lacks an element or holds an unusable value."""


class ChecksumError(S2PipeError):
    """A file's size or checksum differs from what its product's manifest states."""


class RasterError(S2PipeError):
    """A raster cannot be opened, read or written, or lacks what is needed (CRS, size, data type)."""


class DependencyError(S2PipeError):
    """An optional or external library (GDAL above all) is missing or lacks a capability."""


class LockedError(S2PipeError):
    """The lock on a directory or file cannot be had: another process holds it, or the file system has no locks."""


class OutputError(S2PipeError):
    """A directory that is to be written to cannot be: read-only, no directory, or full."""


class ServiceError(S2PipeError):
    """The data service refused a request, or answered with something that cannot be used.

    Parameters
    ----------
    message : str
        What was asked, what came back and what to do.
    status : int, optional
        HTTP status of the answer, when there was one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class UntrustedServerError(ServiceError):
    """An answer points to a host that is none of the service's own, or names a file that leaves its place."""


class AuthError(S2PipeError):
    """There are no credentials, or the service does not accept them."""


class DiskFullError(S2PipeError):
    """The disk cannot hold what is to be fetched."""
