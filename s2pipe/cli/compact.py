"""``s2pipe compact DIR...``: write the indexes of datasets from the journals of runs."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command

log = logging.getLogger("s2pipe.compact")

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "directories",
            list[str],
            option(
                "Output directories of download, index or preprocess.",
                "directories",
                nargs="+",
                metavar="DIR",
                type=str,
            ),
        ),
        *OUTPUT_OPTIONS,
    ],
)


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe compact``."""
    from s2pipe.dataset.compacting import compact_dataset

    options = parse(command, Options, arguments)
    done = [item for name in options.directories for item in compact_dataset(Path(name))]
    for item in done:
        log.info("%s %s", item.path, "written" if item.written else "already holds everything")
    if options.json:
        print_json({"indexes": [{"path": str(item.path), "written": item.written} for item in done]})
    return 0
