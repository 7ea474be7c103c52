"""The three hosts of the service as three local servers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from s2pipe.testing.catalogue import answer_catalogue
from s2pipe.testing.download import answer_download
from s2pipe.testing.exchange import HostServer
from s2pipe.testing.identity import answer_identity
from s2pipe.testing.state import ServiceState
from s2pipe.testing.tokens import TokenStore

if TYPE_CHECKING:
    from s2pipe.testing.products import StoredProduct

_HOSTS = {"catalogue": answer_catalogue, "download": answer_download, "identity": answer_identity}


class Service(ServiceState):
    """The service; use it as a context manager. ``tokens`` holds its one account.

    Parameters
    ----------
    products : list of StoredProduct
        What it holds.
    token_life_s : float
        Life of access tokens.
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
        signed: bool = False,
        ports: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        super().__init__(products or [], TokenStore(life_s=token_life_s, signed=signed))
        self._servers = {
            name: HostServer(port, self, name, answer)
            for (name, answer), port in zip(_HOSTS.items(), ports, strict=True)
        }
        self.addresses = {
            name: f"http://127.0.0.1:{server.server_port}" for name, server in self._servers.items()
        }

    @property
    def endpoints(self) -> dict[str, str]:
        """Addresses by host, as ``download.endpoints`` takes them."""
        return dict(self.addresses)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point s2pipe at the service."""
        return {f"S2PIPE_{name.upper()}_URL": url for name, url in self.addresses.items()}

    def __enter__(self) -> Service:
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()
