"""Faults that the service plays on demand."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "status",  # answer with ``status``, ``headers`` and ``body``
    "body",  # answer 200 with ``body`` and ``headers``
    "redirect",  # answer ``status`` (301 by default) to ``location``
    "truncate",  # announce everything, send ``at`` bytes, close
    "reset",  # send ``at`` bytes, then reset the connection
    "corrupt",  # send one wrong byte at ``at``
    "hang",  # wait ``seconds`` before answering
    "no_range",  # ignore Range and answer 200 with everything
    "wrong_range",  # answer 206 with another range than was asked for
    "endless",  # announce nothing and send on and on
    "longer",  # announce everything, then send on and on over the same connection
    "gzip",  # pack the answer although nobody asked
    "expire",  # the access tokens handed out so far end now
    "short_length",  # announce and send fewer bytes than the file has
]


@dataclass
class Fault:
    """One fault."""

    kind: Kind
    """What happens."""
    match: str = ""
    """It happens to requests whose host and path (``download/odata/...``) contain this."""
    times: int | None = 1
    """How often; None for always."""
    status: int = 503
    """HTTP status."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of the answer."""
    body: bytes = b""
    """Body of the answer."""
    location: str = ""
    """Where a redirect leads."""
    at: int = 0
    """Byte at which it happens."""
    seconds: float = 0.0
    """How long it takes."""


class Faults:
    """The faults that are switched on; safe to change while the service runs."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        """Switch faults on."""
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._faults.clear()

    def take(self, place: str) -> Fault | None:
        """The fault that happens to a request, if any; counts it."""
        with self._lock:
            for fault in self._faults:
                if fault.match in place and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None
