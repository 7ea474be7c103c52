"""``s2pipe stats merge``: statistics from the histograms that pass 1 stores with each scene."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json
from s2pipe.errors import MissingInputError, UsageError

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command

log = logging.getLogger("s2pipe.stats")

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "paths",
            list[str],
            option(
                "Output directories of pass 1, histogram.npz files, or stats.json files with a saved histogram.",
                "paths",
                nargs="+",
                metavar="PATH",
                type=str,
            ),
        ),
        ("out", str, option("stats.json to write.", "--out", "-o", metavar="FILE")),
        (
            "clip_percentiles",
            list[float],
            option(
                "Clip values to these percentiles; by default 1 and 99.",
                "--clip-percentiles",
                nargs=2,
                metavar=("LOW", "HIGH"),
                type=float,
            ),
        ),
        ("no_clip", bool, option("Do not clip values.", "--no-clip", default=False)),
        (
            "scenes",
            str,
            option("Text file with the scenes to merge, one key per line.", "--scenes", metavar="FILE"),
        ),
        (
            "save_histograms",
            bool,
            option(
                "Also write the merged histogram beside --out: histogram.npz for stats.json, else NAME.histogram.npz.",
                "--save-histograms",
                default=False,
            ),
        ),
        *OUTPUT_OPTIONS,
    ],
)


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe stats merge``."""
    if arguments[:1] == ["merge"]:
        arguments = arguments[1:]
    elif not {"-h", "--help", "--help-all"} & set(arguments):
        msg = "expected `s2pipe stats merge PATH... --out stats.json`"
        raise UsageError(msg)
    options = parse(command, Options, arguments, "merge")
    if not options.out:
        msg = "--out FILE is needed: the stats.json to write"
        raise UsageError(msg)
    from s2pipe.preprocess.stats.merge import histogram_paths, merge_to_stats
    from s2pipe.runtime.cores import core_count

    if options.no_clip and options.clip_percentiles:
        msg = "--no-clip and --clip-percentiles exclude each other; give only one of them"
        raise UsageError(msg)
    clip = None if options.no_clip else tuple(options.clip_percentiles or (1.0, 99.0))
    paths = histogram_paths([Path(path) for path in options.paths])
    if not paths:
        msg = "no histogram.npz of a scene found in:"
        raise MissingInputError(
            msg,
            options.paths,
            "Run pass 1 (normalize.mode: compute_only) first.",
        )
    stats = merge_to_stats(
        paths,
        Path(options.out),
        clip,
        Path(options.scenes) if options.scenes else None,
        options.save_histograms,
        num_workers=core_count(),
    )
    log.info("%s written from %d scene(s)", options.out, len(stats.scenes))
    if options.json:
        print_json(stats.to_document())
    return 0
