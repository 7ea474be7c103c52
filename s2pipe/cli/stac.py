"""``s2pipe stac OUT_DIR``: a STAC catalogue of the samples."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command

log = logging.getLogger("s2pipe.stac")

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "out_dir",
            str,
            option(
                "Output directory of `s2pipe preprocess`; the catalogue is written into stac/ below it.",
                "out_dir",
                metavar="OUT_DIR",
                type=str,
            ),
        ),
        ("id", str, option("Id of the collection; by default the directory's name.", "--id", metavar="ID")),
        (
            "title",
            str,
            option("Title of the collection; by default its tiles and dates.", "--title", metavar="TITLE"),
        ),
        (
            "license",
            str,
            option(
                "SPDX identifier of the dataset's licence; other stands for the terms of Copernicus Sentinel data.",
                "--license",
                metavar="ID",
                default="other",
            ),
        ),
        (
            "no_geoparquet",
            bool,
            option("Do not write items.parquet, which needs pyarrow.", "--no-geoparquet", default=False),
        ),
        *OUTPUT_OPTIONS,
    ],
)


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe stac``."""
    options = parse(command, Options, arguments)
    from s2pipe.sharing.stac import StacOptions, write_stac

    wanted = StacOptions(options.id, options.title, options.license, geoparquet=not options.no_geoparquet)
    result = write_stac(options.out_dir, wanted)
    log.info("%s: %d item(s)", result.collection, len(result.items))
    if options.json:
        print_json(result.summary())
    return 0
