"""The table of commands; light, because ``s2pipe --help`` prints it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

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

    @property
    def description(self) -> str:
        """The summary as a sentence."""
        return f"{self.summary[0].upper()}{self.summary[1:]}."

    def run(self, arguments: list[str]) -> int:
        """Run the command and return its exit code."""
        code: int = importlib.import_module(self.module).main(self, arguments)
        return code


def _step(name: str, module: str = "s2pipe.cli.step") -> Command:
    """Return the command of a step. The table of steps says what it does."""
    return Command(name, module, STEPS[name].summary)


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("init", "s2pipe.cli.init", "write commented configurations to begin with"),
        _step("download"),
        Command("index", "s2pipe.cli.index", "link and index products that are already on disk"),
        _step("preprocess"),
        _step("patches", "s2pipe.cli.patches"),
        Command(
            "stats",
            "s2pipe.cli.stats",
            "merge the histograms of scenes into statistics, without reading pixels",
        ),
        Command(
            "report", "s2pipe.cli.report", "show what a dataset holds, as one page of HTML for any browser"
        ),
        Command("stac", "s2pipe.cli.stac", "write a STAC catalogue of the samples"),
        Command("card", "s2pipe.cli.card", "write a dataset's README.md, LICENSE and Croissant metadata"),
        Command("demo", "s2pipe.cli.demo", "make two small products and run the whole pipeline on them"),
        Command(
            "verify",
            "s2pipe.cli.verify",
            "re-hash a dataset and name every damaged, missing or unexpected file",
        ),
        Command(
            "compact",
            "s2pipe.cli.compact",
            "write the indexes of a dataset from the journals of its runs",
        ),
        Command("export", "s2pipe.cli.export", "write an index of a dataset as GeoParquet"),
        Command("validate", "s2pipe.cli.validate", "check configurations, manifests and statistics"),
        Command("doctor", "s2pipe.cli.doctor", "check GDAL, its JPEG 2000 driver, Numba and this machine"),
    )
}
"""Commands by name, in the order of the pipeline."""
