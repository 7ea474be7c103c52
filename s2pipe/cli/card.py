"""``s2pipe card OUT_DIR``: README.md, LICENSE and croissant.json of a dataset."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command

log = logging.getLogger("s2pipe.card")

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "out_dir",
            str,
            option(
                "Output directory of `s2pipe preprocess` or `s2pipe patches`, or one that holds both; the files are "
                "written into it.",
                "out_dir",
                metavar="OUT_DIR",
                type=str,
            ),
        ),
        ("name", str, option("Name of the dataset; by default the directory's.", "--name", metavar="NAME")),
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
        ("url", str, option("Where the dataset is to be found.", "--url", metavar="URL")),
        ("creator", str, option("Who made the dataset.", "--creator", metavar="NAME")),
        (
            "dataset_version",
            str,
            option("Version of the dataset.", "--dataset-version", metavar="X.Y.Z", default="1.0.0"),
        ),
        (
            "published",
            str,
            option(
                "Date of publication; by default that of the youngest sample.",
                "--published",
                metavar="YYYY-MM-DD",
            ),
        ),
        (
            "overwrite",
            bool,
            option(
                "Replace files that were edited, or that another wrote.",
                "--overwrite",
                default=False,
            ),
        ),
        *OUTPUT_OPTIONS,
    ],
)


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe card``."""
    options = parse(command, Options, arguments)
    from s2pipe.sharing.card import CardOptions, write_card

    wanted = CardOptions(
        options.name,
        options.license,
        options.url,
        options.creator,
        options.dataset_version,
        options.published,
        overwrite=options.overwrite,
    )
    result = write_card(options.out_dir, wanted)
    log.info("written: %s", ", ".join(map(str, result.files)))
    for line in result.attribution:
        log.info("attribution: %s", line)
    if options.json:
        print_json(result.summary())
    return 0
