"""The key of a scene, and every form in which it is written: text, JSON, names of files and directories."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from s2pipe.sentinel2.bands import Level
    from s2pipe.sentinel2.safe.names import ProductName

_TEXT = re.compile(
    r"(?P<tile>T\d{2}[A-Z]{3})(?:/|\s+)(?P<start>\d{4}-?\d\d-?\d\dT\d\d:?\d\d:?\d\d)(?:\.\d+)?(?:Z|\+00:?00)",
    re.ASCII,
)


@dataclass(frozen=True, order=True)
class SceneKey:
    """What identifies a scene; keys are in the order of tile and time."""

    tile_id: str
    """MGRS tile with its ``T``, ``T33UWQ``."""
    sensing_start_utc: str
    """Start of the datatake, ``2025-12-10T10:03:19Z``; fractions of a second are kept as found."""

    @classmethod
    def of_product(cls, name: ProductName) -> SceneKey:
        """Return the key of the scene that a product shows."""
        return cls(name.tile_id, name.sensing_start_utc)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> SceneKey:
        """Make a key from its (valid) JSON form; a time zone written ``+00:00`` becomes ``Z``."""
        start = document["sensing_start_utc"]
        return cls(
            document["tile_id"], start.removesuffix("+00:00") + "Z" if start.endswith("+00:00") else start
        )

    def to_document(self) -> dict[str, str]:
        """Return the JSON form."""
        return {"tile_id": self.tile_id, "sensing_start_utc": self.sensing_start_utc}

    @staticmethod
    def parse_identity(text: str) -> tuple[str, str] | None:
        """Return the identity of a key written by hand, or None when it is none.

        ``T33UWQ/2025-12-10T10:03:19Z`` is the form that s2pipe writes. A blank for the slash, ``+00:00`` for ``Z``,
        fractions of a second, and times without dashes and colons are understood.
        """
        match = _TEXT.fullmatch(text.strip())
        return None if match is None else (match["tile"], re.sub("[-:]", "", match["start"]) + "Z")

    @classmethod
    def parse(cls, text: str) -> SceneKey | None:
        """Return the key that is written by hand as :meth:`parse_identity` reads it, or None when it is none."""
        identity = cls.parse_identity(text)
        if identity is None:
            return None
        tile, start = identity
        day, clock = f"{start[:4]}-{start[4:6]}-{start[6:8]}", f"{start[9:11]}:{start[11:13]}:{start[13:15]}"
        return cls(tile, f"{day}T{clock}Z")

    def __str__(self) -> str:
        return f"{self.tile_id}/{self.sensing_start_utc}"

    @property
    def compact(self) -> str:
        """``T33UWQ_20251210T100319Z``: a name without dots for files and items of shards."""
        return f"{self.tile_id}_{self.compact_start}"

    @property
    def compact_start(self) -> str:
        """``20251210T100319Z``: the start without dashes, colons and fractions of a second."""
        return self.second.replace("-", "").replace(":", "") + "Z"

    @property
    def identity(self) -> tuple[str, str]:
        """Equal for two spellings of one scene (with and without fractions of a second)."""
        return self.tile_id, self.compact_start

    @property
    def second(self) -> str:
        """``2025-12-10T10:03:19``: the start to the second, which the tiles of one datatake share."""
        return self.sensing_start_utc[:19]

    @property
    def month(self) -> str:
        """``2025-12``."""
        return self.sensing_start_utc[:7]

    @property
    def day(self) -> str:
        """``2025-12-10``."""
        return self.sensing_start_utc[:10]

    @property
    def date(self) -> date:
        """The day as a date."""
        return date.fromisoformat(self.day)

    def files_dir(self, level: Level, half: str | None = None) -> str:
        """Directory of the scene's files of one level, relative to the dataset's root.

        Those of another half (``S`` and the start of its datastrip) have the same names, and so a directory of their
        own.
        """
        of_half = "" if half is None else f"half={half}/"
        return f"raw/{level}/tile={self.tile_id}/sensing={self.compact_start}/{of_half}files"

    @property
    def sample_dir(self) -> Path:
        """Directory of the scene's outputs of Step 2, relative to the output directory."""
        return (
            Path("processed") / f"tile={self.tile_id}" / f"sensing={self.sensing_start_utc.replace(':', '')}"
        )
