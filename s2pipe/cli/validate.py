"""``s2pipe validate FILE...``: check configurations, manifests and statistics, and report all faults."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json
from s2pipe.config.documents import parse_json, read_document
from s2pipe.config.schema import SCHEMA_IDS, STEP1_INDEX, document_faults
from s2pipe.config.steps import STEPS, top_level_faults
from s2pipe.dataset.step1_index import read_manifest
from s2pipe.errors import DocumentError, Fault

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command

Options = dataclasses.make_dataclass(
    "Options",
    [
        (
            "files",
            list[str],
            option(
                "Files to check: .json, .yaml, .yml or .jsonl.", "files", nargs="+", metavar="FILE", type=str
            ),
        ),
        *OUTPUT_OPTIONS,
    ],
)


def main(command: Command, arguments: list[str]) -> int:
    """Run ``s2pipe validate``; exit code 2 when any file has a fault."""
    options = parse(command, Options, arguments)
    report: dict[str, list[Fault]] = {}
    for file in options.files:
        try:
            report[file] = file_faults(Path(file))
        except DocumentError as error:
            report[file] = list(error.faults)
    for file, faults in report.items():
        if faults:
            print("\n".join(f"{file}: {fault}" for fault in faults), file=sys.stderr)
        elif not (options.quiet or options.json):
            print(f"{file}: valid")
    if options.json:
        print_json({file: [dataclasses.asdict(fault) for fault in faults] for file, faults in report.items()})
    return 2 if any(report.values()) else 0


def file_faults(path: Path) -> list[Fault]:
    """Return every fault of a file. Its ``schema`` key, or its top-level keys, say which schema applies."""
    if path.suffix.lower() == ".jsonl":
        return _lines_faults(path)
    if path.suffix.lower() == ".json" and _is_manifest(path):
        return _faults_of(read_manifest(path))
    return _faults_of(read_document(path))


def _is_manifest(path: Path) -> bool:
    """Tell whether a file is a Step-1 manifest. Other tools write those too, some of them with NaN."""
    try:
        document = read_manifest(path)
    except DocumentError:
        return False
    return isinstance(document, dict) and document.get("schema") == STEP1_INDEX


def _faults_of(document: Any) -> list[Fault]:
    if isinstance(document, dict) and "schema" in document:
        name = SCHEMA_IDS.get(str(document["schema"]))
        if name is None:
            return [Fault("schema", f"{document['schema']!r} is not one of {', '.join(SCHEMA_IDS)}")]
        return document_faults(document, name)
    faults = top_level_faults(document)
    if faults:
        return faults
    found = [step for step in STEPS.values() if step.name in document]
    if not found:
        return [Fault("", f"expected one of the keys {', '.join(STEPS)}, or `schema`")]
    return [fault for step in found for fault in step.faults(document[step.name])]


def _lines_faults(path: Path) -> list[Fault]:
    try:
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        return [Fault("", f"cannot be read: {error}")]
    faults = []
    for number, line in enumerate(lines, 1):
        try:
            found = _faults_of(parse_json(line))
        except ValueError as error:
            found = [Fault("", f"does not parse: {error}")]
        faults += [
            Fault(f"line {number}" + (f".{fault.path}" if fault.path else ""), fault.message)
            for fault in found
        ]
    return faults
