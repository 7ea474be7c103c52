"""One access token for all workers, renewed by one of them before it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from s2pipe.errors import AuthError, ServiceError

if TYPE_CHECKING:
    from s2pipe.download.auth import Auth

CLIENT_ID = "cdse-public"
EARLY_S = 60.0
"""A token is renewed this long before its end, or after 80 % of a shorter life."""
Post = Callable[[Mapping[str, str]], tuple[int, Any]]
"""Sends a form to the token endpoint and returns status and JSON document."""


class TokenKeeper:
    """Logs in when a token is first needed, and keeps it fresh.

    Every login opens a session of which the service allows few, so all workers share one token, and renewing
    it by refresh token is tried before logging in anew.

    Parameters
    ----------
    post : callable
        Sends a form to the token endpoint.
    auth : Auth
        Where the credentials come from.
    host : str
        Login host, under which credentials are looked up.
    """

    def __init__(self, post: Post, auth: Auth, host: str) -> None:
        self._post = post
        self._auth = auth
        self._host = host
        self._lock = threading.Lock()
        self._access: str | None = None
        self._refresh: str | None = None
        self._renew_at = 0.0
        self._refresh_ends = 0.0
        self._logins = 0
        self._failure: str | None = None

    def token(self) -> str:
        """Return a token that is valid for a while; of several callers one renews it and the others wait.

        Raises
        ------
        AuthError
            There are no credentials, or the service does not accept them.
        """
        with self._lock:
            if self._failure is not None:  # a refused password is not tried again: accounts get locked
                raise AuthError(self._failure)
            if self._access is None or time.monotonic() >= self._renew_at:
                self._renew()
            assert self._access is not None
            return self._access

    def rejected(self, token: str) -> None:
        """Note that the service no longer accepts ``token``."""
        with self._lock:
            if token == self._access:
                self._access = None

    def _renew(self) -> None:
        now = time.monotonic()
        if self._refresh is not None and now < self._refresh_ends:
            form = {"grant_type": "refresh_token", "refresh_token": self._refresh, "client_id": CLIENT_ID}
            status, document = self._post(form)
            if status == 200:
                self._take(document, now)
                return
        self._log_in()

    def _log_in(self) -> None:
        credentials = self._auth.credentials(self._host)
        if self._logins and not credentials.is_reusable:
            self._fail(
                "the session ended, and its one-time code has been used; run again with a new code, or give "
                "the secret that codes are made from as CDSE_TOTP"
            )
        form = {
            "client_id": CLIENT_ID,
            "grant_type": "password",
            "username": credentials.username,
            "password": credentials.password,
        }
        code = credentials.code()
        if code is not None:
            form["totp"] = code
        now = time.monotonic()
        status, document = self._post(form)
        if status != 200:
            self._fail(_refusal(status, document, code is not None))
        self._take(document, now)
        self._logins += 1

    def _fail(self, message: str) -> None:
        self._failure = message
        raise AuthError(message)

    def _take(self, document: Any, now: float) -> None:
        access = document.get("access_token") if isinstance(document, dict) else None
        # Only what a header may carry: a line break would end it.
        if not isinstance(access, str) or not access.isascii() or not access.isprintable() or not access:
            msg = "the login service's answer has no usable access_token; try again later"
            raise ServiceError(msg)
        life = _seconds(document.get("expires_in"), 600.0)
        refresh = document.get("refresh_token")
        self._access = access
        self._renew_at = now + max(life - EARLY_S, 0.8 * life)
        if isinstance(refresh, str):
            self._refresh = refresh
            self._refresh_ends = now + _seconds(document.get("refresh_expires_in"), 3600.0)

    def __repr__(self) -> str:
        return "<TokenKeeper>"


def _seconds(value: Any, default: float) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9:
        return float(value)
    return default


def _refusal(status: int, document: Any, had_code: bool) -> str:
    """Say why a login failed, in the service's words only where these are known to hold no secret."""
    error = document.get("error") if isinstance(document, dict) else None
    if status in (400, 401) and error in ("invalid_grant", None):
        second = "" if had_code else "; an account with a second factor also needs CDSE_TOTP"
        return f"the login service refused user name or password{second}; correct them and run again"
    known = error if isinstance(error, str) and error.isascii() and error.replace("_", "").isalnum() else ""
    return f"the login service refused the request ({status} {known[:60]}); check the account and run again"
