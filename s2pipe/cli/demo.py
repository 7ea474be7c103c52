"""``s2pipe demo``: run the whole pipeline on two small products."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json
from s2pipe.synthetic import ProductSpec

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command
    from s2pipe.demo.run import DemoResult

Options = dataclasses.make_dataclass(
    "Options",
    [
        ("out", str, option("Directory to write to.", "--out", "-o", default="s2pipe-demo", metavar="DIR")),
        ("seed", int, option("Seed of the landscape.", "--seed", default=ProductSpec.seed, metavar="N")),
        (
            "labels",
            Literal["scl", "land_cover"],
            option(
                "Labels are the scene classes, or classes of a made-up land cover; clouds are known with both.",
                "--labels",
                default="scl",
            ),
        ),
        (
            "reach",
            bool,
            option(
                "Instead, bring an area on two tiles of different UTM zones onto one grid, as seen from nadir.",
                "--reach",
                default=False,
            ),
        ),
        *OUTPUT_OPTIONS,
    ],
)


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe demo``."""
    options = parse(command, Options, arguments)

    from s2pipe.demo.reach import run_reach
    from s2pipe.demo.run import run_demo

    logging.getLogger("s2pipe.demo").info(
        "making two products in %s; this takes most of the time ...", options.out
    )
    if options.reach:
        result = run_reach(Path(options.out), options.seed)
    else:
        result = run_demo(Path(options.out), ProductSpec(seed=options.seed), options.labels)
    if options.json:
        print_json(result.summary())
    elif not options.quiet:
        print(table(result))
    return 0


def table(result: DemoResult) -> str:
    """Return the table of the files that were made."""
    rows = [(what, _size(size), path) for path, size, what in result.files()]
    width = max(len(what) for what, _, _ in rows)
    lines = [f"{what:<{width}}  {size:>9}  {path}" for what, size, path in rows]
    times = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in result.seconds.items())
    look = [f"Look at {path}" for path in (result.picture, result.report) if path is not None]
    return "\n".join(["", f"Made in {result.out_dir}:", "", *lines, "", f"{times}.", *look])


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count} B"
