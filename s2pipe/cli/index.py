"""``s2pipe index PATH... --out DIR``: index products that are already on disk."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json
from s2pipe.errors import UsageError

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command
    from s2pipe.dataset.scene_choice import SceneChoice

log = logging.getLogger("s2pipe.index")

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "paths",
            list[str],
            option(
                "SAFE directories, zip archives of them, or directories that contain such products; or addresses "
                "(s3://bucket/..., https://...) of SAFE directories, whose files stay where they are.",
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
            option(
                "First check the size and checksum of every file. Exit code 1 if some have no checksum to check.",
                "--verify",
                default=False,
            ),
        ),
        (
            "shard",
            str,
            option(
                "Index this share of the scenes, K/N such as 3/16, for job arrays.", "--shard", metavar="K/N"
            ),
        ),
        (
            "scenes",
            list[str],
            option(
                "Index these scenes: keys, or a text file with one per line.",
                "--scenes",
                nargs="+",
                type=str,
                metavar="KEY",
            ),
        ),
        (
            "tiles",
            list[str],
            option("Index products of these MGRS tiles.", "--tiles", nargs="+", type=str, metavar="TILE"),
        ),
        (
            "dates",
            list[str],
            option(
                "Index products of these days: 2025-12-10, or spans such as 2025-12-01/2025-12-31.",
                "--dates",
                nargs="+",
                type=str,
                metavar="DAY",
            ),
        ),
        *OUTPUT_OPTIONS,
    ],
)


def _choice(options: Any) -> SceneChoice | None:
    """Return the scenes that the options ask for; None for all."""
    from s2pipe.dataset.scene_choice import SceneChoice

    scenes = options.scenes
    if scenes is not None:
        scenes = Path(scenes[0]) if len(scenes) == 1 and Path(scenes[0]).is_file() else tuple(scenes)
    tiles, dates = (None if names is None else tuple(names) for names in (options.tiles, options.dates))
    choice = SceneChoice(tiles, dates, scenes, options.shard)
    return None if choice == SceneChoice() else choice


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe index``; exit code 1 when something that looks like a product cannot be used or verified."""
    from s2pipe.indexing.run import index_products

    options = parse(command, Options, arguments)
    if not options.out:
        msg = "--out DIR is needed: the directory of the dataset that the index is written to"
        raise UsageError(msg)
    result = index_products(
        options.paths,
        options.out,
        verify=options.verify,
        only=_choice(options),
    )
    for warning in result.warnings:
        log.warning("%s", warning)
    for product in result.passed_over:
        if product.is_usable:
            log.warning("passed over %s: %s", product.path, product.reason)
    verification = result.verification
    if verification is not None:
        for note in verification.notes:
            log.warning("%s", note)
        (log.info if verification.is_whole else log.error)("%s", verification)
    state = "written" if result.changed else "already up to date"
    log.info(
        "%s %s: %d scene(s) given",
        result.index_path,
        state,
        len(result.scenes),
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
                "verified": None
                if verification is None
                else {
                    "by_checksum": verification.by_checksum,
                    "by_size": verification.by_size,
                    "unverified": verification.unverified,
                    "notes": list(verification.notes),
                },
            }
        )
    return 1 if unusable or not (verification is None or verification.is_whole) else 0
