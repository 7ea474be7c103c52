"""GDAL on the network: its options for a thread, what it must not pass over in silence, and who may be asked.

GDAL's own repetitions (``GDAL_HTTP_MAX_RETRY`` and others, where the environment sets them) come first; what still
fails is asked for again here, after GDAL has forgotten what it kept of the file, since it keeps answers that were cut
short as if the file ended there. Credentials come from the environment alone (``AWS_ACCESS_KEY_ID`` and so on).
"""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import time
from typing import TYPE_CHECKING, TypeVar

from s2pipe.errors import AuthError, RasterError, UntrustedServerError
from s2pipe.raster._gdal import gdal_module, heard_warnings, thread_option
from s2pipe.runtime.addresses import RemoteAddress, is_link_local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
PAUSES_S = (0.2, 0.5, 1.5, 4.0)
"""Pauses before each further try, seconds."""
TIMEOUT_S = 60
"""Longest silence of a server."""
_NETWORK = re.compile(r"/vsi(?:s3|curl)/[^<>\"]+")
_DEFAULTS = {
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_LOW_SPEED_TIME": str(TIMEOUT_S),
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
}
"""What holds unless the environment or the program says otherwise."""
_FIXED = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_NUM_THREADS": "1",  # GDAL's own threads would not see the options of this one
    "GDAL_HTTP_NETRC": "NO",
    "CPL_VSIL_CURL_AUTHORIZATION_HEADER_ALLOWED_IF_REDIRECT": "NO",
    "CPL_AWS_EC2_API_ROOT_URL": "http://127.0.0.1:9",
}
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def is_network(source: str) -> bool:
    """Tell whether a path, or a VRT's text, leads to files on the network."""
    return _NETWORK.search(source) is not None


@contextlib.contextmanager
def network_options(source: str = "/vsis3/") -> Iterator[None]:
    """Set GDAL's options of network access for this thread, if a source needs them."""
    if "/vsis3/" not in source and "/vsicurl/" not in source:
        yield
        return
    gdal = gdal_module()
    with contextlib.ExitStack() as stack:
        for name, value in _DEFAULTS.items():
            if gdal.GetConfigOption(name) is None:
                stack.enter_context(thread_option(name, value))
        for name, value in _FIXED.items():
            stack.enter_context(thread_option(name, value))
        yield


def forget(source: str) -> None:
    """Make GDAL forget what it keeps of the files on the network that a source names."""
    for path in _NETWORK.findall(source):
        gdal_module().VSICurlPartialClearCache(path)


def tried(source: str, act: Callable[[], T]) -> T:
    """Do something with a raster, and again after a pause if it lies on the network and that fails.

    Raises
    ------
    RasterError
        It fails for good.
    """
    if not is_network(source):
        return act()
    for pause in PAUSES_S:
        try:
            return _whole(source, act)
        except RasterError:
            forget(source)
            time.sleep(pause)
    return _whole(source, act)


def _whole(source: str, act: Callable[[], T]) -> T:
    """Do something, and raise what GDAL only warns of: decoders take what did not arrive for pixels without data."""
    with network_options(source), heard_warnings() as heard:
        result = act()
    told = [message for message in heard if "Retrying again" not in message]
    if told:
        msg = f"{_NETWORK.findall(source)[0]}: cannot be read whole ({' '.join(told[0].split())})"
        raise RasterError(msg)
    return result


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
