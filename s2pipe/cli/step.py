"""Commands that run a step from a configuration: ``s2pipe preprocess CONFIG [--option value ...]``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from s2pipe.cli.arguments import OUTPUT_OPTIONS, option, parse, switch_value
from s2pipe.cli.output import print_json
from s2pipe.config.options import merged, option_of, options_class, overrides
from s2pipe.config.schema import MISSING_KEY
from s2pipe.config.steps import STEPS, Step, build_config, read_step_document
from s2pipe.errors import ConfigError, Fault, UsageError
from s2pipe.runtime.paths import user_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from s2pipe.cli.commands import Command


def main(command: Command, arguments: list[str]) -> int:
    """Run the step of a command."""
    step = STEPS[command.name]
    options = parse(command, step_options(step), arguments)
    path, document = step_document(options, step)
    config = configured(document, options, step, path)
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
    return options_class(step.config_class, extra, step.short_options, step.usual)


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
    if given in ("true", "false"):
        raise UsageError(switch_value(given))
    if not given:
        return None, {}
    return user_path(given), read_step_document(user_path(given), step)


def configured(document: Mapping[str, Any], options: Any, step: Step, path: Path | None) -> Any:
    """Make the configuration of a step from its file and the options over it.

    Raises
    ------
    ConfigError
        With every fault. Those of values that options gave name the option.
    """
    given = overrides(options, step.config_class)
    source = "command line" if path is None else str(path)
    try:
        return build_config(merged(document, given), step, source)
    except ConfigError as error:
        faults: list[Fault] = []
        of_options: list[Fault] = []
        for fault in error.faults:
            option = _named_after_option(fault, step, given)
            (faults if option is None else of_options).append(option or _with_option(fault, step))
        if not of_options:
            raise ConfigError(source, faults) from None
        line = "command line"
        if source == line or not faults:
            raise ConfigError(line, [*of_options, *faults]) from None
        both = f"{ConfigError(line, of_options)}\n{ConfigError(source, faults)}"
        raise UsageError(both) from None


def _named_after_option(fault: Fault, step: Step, given: Mapping[tuple[str, ...], Any]) -> Fault | None:
    """Name the option that gave the value which is at fault; None where it is of the file."""
    place = fault.path.removeprefix(f"{step.name}.")
    for key in map(".".join, given):
        if re.match(rf"{re.escape(key)}(?!\w)", place):
            return Fault(option_of(key) + place.removeprefix(key), fault.message)
    return None


def _with_option(fault: Fault, step: Step) -> Fault:
    """Say which option gives a key that is missing."""
    if fault.message != MISSING_KEY:
        return fault
    option = option_of(fault.path.removeprefix(f"{step.name}."))
    return Fault(fault.path, f"{fault.message}; give it in the configuration file, or as {option}")
