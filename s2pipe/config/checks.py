"""The check of a configuration object made in Python: the same faults as for a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from s2pipe.config.fields import from_plain, to_plain
from s2pipe.config.places import place_faults
from s2pipe.config.schema import document_faults
from s2pipe.errors import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def check_config(config: T, step: str, rules: Callable[[T], list[Fault]]) -> T:
    """Check a configuration object made in Python exactly as one read from a file.

    Parameters
    ----------
    config : dataclass instance
        The configuration.
    step : str
        Name of the step, which is the configuration's key in a file and the beginning of its schema's name.
    rules : callable
        Returns the faults that a schema cannot express.

    Returns
    -------
    dataclass instance
        The same configuration, every value converted to the type of its field: text to paths, lists to tuples,
        NumPy scalars to numbers.

    Raises
    ------
    ConfigError
        With every fault found.
    """
    name = type(config).__name__
    try:
        plain = to_plain(config)
    except ValueError as error:
        raise ConfigError(name, [Fault(step, str(error))]) from error
    faults = document_faults(plain, f"{step}_config") or list(place_faults(type(config), plain))
    if not faults:
        config = from_plain(type(config), plain)
        faults = rules(config)
    if faults:
        raise ConfigError(name, [Fault(f"{step}.{fault.path}", fault.message) for fault in faults])
    return config
