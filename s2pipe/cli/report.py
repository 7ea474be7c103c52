"""``s2pipe report OUT_DIR``: one page of HTML about what a directory holds."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command

log = logging.getLogger("s2pipe.report")
_MAX_LOGGED = 20

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "out_dir",
            str,
            option(
                "Output directory of download, index, preprocess or patches, or a directory that holds some of these.",
                "out_dir",
                metavar="OUT_DIR",
                type=str,
            ),
        ),
        (
            "out",
            str,
            option("Page to write; by default report.html in OUT_DIR.", "--out", "-o", metavar="FILE"),
        ),
        ("workers", int, option("Threads that read rasters; 0 means one per core.", "--workers", default=0)),
        *OUTPUT_OPTIONS,
    ],
)


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe report``; exit code 1 when something is missing or damaged."""
    from s2pipe.errors import UsageError
    from s2pipe.report.run import write_report
    from s2pipe.runtime.progress import size_text

    options = parse(command, Options, arguments)
    if options.workers < 0:
        msg = f"--workers: expected 0 or more, got {options.workers}"
        raise UsageError(msg)
    result = write_report(Path(options.out_dir), Path(options.out) if options.out else None, options.workers)
    for problem in result.gaps[:_MAX_LOGGED]:
        log.warning("%s: %s: %s", problem.kind, problem.path or problem.what, problem.reason)
    if len(result.gaps) > _MAX_LOGGED:
        log.warning("... and %d more, which the page lists", len(result.gaps) - _MAX_LOGGED)
    log.info(
        "%s (%s): %d scene(s), %d sample(s), %d set(s) of patches",
        result.path,
        size_text(result.nbytes),
        result.scenes,
        result.samples,
        result.patch_sets,
    )
    if options.json:
        print_json(result.summary())
    return result.exit_code
