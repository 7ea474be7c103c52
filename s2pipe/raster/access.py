"""Who may be asked on the network, and how patiently.

Credentials come from the environment alone (``AWS_ACCESS_KEY_ID`` and so on).
"""

from __future__ import annotations

import contextlib
import functools
import socket
from typing import TYPE_CHECKING

from s2pipe.errors import AuthError, UntrustedServerError
from s2pipe.raster._gdal import gdal_module
from s2pipe.runtime.addresses import is_link_local

if TYPE_CHECKING:
    from s2pipe.runtime.addresses import RemoteAddress

PAUSES_S = (0.2, 0.5, 1.5, 4.0)
"""Pauses before each further try, seconds."""
TIMEOUT_S = 60
"""Longest silence of a server."""
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def is_switched_on(name: str, default: str) -> bool:
    """Read an option of GDAL that is on or off."""
    return (gdal_module().GetConfigOption(name) or default).upper() in ("YES", "TRUE", "ON", "1")


def check_access(address: RemoteAddress) -> None:
    """Check that a place may be asked, before anything is sent to it.

    Raises
    ------
    AuthError
        Object storage is meant and the environment has no credentials.
    UntrustedServerError
        Its host, or the endpoint of object storage, is one where clouds serve credentials, or is not encrypted.
    """
    if address.scheme != "s3":
        _check_host(address.place)
        return
    option = gdal_module().GetConfigOption
    is_public = is_switched_on("AWS_NO_SIGN_REQUEST", "NO")
    missing = [name for name in _KEYS if not option(name)]
    if missing and not is_public:
        msg = (
            f"{address}: the environment has no {' and no '.join(missing)}: object storage is read with the "
            "credentials of the environment alone; set them, or AWS_NO_SIGN_REQUEST=YES for public data (for the "
            "Copernicus Data Space Ecosystem also AWS_S3_ENDPOINT=eodata.dataspace.copernicus.eu, "
            "AWS_VIRTUAL_HOSTING=FALSE)"
        )
        raise AuthError(msg)
    endpoint = option("AWS_S3_ENDPOINT") or ""
    host = endpoint.partition("://")[2] or endpoint
    host = host.partition("/")[0]
    is_plain = endpoint.startswith("http://") or not is_switched_on("AWS_HTTPS", "YES")
    if is_plain and host.partition(":")[0] not in ("localhost", "127.0.0.1"):
        msg = (
            f"{address}: AWS_HTTPS=NO would send requests to {host or 'object storage'} without encryption, "
            "which is for a server on this machine alone; unset it"
        )
        raise UntrustedServerError(msg)
    if host:
        _check_host(host)


@functools.lru_cache(maxsize=256)
def _check_host(place: str) -> None:
    """Refuse hosts whose names lead to where clouds serve credentials to their machines."""
    host = place.partition(":")[0]
    found = [host]
    with contextlib.suppress(OSError, UnicodeError):  # behind a proxy names need not resolve here
        found += [str(item[4][0]) for item in socket.getaddrinfo(host, None)]
    if any(is_link_local(name.partition("%")[0]) for name in found):
        msg = f"{place}: leads to a link-local address, where no data are served; it is not asked"
        raise UntrustedServerError(msg)
