"""Code blocks of the documentation, and what the comment above a block says about it.

``<!-- not run: REASON -->`` leaves a block to checks that run nothing, ``<!-- needs: MODULE, ... -->`` runs it where
these modules are.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

LANGUAGES = ("bash", "console", "json", "python", "sh", "yaml")
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "kernels/README.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
)
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>not run|needs): (?P<said>[^\n]+) -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    line: int
    language: str
    text: str
    reason: str = ""
    """Why it is not run."""
    needs: tuple[str, ...] = ()
    """Modules that it needs."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def runs_here(self) -> bool:
        """Whether it is to be run, and all that it needs is there."""
        return not self.reason and all(map(_is_there, self.needs))


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its package is missing
        return False


def blocks_of(page: str) -> list[Block]:
    """All blocks of a page, in order."""
    return list(parse((ROOT / page).read_text(encoding="utf-8"), page))


def parse(text: str, page: str = "page.md") -> Iterator[Block]:
    """Yield the blocks of a text."""
    for match in _BLOCK.finditer(text):
        said = match["said"] or ""
        yield Block(
            page,
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            match["text"],
            said if match["mark"] == "not run" else "",
            tuple(said.split(", ")) if match["mark"] == "needs" else (),
        )


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the words of each command of a shell block; of ``console``, those after a prompt."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    for line in lines:
        for part in re.split(r" && | \| ", line):
            if words := shlex.split(part, comments=True):
                yield words
