"""Which workers a configuration names: processes of this machine, or a scheduler that is running."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_PROCESSES = re.compile(r"processes:([1-9][0-9]{0,3})", re.ASCII)
_ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://[^\s/]+:[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True)
class Scheduler:
    """Where tasks go; one of the fields is given."""

    processes: int | None = None
    """Number of processes of this machine that are started for the run."""
    address: str | None = None
    """Address of a scheduler."""
    file: Path | None = None
    """File that a scheduler has written its address to."""

    @classmethod
    def parse(cls, text: str) -> Scheduler:
        """Read the value of the key ``scheduler``; what is neither processes nor an address names a file."""
        match = _PROCESSES.fullmatch(text)
        if match is not None:
            return cls(processes=int(match[1]))
        if _ADDRESS.fullmatch(text):
            return cls(address=text)
        return cls(file=Path(text))

    def __str__(self) -> str:
        return str(self.address or self.file or f"processes:{self.processes}")


def scheduler_fault(text: str | None) -> str | None:
    """Say what is wrong with the value of the key ``scheduler``; None when nothing is."""
    if text is None:
        return None
    file = Scheduler.parse(text).file
    if file is None or file.is_file():
        return None
    expected = "expected processes:N, tcp://HOST:PORT or a scheduler file that exists"
    return f"{expected}, got {text!r}"
