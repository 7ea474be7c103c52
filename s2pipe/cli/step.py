"""Commands that run a step from a configuration: ``s2pipe preprocess CONFIG [--option value ...]``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse
from s2pipe.cli.output import print_json
from s2pipe.config.options import merged, options_class, overrides
from s2pipe.config.steps import STEPS, Step, build_config, read_step_document
from s2pipe.errors import UsageError

if TYPE_CHECKING:
    from s2pipe.cli.commands import Command


def main(command: Command, arguments: list[str]) -> int:
    """Run the step of a command."""
    step = STEPS[command.name]
    options = parse(command, step_options(step), arguments)
    path, document = step_document(options, step)
    document = merged(document, overrides(options, step.config_class))
    config = build_config(document, step, "command line" if path is None else str(path))
    result = step.run_config(config)
    if options.json:
        print_json(result.summary())
    return result.exit_code


def step_options(step: Step) -> type:
    """Return the options dataclass of a step: the file, the output switches and the keys of its configuration."""
    extra: list[tuple[str, Any, Any]] = [
        (
            "file",
            str,
            option("Configuration file (JSON or YAML).", "file", nargs="?", type=str, metavar="CONFIG"),
        ),
        ("config", str, option("Another way to give the configuration file.", "--config", metavar="CONFIG")),
        *OUTPUT_OPTIONS,
    ]
    return options_class(step.config_class, extra, step.short_options)


def step_document(options: Any, step: Step) -> tuple[Path | None, dict[str, Any]]:
    """Read the configuration file, given as an argument or as --config; without one, options say everything.

    Returns
    -------
    tuple of Path or None and dict
        The file, and the step's part of it.

    Raises
    ------
    UsageError
        Two files are given.
    ConfigError
        The file cannot be read, or lacks the step's part.
    """
    if options.file and options.config:
        msg = f"two configuration files given ({options.file} and --config {options.config}); give one"
        raise UsageError(msg)
    given = options.file or options.config
    if not given:
        return None, {}
    return Path(given), read_step_document(Path(given), step)
