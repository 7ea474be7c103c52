"""GDAL on the network: its options for a thread, and what it must not pass over in silence.

GDAL asks the relay of this process, which asks the server: see :mod:`s2pipe.raster.relay`. GDAL's own repetitions
(``GDAL_HTTP_MAX_RETRY`` and others, where the environment sets them) come first; what still fails is asked for again
here, after GDAL has forgotten what it kept of the file, since it keeps answers that were cut short as if the file ended
there.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, TypeVar

from s2pipe.errors import RasterError
from s2pipe.raster._gdal import gdal_module, heard_warnings, thread_option
from s2pipe.raster.access import PAUSES_S, TIMEOUT_S
from s2pipe.raster.relay import is_network, network_names, refusal_of, relayed, unrelayed
from s2pipe.raster.remote import RemoteState, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s2pipe.runtime.addresses import RemoteAddress

T = TypeVar("T")
_DEFAULTS = {
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_LOW_SPEED_TIME": str(
        2 * TIMEOUT_S
    ),  # the relay waits for the server that long, and asks once more
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
}
"""What holds unless the environment or the program says otherwise."""
_FIXED = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_NUM_THREADS": "1",  # GDAL's own threads would not see the options of this one
    "GDAL_HTTP_NETRC": "NO",
    "GDAL_HTTP_PROXY": "",  # the relay is in this process; it asks servers through the proxy of the environment
    "GDAL_HTTP_VERSION": "1.1",
}


@contextlib.contextmanager
def network_options() -> Iterator[None]:
    """Set GDAL's options of network access for this thread."""
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
    for name in network_names(relayed(source)):
        gdal_module().VSICurlPartialClearCache(name)


def fresh_state_of(address: RemoteAddress) -> RemoteState | None:
    """Look at a file that GDAL is to read, as :func:`s2pipe.raster.remote.state_of` does.

    What GDAL keeps of the file may be of an earlier state, and is forgotten.
    """
    forget(address.gdal_path)
    return state_of(address)


def tried(source: str, act: Callable[[str], T]) -> T:
    """Do something with a raster, and again after a pause if it lies on the network and that fails.

    Parameters
    ----------
    source : str
        Path, or VRT text that s2pipe made.
    act : callable
        What to do; it is given the path or text that GDAL is to open in place of the source.

    Raises
    ------
    RasterError
        It fails for good.
    ServiceError, UntrustedServerError
        The server refuses a file, or points elsewhere.
    """
    if not is_network(source):
        return act(source)
    for pause in PAUSES_S:
        try:
            return _whole(source, act)
        except RasterError:
            forget(source)
            time.sleep(pause)
    return _whole(source, act)


def _whole(source: str, act: Callable[[str], T]) -> T:
    """Do something, and say of a failure what the server said."""
    try:
        return _unwarned(source, act)
    except RasterError as error:
        if (refusal := refusal_of(source)) is not None:
            forget(source)  # GDAL remembers that there was no file
            raise refusal from error
        raise RasterError(unrelayed(str(error))) from error


def _unwarned(source: str, act: Callable[[str], T]) -> T:
    """Do something, and raise what GDAL only warns of: decoders take what did not arrive for pixels without data."""
    with network_options(), heard_warnings() as heard:
        result = act(relayed(source))
    told = [message for message in heard if "Retrying again" not in message]
    if told:
        msg = f"{network_names(source)[0]}: cannot be read whole ({' '.join(told[0].split())})"
        raise RasterError(msg)
    return result
