"""``s2pipe verify PATH...``: re-hash the files of a dataset, and name what is damaged, missing or unexpected."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command

log = logging.getLogger("s2pipe.verify")

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "paths",
            list[str],
            option(
                "Datasets: output directories of download, index, preprocess or patches; a sample's directory; "
                "index.json, meta.json, shards.json or stats.json; or single files of these.",
                "paths",
                nargs="+",
                metavar="PATH",
                type=str,
            ),
        ),
        (
            "repair",
            bool,
            option(
                "Make the next run redo what is damaged or missing: samples lose their meta.json, shards their "
                "record, downloaded files go to quarantine. Files that no run made are never touched.",
                "--repair",
                default=False,
            ),
        ),
        ("workers", int, option("Threads that hash; 0 means one per core.", "--workers", default=0)),
        *OUTPUT_OPTIONS,
    ],
)


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe verify``; exit code 1 when anything is not as it was written."""
    from s2pipe.errors import UsageError
    from s2pipe.runtime.progress import size_text
    from s2pipe.verify.run import verify

    options = parse(command, Options, arguments)
    if options.workers < 0:
        msg = f"--workers: expected 0 or more, got {options.workers}"
        raise UsageError(msg)
    report = verify(options.paths, repair=options.repair, workers=options.workers)
    for problem in report.problems:
        log.error("%s", problem)
    for path in report.unfinished:
        log.info("unfinished: %s: left by a run that is still going on, or was killed", path)
    for repair in report.repairs:
        log.warning("repair: %s", repair)
    by = report.checked
    log.info(
        "checked %d file(s) by checksum (%s), %d by size alone, %d only for being there",
        by["checksum"],
        size_text(report.bytes),
        by["size"],
        by["nothing"],
    )
    if by["remote"]:
        log.info(
            "%d file(s) at addresses were not compared: their size and entity tag are before and after they are read "
            "(s2pipe preprocess)",
            by["remote"],
        )
    kinds = [len(list(report.of_kind(kind))) for kind in ("damaged", "missing", "unexpected")]
    log.info("%d damaged, %d missing, %d unexpected", *kinds)
    if options.json:
        print_json(report.summary())
    return report.exit_code
