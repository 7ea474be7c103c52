"""Documents that are one long list: JSON with one entry a line, written and read piece by piece.

They are JSON as any other, and may be read as such. In this form, and in no other, an entry can be found, checked, kept
or copied by its bytes, so that neither time nor memory are spent on a hundred thousand others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from s2pipe.config.documents import parse_json
from s2pipe.runtime.files import json_bytes
from s2pipe.runtime.limits import MAX_HEAD_BYTES, MAX_JOURNAL_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LISTS = ("scenes", "samples")
"""Keys of the lists that documents consist of; what follows the list is only the seal."""
_INDENT = b"    "
_SEPARATOR = b",\n" + _INDENT
_END = b"\n  ]"


def entry_line(entry: Mapping[str, Any]) -> bytes:
    """Serialise one entry."""
    return json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def document_pieces(head: Mapping[str, Any], key: str, lines: Iterable[bytes]) -> Iterator[bytes]:
    """Serialise a document but for its closing brace.

    Parameters
    ----------
    head : mapping
        All keys but that of the list; at least one.
    key : str
        Key of the list.
    lines : iterable of bytes
        Entries as :func:`entry_line` makes them.
    """
    yield json_bytes(head).removesuffix(b"\n}\n") + f',\n  "{key}": ['.encode()
    before = b"\n" + _INDENT
    for line in lines:
        yield before + line
        before = _SEPARATOR
    yield b"]" if before != _SEPARATOR else _END


@dataclass(frozen=True)
class EntryLine:
    """One entry as it is stored."""

    start: int
    """Byte at which it begins."""
    data: bytes
    """Its JSON."""


def read_head(stream: IO[bytes], key: str) -> dict[str, Any] | None:
    """Read what stands before the entries, and leave the stream at the first of them.

    Parameters
    ----------
    stream : binary file
        At its beginning.
    key : str
        Key of the list.

    Returns
    -------
    dict or None
        The keys before the list, and the empty list; None where the document has not this form or begins with no JSON.
    """
    wanted = f'  "{key}": [\n'.encode()
    read: list[bytes] = []
    size = 0
    while (line := stream.readline(MAX_HEAD_BYTES)) and (size := size + len(line)) <= MAX_HEAD_BYTES:
        read.append(line)
        if line == wanted:
            break
    else:
        return None
    try:
        # Closed here it is whole, so the list is one of the document itself and not of a part of it.
        head = parse_json(b"".join(read) + b"]}", nan="refuse")
    except ValueError:
        return None
    if not isinstance(head, dict) or head.get(key) != [] or list(head)[-1] != key:
        return None
    return head


def read_lines(stream: IO[bytes]) -> Iterator[EntryLine]:
    """Read entries up to the end of the list, and leave the stream behind it.

    Raises
    ------
    ValueError
        There is no end, or a line is longer than entries may be.
    """
    while True:
        start = stream.tell()
        line = stream.readline(MAX_JOURNAL_LINE_BYTES + 1)
        if line[:3] == b"  ]":
            stream.seek(start + 3)
            return
        if not (line.startswith(_INDENT) and line.endswith((b"}\n", b"},\n"))):
            msg = "the list has no end, or an entry has more than one line"
            raise ValueError(msg)
        data = line[len(_INDENT) : -2 if line.endswith(b",\n") else -1]
        yield EntryLine(start + len(_INDENT), data)
        if not line.endswith(b",\n"):
            if stream.read(3) != b"  ]":
                msg = "an entry is not followed by a comma or by the end of the list"
                raise ValueError(msg)
            return


def read_tail(stream: IO[bytes], key: str) -> dict[str, Any]:
    """Read what follows the list.

    Raises
    ------
    ValueError
        It is longer than a seal, or no end of a document.
    """
    rest = stream.read(MAX_HEAD_BYTES + 1)
    if len(rest) > MAX_HEAD_BYTES:
        msg = "the document goes on behind its list"
        raise ValueError(msg)
    document: dict[str, Any] = parse_json(f'{{"{key}":[]'.encode() + rest)
    return document
