"""What the three hosts of the service share: products, accounts, faults, limits, and the log of requests."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2pipe.testing.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s2pipe.testing.products import StoredProduct
    from s2pipe.testing.tokens import TokenStore


@dataclass
class Logged:
    """One request as the service saw it."""

    host: str
    """``catalogue``, ``download`` or ``identity``."""
    method: str
    """HTTP method."""
    path: str
    """Path with its query, as sent."""
    authorization: str | None
    """The header Authorization."""
    range: str | None
    """The header Range."""
    headers: dict[str, str]
    """All headers."""
    status: int = 0
    """Status of the answer; 0 when there was none."""
    sent: int = 0
    """Bytes of body that were sent."""

    @property
    def place(self) -> str:
        """Host and path in one text."""
        return f"{self.host}{self.path}"


class ServiceState:
    """What the service holds and how it behaves; tests change its attributes.

    Parameters
    ----------
    products : iterable of StoredProduct
        What it holds.
    tokens : TokenStore
        The one account and its tokens.
    """

    def __init__(self, products: Iterable[StoredProduct], tokens: TokenStore) -> None:
        self.products = {product.id: product for product in products}
        self.tokens = tokens
        self.faults = Faults()
        self.log: list[Logged] = []
        self.addresses: dict[str, str] = {}
        self.max_results = 10_000
        self.max_connections: int | None = 4
        self.most_at_once = 0
        self.supports_ranges = True
        self.announces_ranges = True
        self.rate: float | None = None
        self.piece = 1 << 16
        self.shuffles = True
        self._open = 0
        self._lock = threading.Lock()

    def url(self, name: str) -> str:
        """Return the address of a host."""
        return self.addresses[name]

    def add(self, *products: StoredProduct) -> None:
        """Hold more products."""
        self.products.update({product.id: product for product in products})

    def requests(self, part: str = "") -> list[Logged]:
        """Requests whose host and path contain a text."""
        return [entry for entry in list(self.log) if part in entry.place]

    def enter(self) -> bool:
        """Count a connection to the download host; false when there are too many."""
        with self._lock:
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
            return self.max_connections is None or self._open <= self.max_connections

    def leave(self) -> None:
        """Count the end of a connection."""
        with self._lock:
            self._open -= 1
