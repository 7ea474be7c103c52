"""One named exception per cause. Messages say what, where, expected, got and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_FAULTS = 100
"""Faults that are listed of one document; the rest is counted."""


class S2PipeError(Exception):
    """Base of every error that s2pipe raises on purpose; the command line prints it and exits with code 2.

    Parameters
    ----------
    message : str
        What is wrong, where, what was expected and found, and what to do next.

    Raises
    ------
    ValueError
        The message is empty: the user would see nothing.
    """

    def __init__(self, message: str) -> None:
        if not message.strip():
            text = f"{type(self).__name__} needs a message"
            raise ValueError(text)
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Come back from another process as it is, whatever its class is made from."""
        return _restored, (type(self), self.args, vars(self))


def _restored(kind: type[S2PipeError], args: tuple[Any, ...], attributes: Mapping[str, Any]) -> S2PipeError:
    error = kind.__new__(kind, *args)
    vars(error).update(attributes)
    return error


class UsageError(S2PipeError):
    """The command line itself is wrong (unknown step, missing argument)."""


@dataclass(frozen=True)
class Fault:
    """One fault of a document: where it is and what is wrong there."""

    path: str
    """Dotted path of the value, e.g. ``preprocess.normalize.mode``; empty for the document itself."""
    message: str
    """What was expected and what was found."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def abridged(faults: Sequence[Fault], *, is_all: bool = True) -> list[Fault]:
    """Return the first faults of a long list, and one that says how many more there are.

    Parameters
    ----------
    faults : sequence of Fault
        In the order in which they are listed.
    is_all : bool
        Whether no more faults are known to exist than those.
    """
    more = len(faults) - MAX_FAULTS
    if more <= 0:
        return list(faults)
    return [*faults[:MAX_FAULTS], Fault("", f"... and {'' if is_all else 'at least '}{more} more")]


class DocumentError(S2PipeError):
    """A document (configuration, manifest, statistics) has faults; the message lists them, up to ``MAX_FAULTS``.

    Parameters
    ----------
    source : str
        File name, or what the document is when it has none.
    faults : sequence of Fault
        The faults found, in document order; at least one.

    Raises
    ------
    ValueError
        There are no faults, or one of them says nothing.
    """

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        self.source = source
        self.faults = tuple(faults if len(faults) <= MAX_FAULTS + 1 else abridged(faults))
        if not self.faults or not all(fault.message.strip() for fault in self.faults):
            text = f"{type(self).__name__} for {source!r} needs faults that say something, got {self.faults}"
            raise ValueError(text)
        super().__init__("\n".join(f"{source}: {fault}" for fault in self.faults))


class ConfigError(DocumentError):
    """A configuration is invalid."""


class ManifestError(DocumentError):
    """A manifest or index is invalid."""


class StatsMismatchError(DocumentError):
    """Normalization statistics do not belong to the data or configuration that they would be applied to."""


class MissingInputError(S2PipeError):
    """Roles or files that the configuration needs are missing.

    Parameters
    ----------
    headline : str
        What is missing, and for what.
    gaps : sequence of str
        Every missing item, one per line; empty when the headline says it all.
    hint : str
        What to do next.

    Raises
    ------
    ValueError
        The headline or the hint is empty.
    """

    def __init__(self, headline: str, gaps: Sequence[str], hint: str) -> None:
        if not headline.strip() or not hint.strip():
            text = f"{type(self).__name__} needs a headline and a hint, got {headline!r} and {hint!r}"
            raise ValueError(text)
        self.gaps = tuple(gaps)
        super().__init__("\n".join([headline, *(f"  {gap}" for gap in gaps), hint]))


class PathEscapeError(S2PipeError):
    """A path from a manifest, archive or server would leave its root directory."""


class ProductError(S2PipeError):
    """A Sentinel-2 product does not have the layout of its kind, or its name cannot be parsed."""


class MetadataError(S2PipeError):
    """Metadata XML of a product or tile lacks an element or holds an unusable value."""


class ChecksumError(S2PipeError):
    """A file's size or checksum differs from what its product's manifest states."""


class RasterError(S2PipeError):
    """A raster cannot be opened, read or written, or has an unusable CRS, size or data type."""


class DependencyError(S2PipeError):
    """A library is missing or lacks a capability; GDAL above all."""


class LockedError(S2PipeError):
    """A file or directory cannot be locked: another process holds the lock, or the file system has no locks."""


class OutputError(S2PipeError):
    """An output directory cannot be written to: it is read-only, full, or not a directory."""


class ServiceError(S2PipeError):
    """The data service refused a request, or its answer cannot be used.

    Parameters
    ----------
    message : str
        What was asked, what came back and what to do.
    status : int, optional
        HTTP status of the answer; None when there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class UntrustedServerError(ServiceError):
    """An answer of the service points to a foreign host, or names a file outside its product."""


class AuthError(S2PipeError):
    """Credentials are missing, or the service does not accept them."""


class ClusterError(S2PipeError):
    """A scheduler of tasks cannot be reached, or was lost."""


class DiskFullError(S2PipeError):
    """The disk has no room for the files to be fetched."""
