"""``s2pipe export zarr OUT_DIR --to DIR``: samples as cubes along time."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json
from s2pipe.errors import UsageError

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command

log = logging.getLogger("s2pipe.export")

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "out_dir",
            str,
            option("Output directory of `s2pipe preprocess`.", "out_dir", metavar="OUT_DIR", type=str),
        ),
        (
            "to",
            str,
            option("Directory for the cubes, <TILE>.zarr each.", "--to", metavar="DIR"),
        ),
        (
            "tiles",
            str,
            option("Write cubes of these tiles only: T33UWQ,T32TQM.", "--tiles", metavar="TILES"),
        ),
        (
            "chunk_px",
            int,
            option("Side of chunks in pixels.", "--chunk-px", metavar="PIXELS", default=512),
        ),
        (
            "shard_px",
            int,
            option(
                "Side of shards in pixels, one file each; a multiple of that of chunks.",
                "--shard-px",
                metavar="PIXELS",
                default=2048,
            ),
        ),
        (
            "overwrite",
            bool,
            option("Replace cubes of other samples or chunks.", "--overwrite", default=False),
        ),
        *OUTPUT_OPTIONS,
    ],
)


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe export zarr``, given what follows ``zarr``."""
    options = parse(command, Options, arguments, "zarr")
    if not options.to:
        msg = "--to DIR is needed: the directory for the cubes"
        raise UsageError(msg)
    from s2pipe.sharing.zarr_export import ZarrOptions, export_zarr

    tiles = tuple(tile.strip() for tile in (options.tiles or "").split(",") if tile.strip())
    wanted = ZarrOptions(tiles, options.chunk_px, options.shard_px, overwrite=options.overwrite)
    result = export_zarr(options.out_dir, options.to, wanted)
    log.info("%d cube(s) written, %d up to date", len(result.written), len(result.up_to_date))
    if options.json:
        print_json(result.summary())
    return 0
