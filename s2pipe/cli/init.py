"""``s2pipe init [DIR]``: commented configurations to begin with, from questions or options."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json
from s2pipe.config.starter import commented_yaml, example
from s2pipe.config.steps import STEPS
from s2pipe.errors import ConfigError, Fault, UsageError
from s2pipe.runtime.files import write_bytes_atomic
from s2pipe.runtime.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from s2pipe.cli.commands import Command

log = logging.getLogger("s2pipe.init")

PURPOSES = {
    "training": ("download", "stats", "apply", "patches"),
    "reflectance": ("download", "apply"),
}
"""What a dataset is for, and the configurations that it takes."""

_HEADS = {
    "download": "Step 1: search, pair, fetch and verify products. Try it first: s2pipe download {file} --dry-run",
    "stats": "Pass 1: statistics of all scenes. Writes no rasters. Run it with: s2pipe preprocess {file}",
    "apply": "Samples on one grid. Run it with: s2pipe preprocess {file}",
    "patches": "Patches, their split and shards. Run it with: s2pipe patches {file}",
}
_TILE = re.compile(r"T?\d{2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V]")
_BOUNDS = re.compile(r"\s*[-+.\deE]+(\s*,\s*[-+.\deE]+){3}\s*")

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "dir",
            str,
            option(
                "Directory for the files; made if it is not there.",
                "dir",
                nargs="?",
                default=".",
                metavar="DIR",
                type=str,
            ),
        ),
        (
            "purpose",
            str,
            option(
                "training: normalised samples with labels, patches, splits and shards; reflectance: samples of "
                "reflectance alone.",
                "--purpose",
                choices=list(PURPOSES),
            ),
        ),
        (
            "area",
            str,
            option(
                "Where: MGRS tiles (33UWQ or 33UWQ,33UWP), or an area as a GeoJSON, GeoPackage or .wkt file, WKT, or "
                "left,bottom,right,top in degrees.",
                "--area",
            ),
        ),
        ("start", str, option("First day, such as 2025-06-01.", "--from", metavar="DAY")),
        ("end", str, option("Last day, such as 2025-08-31.", "--to", metavar="DAY")),
        (
            "bands",
            str,
            option(
                "L1C bands, such as B02,B03,B04, or bands of both levels, such as l2a.B04_10m.", "--bands"
            ),
        ),
        (
            "labels",
            str,
            option(
                "scl (scene classification), cloud_probability, none, or a raster of your own: "
                "labels/{tile_id}.tif.",
                "--labels",
            ),
        ),
        ("overwrite", bool, option("Replace files that are there.", "--overwrite", default=False)),
        (
            "defaults",
            bool,
            option("Ask nothing: take defaults for what no option says.", "--defaults", default=False),
        ),
        *OUTPUT_OPTIONS,
    ],
)


@dataclass(frozen=True)
class Answers:
    """What the configurations are made from."""

    purpose: str
    """One of ``PURPOSES``."""
    area: str
    """Tiles, or an area."""
    start: str
    """First day."""
    end: str
    """Last day."""
    bands: tuple[str, ...]
    """Names of bands."""
    labels: str
    """Backend, ``none``, or the path of a raster."""


_QUESTIONS = {
    "purpose": f"What is the dataset for ({', '.join(PURPOSES)})?",
    "area": "Where: MGRS tiles, a file with an area, or left,bottom,right,top?",
    "start": "First day?",
    "end": "Last day?",
    "bands": "Which bands?",
    "labels": "Which labels (scl, cloud_probability, none, or the path of a raster)?",
}


_LABELS = ("scl", "cloud_probability", "none")
"""Labels that are not a raster of the user's own."""


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe init``."""
    options = parse(command, Options, arguments)
    ask = None if options.defaults or not (sys.stdin.isatty() and sys.stderr.isatty()) else _ask
    answers = answered({name: getattr(options, name) for name in _QUESTIONS}, ask)
    directory = Path(options.dir).expanduser()
    answers = dataclasses.replace(
        answers, area=_seen_from(directory, answers.area), labels=_seen_from(directory, answers.labels)
    )
    texts = {directory / f"{name}.yaml": text for name, text in configurations(answers).items()}
    existing = [str(path) for path in texts if path.exists()]
    if existing and not options.overwrite:
        msg = f"{', '.join(existing)}: exists already; give another directory, or --overwrite to replace it"
        raise UsageError(msg)
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        write_bytes_atomic(path, text.encode())
        log.info("wrote %s", path)
    log.info("%s", _next_steps(directory, answers))
    if options.json:
        print_json({"files": [str(path) for path in texts], **dataclasses.asdict(answers)})
    return 0


def answered(given: dict[str, str | None], ask: Callable[[str, str], str] | None) -> Answers:
    """Complete what options gave with answers, or with the values of the example configurations.

    Parameters
    ----------
    given : dict
        Values of options by name, None where an option was not given.
    ask : callable, optional
        Takes a question and its default, returns the answer; without it, defaults are taken.

    Raises
    ------
    UsageError
        A purpose, an area or labels that are none.
    """
    query = example("download")["download"]["query"]
    defaults = {
        "purpose": "training",
        "area": query["tile_id"],
        "start": query["date_from_utc"][:10],
        "end": query["date_to_utc"][:10],
        "bands": ",".join(example("apply")["preprocess"]["l1c_bands"]),
        "labels": "scl",
    }
    values = {}
    for name, value in given.items():
        if value is not None:
            values[name] = value.strip()
            continue
        default = defaults[name] if name != "labels" or values["purpose"] == "training" else "none"
        values[name] = ask(_QUESTIONS[name], default) if ask else default
        if ask is None and name in ("area", "start", "end"):
            log.info("%s: %s, as in the examples; change it in download.yaml", name, default)
    _check(values)
    bands = tuple(filter(None, re.split(r"[\s,]+", values.pop("bands"))))
    return Answers(bands=bands, **values)


def _check(values: dict[str, str]) -> None:
    """Refuse answers that could be anything, and would be taken for files that are not there."""
    faults = []
    purpose, area, labels = (values[name] for name in ("purpose", "area", "labels"))
    if purpose not in PURPOSES:
        faults.append(f"--purpose: expected one of {', '.join(PURPOSES)}, got {purpose!r}")
    if not _tiles(area) and not re.search(r"[,(.]", area):
        faults.append(
            f"--area: expected tiles such as 33UWQ, a file, WKT or left,bottom,right,top, got {area!r}"
        )
    if labels not in _LABELS and not Path(labels).suffix:
        meant = did_you_mean(labels, _LABELS)
        faults.append(
            f"--labels: expected {', '.join(_LABELS)} or a raster (labels/{{tile_id}}.tif), got {labels!r}{meant}"
        )
    if faults:
        raise UsageError("\n".join(faults))


def configurations(answers: Answers) -> dict[str, str]:
    """Return the configuration files by their name, without extension, as commented YAML.

    Raises
    ------
    ConfigError
        Answers that no configuration takes, all of them.
    """
    documents = {name: example(name) for name in PURPOSES[answers.purpose]}
    _fill_download(documents["download"]["download"], answers)
    for name in ("stats", "apply"):
        if name in documents:
            _fill_preprocess(documents[name]["preprocess"], answers)
    faults: dict[str, Fault] = {}
    for document in documents.values():
        for name, part in document.items():
            for fault in STEPS[name].faults(part):
                faults.setdefault(fault.message, fault)
    if faults:
        source = "the answers"
        raise ConfigError(source, list(faults.values()))
    return {
        name: commented_yaml(
            document,
            f"{_HEADS[name].format(file=f'{name}.yaml')}\nPaths are relative to the directory that s2pipe runs in. All "
            f"keys: s2pipe {next(iter(document))} --help-all",
        )
        for name, document in documents.items()
    }


def _fill_download(config: dict[str, Any], answers: Answers) -> None:
    query, selection = config["query"], config["selection"]
    tiles = _tiles(answers.area)
    del query["tile_id"]
    if tiles:
        query.update({"tile_id": tiles[0]} if len(tiles) == 1 else {"tile_ids": tiles})
    else:
        query["geometry"] = answers.area
        query["min_coverage_ratio"] = 0.0  # an area may lie where a product covers little of its tile
    query["date_from_utc"], query["date_to_utc"] = answers.start, answers.end
    levels = [band.rpartition(".") for band in answers.bands]
    selection["l1c_bands"] = [band for level, _, band in levels if level in ("", "l1c")]
    l2a = [band for level, _, band in levels if level == "l2a"]
    if l2a:
        selection["l2a_bands"] = l2a
    if answers.labels == "cloud_probability":
        selection["l2a_cloud_probability_20m"] = True
    config.pop("control", None)  # the examples are for three scenes


def _fill_preprocess(config: dict[str, Any], answers: Answers) -> None:
    if any("." in band for band in answers.bands):
        del config["l1c_bands"]
        config["bands"] = [band if "." in band else f"l1c.{band}" for band in answers.bands]
    else:
        config["l1c_bands"] = list(answers.bands)
    if not _tiles(answers.area):
        is_bounds = _BOUNDS.fullmatch(answers.area) is not None
        config["aoi"] = [float(part) for part in answers.area.split(",")] if is_bounds else answers.area
    if "labels" in config:
        if answers.labels == "none":
            del config["labels"]
        elif answers.labels in ("scl", "cloud_probability"):
            config["labels"] = {"enabled": True, "backend": answers.labels}
        else:
            config["labels"] = {"enabled": True, "backend": "raster", "path": answers.labels}
    if answers.purpose == "reflectance":
        config["normalize"] = {"mode": "none"}
        config["out_dir"] = example("stats")["preprocess"]["out_dir"]


def _seen_from(directory: Path, place: str) -> str:
    """Name a file as runs in that directory have to: relative to it."""
    path = Path(place).expanduser()
    try:
        is_file = path.is_file()
    except OSError:  # a text that is too long for a name, such as WKT
        return place
    return (
        os.path.relpath(path, directory)
        if is_file and not path.is_absolute()
        else str(path)
        if is_file
        else place
    )


def _tiles(area: str) -> list[str]:
    """The tiles that an area names, or none when it is another kind of area."""
    parts = re.split(r"[\s,]+", area.strip())
    return parts if all(map(_TILE.fullmatch, parts)) else []


def _next_steps(directory: Path, answers: Answers) -> str:
    steps = {"download": "download", "patches": "patches"}
    lines = [f"  s2pipe {steps.get(name, 'preprocess')} {name}.yaml" for name in PURPOSES[answers.purpose]]
    lines[0] += " --dry-run    # then without --dry-run"
    where = "" if directory == Path() else f"  cd {directory}\n"
    return "next:\n" + where + "\n".join(lines)


def _ask(question: str, default: str) -> str:
    """Ask on the terminal: the question goes to stderr, so that stdout stays with the summary."""
    print(f"{question} [{default}] ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise KeyboardInterrupt
    return line.strip() or default
