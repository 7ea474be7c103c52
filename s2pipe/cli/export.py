"""``s2pipe export DIR --to FILE.parquet``: an index as GeoParquet; ``s2pipe export zarr``: samples as cubes."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json
from s2pipe.errors import UsageError
from s2pipe.runtime.nearest import nearest
from s2pipe.runtime.paths import seen_from

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command
    from s2pipe.sharing.index_table import Which

log = logging.getLogger("s2pipe.export")

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "dir",
            str,
            option(
                "Output directory of download, index or preprocess; for cubes see `s2pipe export zarr --help`.",
                "dir",
                metavar="DIR",
                type=str,
            ),
        ),
        ("to", str, option("GeoParquet file to write.", "--to", metavar="FILE")),
        (
            "step",
            int,
            option(
                "Index to export: 1 (scenes and their files) or 2 (samples). By default the only one there.",
                "--step",
                default=0,
                metavar="1|2",
                default_text="",
            ),
        ),
        *OUTPUT_OPTIONS,
    ],
)
_STEPS: dict[int, Which | None] = {0: None, 1: "step1", 2: "step2"}


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe export`` and ``s2pipe export zarr``."""
    if arguments[:1] == ["zarr"]:
        from s2pipe.cli import export_zarr

        return export_zarr.main(command, arguments[1:])
    if arguments and nearest(arguments[0], ["zarr"]) and not Path(arguments[0]).exists():
        msg = (
            f"{arguments[0]}: no such directory{seen_from(arguments[0])}; did you mean `s2pipe export zarr`?"
        )
        raise UsageError(msg)
    options = parse(command, Options, arguments)
    if not options.to:
        msg = "--to FILE is needed: the GeoParquet file to write"
        raise UsageError(msg)
    if options.step not in _STEPS:
        msg = f"--step: expected 1 or 2, got {options.step}"
        raise UsageError(msg)
    from s2pipe.sharing.index_table import export_index

    count = export_index(Path(options.dir), Path(options.to), _STEPS[options.step])
    log.info("%s: %d row(s)", options.to, count)
    if options.json:
        print_json({"path": options.to, "rows": count})
    return 0
