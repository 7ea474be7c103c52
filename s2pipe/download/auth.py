"""Credentials for the service: where they come from. They are asked for when a file is to be fetched, not before.

Nothing here ever prints, logs or stores a password; :func:`repr` of every object hides it.
"""

from __future__ import annotations

import base64
import binascii
import getpass
import hmac
import importlib
import netrc
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2pipe.errors import AuthError

DEFAULT_HOST = "identity.dataspace.copernicus.eu"
"""Host under which ``~/.netrc`` and keyrings keep the account."""
_WAYS = (
    "set CDSE_USERNAME and CDSE_PASSWORD (and CDSE_TOTP for a second factor), or put `machine {host} login NAME "
    "password ...` into ~/.netrc, or store them in the system's keyring with `keyring set {host} NAME`, or run "
    "on a terminal to be asked"
)


@dataclass(frozen=True)
class Credentials:
    """A user's name and password, and a one-time code where the account has a second factor."""

    username: str = field(repr=False)
    """Name of the account, an e-mail address."""
    password: str = field(repr=False)
    """Its password."""
    totp: str | None = field(default=None, repr=False)
    """Six-digit code, or the secret (base 32) that such codes are made from; None without a second factor."""

    def code(self, now: float | None = None) -> str | None:
        """Return the one-time code to send, made for this moment when the secret is known."""
        if self.totp is None or not self.totp.strip():
            return None
        text = self.totp.strip().replace(" ", "")
        return text if text.isdigit() else _totp(text, time.time() if now is None else now)

    @property
    def is_reusable(self) -> bool:
        """Whether they serve for another login: a single code does not."""
        text = (self.totp or "").strip().replace(" ", "")
        return not text or not text.isdigit()


def _totp(secret: str, now: float) -> str:
    """One-time code of RFC 6238: SHA-1, 30 seconds, six digits."""
    try:
        key = base64.b32decode(secret.upper() + "=" * (-len(secret) % 8))
    except (binascii.Error, ValueError):
        msg = "the one-time code is neither digits nor a base-32 secret; check CDSE_TOTP"
        raise AuthError(msg) from None
    digest = hmac.new(key, int(now // 30).to_bytes(8, "big"), "sha1").digest()
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"


Source = Callable[[str], "Credentials | None"]
"""Looks credentials up for the login host; None when it has none."""


class Auth:
    """Credentials that are looked up when they are first needed, then kept in memory.

    Parameters
    ----------
    sources : sequence of callable
        Places to look in, in order.
    """

    def __init__(self, *sources: Source) -> None:
        self._sources = sources
        self._found: Credentials | None = None
        self._lock = threading.Lock()

    def credentials(self, host: str = DEFAULT_HOST) -> Credentials:
        """Return the credentials, from the first place that has some.

        Raises
        ------
        AuthError
            No place has any.
        """
        with self._lock:
            for source in () if self._found else self._sources:
                self._found = source(host)
                if self._found is not None:
                    break
            if self._found is None:
                msg = f"fetching files needs an account of the service: {_WAYS.format(host=host)}"
                raise AuthError(msg)
            return self._found

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def password_auth(username: str, password: str, totp: str | None = None) -> Auth:
    """Return credentials that the caller has already, e.g. from a secrets manager."""
    credentials = Credentials(username, password, totp)
    return Auth(lambda _host: credentials)


def prompt_auth() -> Auth:
    """Return credentials from the environment, ``~/.netrc`` or the keyring, else asked for on the terminal.

    Nothing is looked up or asked until a file is really fetched: searching and dry runs need no login.
    """
    return Auth(from_environment, from_netrc, from_keyring, ask)


def unattended_auth() -> Auth:
    """Like :func:`prompt_auth`, but never ask."""
    return Auth(from_environment, from_netrc, from_keyring)


def from_environment(_host: str, environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """Look in ``CDSE_USERNAME``, ``CDSE_PASSWORD`` and ``CDSE_TOTP``."""
    username, password = environ.get("CDSE_USERNAME"), environ.get("CDSE_PASSWORD")
    if not username or not password:
        return None
    return Credentials(username, password, environ.get("CDSE_TOTP") or None)


def from_netrc(host: str, environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """Look in ``~/.netrc`` (or ``$NETRC``) for the login host or the service's own; never its default entry.

    Raises
    ------
    AuthError
        The file cannot be parsed.
    """
    path = Path(environ["NETRC"]) if environ.get("NETRC") else Path.home() / ".netrc"
    try:
        hosts = netrc.netrc(str(path)).hosts
    except OSError:
        return None
    except netrc.NetrcParseError as error:
        msg = f"{path}:{error.lineno}: cannot be read: {error.msg}"
        raise AuthError(msg) from None
    entry = hosts.get(host)
    if entry is None or not entry[0] or not entry[2]:
        return None
    return Credentials(entry[0], entry[2], environ.get("CDSE_TOTP") or None)


def from_keyring(host: str, environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """Look in the system's keyring, if the package ``keyring`` is installed."""
    try:
        keyring: Any = importlib.import_module("keyring")
        errors: Any = importlib.import_module("keyring.errors")
    except ImportError:
        return None
    try:
        found = keyring.get_credential(host, environ.get("CDSE_USERNAME") or None)
    except errors.KeyringError:
        return None
    if found is None or not found.username or not found.password:
        return None
    return Credentials(found.username, found.password, environ.get("CDSE_TOTP") or None)


def ask(host: str) -> Credentials | None:
    """Ask on the terminal; None where there is none."""
    if not sys.stdin.isatty():
        return None
    sys.stderr.write(f"Account for {host}\nuser name: ")
    sys.stderr.flush()
    username = sys.stdin.readline().strip()
    password = getpass.getpass("password: ", stream=sys.stderr)
    totp = getpass.getpass("one-time code (empty without a second factor): ", stream=sys.stderr)
    return Credentials(username, password, totp.strip() or None) if username and password else None
