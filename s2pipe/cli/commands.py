"""The table of commands; light, because ``s2pipe --help`` prints it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from s2pipe.config.steps import STEPS


@dataclass(frozen=True)
class Command:
    """One command of ``s2pipe``."""

    name: str
    """What users type, and the name of the step if it runs one."""
    module: str
    """Module with ``main(command, arguments)``, which returns the exit code. It is imported when the command runs."""
    summary: str
    """What the command does, as one phrase for ``s2pipe --help``."""
    examples: tuple[str, ...] = ()
    """Command lines that its help shows."""

    @property
    def description(self) -> str:
        """The summary as a sentence."""
        return f"{self.summary[0].upper()}{self.summary[1:]}."

    def run(self, arguments: list[str]) -> int:
        """Run the command and return its exit code."""
        code: int = self.load().main(self, arguments)
        return code

    def load(self) -> Any:
        """Import its module."""
        return importlib.import_module(self.module)


def _step(name: str, *examples: str, module: str = "s2pipe.cli.step") -> Command:
    """Return the command of a step. The table of steps says what it does."""
    return Command(name, module, STEPS[name].summary, examples)


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command(
            "init",
            "s2pipe.cli.init",
            "write commented configurations to begin with",
            (
                "s2pipe init mydata",
                "s2pipe init mydata --area 33UWQ --from 2025-06-01 --to 2025-08-31 --bands B02,B03,B04 --labels scl",
            ),
        ),
        _step(
            "download",
            "s2pipe download download.yaml --dry-run",
            "s2pipe download download.yaml --query.cloud-max 20 --control.max-scenes 5",
        ),
        Command(
            "index",
            "s2pipe.cli.index",
            "link and index products that are already on disk",
            ("s2pipe index products/*.SAFE --out out --verify",),
        ),
        _step(
            "preprocess",
            "s2pipe preprocess stats.yaml",
            "s2pipe preprocess apply.yaml --num-workers 4 --tiles T33UWQ",
            "s2pipe preprocess --index-json out/meta/step1/index.json --out-dir out --target-grid-ref B02 "
            "--l1c-bands B02 B03",
        ),
        _step(
            "patches",
            "s2pipe patches patches.yaml",
            "s2pipe patches patches.yaml --plan --index-json out/meta/step1/index.json",
            's2pipe patches patches.yaml --from-db "cloud_fraction < 0.1" --out-dir clear',
            module="s2pipe.cli.patches",
        ),
        Command(
            "stats",
            "s2pipe.cli.stats",
            "merge the histograms of scenes into statistics, without reading pixels",
            ("s2pipe stats merge out_a out_b --out stats.json",),
        ),
        Command(
            "report",
            "s2pipe.cli.report",
            "show what a dataset holds, as one page of HTML for any browser",
            ("s2pipe report out",),
        ),
        Command(
            "stac",
            "s2pipe.cli.stac",
            "write a STAC catalogue of the samples",
            ("s2pipe stac out_norm",),
        ),
        Command(
            "card",
            "s2pipe.cli.card",
            "write a dataset's README.md, LICENSE and Croissant metadata",
            ("s2pipe card out_norm",),
        ),
        Command(
            "demo",
            "s2pipe.cli.demo",
            "make two small products and run the whole pipeline on them",
            ("s2pipe demo --out demo-output",),
        ),
        Command(
            "verify",
            "s2pipe.cli.verify",
            "re-hash a dataset and name every damaged, missing or unexpected file",
            (
                "s2pipe verify out",
                "s2pipe verify out_norm/patches",
            ),
        ),
        Command(
            "compact",
            "s2pipe.cli.compact",
            "write the indexes of a dataset from the journals of its runs",
            ("s2pipe compact out",),
        ),
        Command(
            "export",
            "s2pipe.cli.export",
            "write an index as GeoParquet, or the samples as cubes in Zarr",
            ("s2pipe export out --to scenes.parquet", "s2pipe export zarr out --to cubes"),
        ),
        Command(
            "validate",
            "s2pipe.cli.validate",
            "check configurations, manifests and statistics",
            ("s2pipe validate download.yaml out/meta/step1/index.json",),
        ),
        Command(
            "doctor",
            "s2pipe.cli.doctor",
            "check GDAL, its JPEG 2000 driver, Numba and this machine",
            ("s2pipe doctor",),
        ),
        Command(
            "completion",
            "s2pipe.cli.completion",
            "print a script with which a shell completes commands and options",
            ("s2pipe completion bash > ~/.local/share/bash-completion/completions/s2pipe",),
        ),
    )
}
"""Commands by name, in the order of the pipeline."""
