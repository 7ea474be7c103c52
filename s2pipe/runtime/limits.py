"""How large, deep and numerous things from outside may be, each limit once and by name.

Real files stay far below every one of these. What is beyond them is refused with a documented error before it costs
memory or time, because files and answers may be damaged, or made to do harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_XML_BYTES = 16 << 20
"""Metadata of a product: largest XML document. Those of real products that are read stay below 1 MB."""
MAX_XML_ELEMENTS = 200_000
"""Elements and attributes of an XML document; real ones have up to 10,000."""
MAX_XML_DEPTH = 100
"""Levels of nested XML elements; real ones have up to 10."""

MAX_ZIP_MEMBERS = 20_000
"""Members of a zip archive of a product; real ones have up to 200."""
MAX_ZIP_DIRECTORY_BYTES = 8 << 20
"""Size of a zip archive's list of members; that of a real product has 0.03 MB."""
MAX_ZIP_RATIO = 250
"""Unpacked to packed size of a large member; that of real metadata is below 30, of imagery about 1."""
MIN_BOMB_BYTES = 16 << 20
"""Members that unpack to less than this may have any ratio: they do no harm."""

MAX_CONFIG_BYTES = 16 << 20
"""Largest configuration, and largest JSON text in an option."""
MAX_INDEX_BYTES = 512 << 20
"""Largest index, ``shards.json``, ``split.json`` or ``meta.json``: that of a Step-1 index of 20,000 scenes."""
MAX_JOURNAL_LINE_BYTES = 16 << 20
"""Longest line of a journal: one scene or one sample; real ones have up to 50 KB."""
MAX_HEAD_BYTES = 16 << 20
"""What an index may hold before its list of entries, and behind it."""
MAX_HISTOGRAM_BYTES = 256 << 20
"""Size of a ``histogram.npz``, unpacked: 13 bands in steps of 1e-6 reflectance take less."""
MAX_ANSWER_BYTES = 64 << 20
"""Largest JSON answer of the service, unpacked."""
MAX_DOCUMENT_DEPTH = 64
"""Levels of nested lists and objects, in JSON and in YAML; s2pipe's own documents have up to 10."""
MAX_JSON_VALUES = 20_000_000
"""Values of a JSON document: a Step-1 index has about 600 a scene."""
MAX_YAML_BYTES = 2 << 20
"""Largest YAML document; JSON is read much faster, and may be larger."""
MAX_YAML_NODES = 50_000
"""Values of a YAML document, counting those behind an alias wherever the alias stands."""
MAX_YAML_ALIASES = 1_000
"""Aliases (``*name``) of a YAML document."""


def read_limited(path: Path, limit: int) -> bytes:
    """Read a file whole, unless it is larger than ``limit`` bytes.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is larger, or its name holds a NUL.
    """
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        msg = f"it is larger than the {limit} bytes that such a file may have"
        raise ValueError(msg)
    return data
