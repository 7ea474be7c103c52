"""The three hosts of the service as three local servers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from s2pipe.testing.catalogue import answer_catalogue
from s2pipe.testing.download import answer_download
from s2pipe.testing.exchange import HostServer, Logged
from s2pipe.testing.faults import Faults
from s2pipe.testing.identity import answer_identity
from s2pipe.testing.tokens import TokenStore

if TYPE_CHECKING:
    from s2pipe.testing.products import StoredProduct

_HOSTS = {"catalogue": answer_catalogue, "download": answer_download, "identity": answer_identity}


class Service:
    """The service; use it as a context manager.

    Parameters
    ----------
    products : list of StoredProduct
        What it holds.
    token_life_s : float
        Life of access tokens.
    username, password, totp : str
        The one account.
    signed : bool
        Hand out signed tokens (JWT), which other clients check.
    ports : tuple of int
        Ports of catalogue, download and identity; 0 takes any.
    """

    def __init__(
        self,
        products: list[StoredProduct] | None = None,
        *,
        token_life_s: float = 600.0,
        username: str = "eve@example.org",
        password: str = "correct horse",  # noqa: S107 - the account of a test service
        totp: str | None = None,
        signed: bool = False,
        ports: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        self.products = {product.id: product for product in products or []}
        self.tokens = TokenStore(
            username=username, password=password, totp=totp, life_s=token_life_s, signed=signed
        )
        self.faults = Faults()
        self.log: list[Logged] = []
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
        self._servers = {
            name: HostServer(port, self, name, answer)
            for (name, answer), port in zip(_HOSTS.items(), ports, strict=True)
        }

    def url(self, name: str) -> str:
        """Return the address of a host."""
        return f"http://127.0.0.1:{self._servers[name].server_port}"

    @property
    def endpoints(self) -> dict[str, str]:
        """Addresses by host, as ``download.endpoints`` takes them."""
        return {name: self.url(name) for name in self._servers}

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point s2pipe at the service."""
        return {f"S2PIPE_{name.upper()}_URL": self.url(name) for name in self._servers}

    def add(self, *products: StoredProduct) -> None:
        """Hold more products."""
        self.products.update({product.id: product for product in products})

    def requests(self, part: str = "") -> list[Logged]:
        """Requests whose host and path contain a text."""
        return [entry for entry in list(self.log) if part in entry.place]

    def __enter__(self) -> Service:
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

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
