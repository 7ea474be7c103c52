"""``s2pipe index PATH... --out DIR``: index products that are already on disk."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.cli.common import OUTPUT_OPTIONS, option, parse, print_json
from s2pipe.errors import UsageError

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command

log = logging.getLogger("s2pipe.index")

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "paths",
            list[str],
            option(
                "SAFE directories, zip archives of them, or directories that contain such products.",
                "paths",
                nargs="+",
                metavar="PATH",
                type=str,
            ),
        ),
        (
            "out",
            str,
            option("Directory of the dataset. An existing index is extended.", "--out", "-o", metavar="DIR"),
        ),
        (
            "verify",
            bool,
            option("First check the size and checksum of every file.", "--verify", default=False),
        ),
        *OUTPUT_OPTIONS,
    ],
)


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe index``; exit code 1 when something that looks like a product cannot be used."""
    from s2pipe.indexing.run import index_products

    options = parse(command, Options, arguments)
    if not options.out:
        msg = "--out DIR is needed: the directory of the dataset that the index is written to"
        raise UsageError(msg)
    result = index_products([Path(path) for path in options.paths], Path(options.out), verify=options.verify)
    for warning in result.warnings:
        log.warning("%s", warning)
    for product in result.passed_over:
        if product.is_usable:
            log.warning("passed over %s: %s", product.path, product.reason)
    if options.verify:
        log.info("%d files match their size and checksum", result.verified_files)
    state = "written" if result.changed else "already up to date"
    log.info(
        "%s %s: %d scene(s) given, %d in all",
        result.index_path,
        state,
        len(result.scenes),
        len(result.index.scenes),
    )
    unusable = result.unusable
    if unusable:
        reasons = "\n".join(f"  {item.reason}" for item in unusable)
        log.error("%d cannot be used and were passed over:\n%s", len(unusable), reasons)
    if options.json:
        print_json(
            {
                "index_path": str(result.index_path),
                "changed": result.changed,
                "scenes": [str(key) for key in result.scenes],
                "passed_over": [
                    {"path": str(item.path), "reason": item.reason, "is_usable": item.is_usable}
                    for item in result.passed_over
                ],
                "warnings": list(result.warnings),
                "verified_files": result.verified_files,
            }
        )
    return 1 if unusable else 0
