"""HTTP: the only module that imports requests. Session, token, redirects, size limits and repetition.

What a server sends is not trusted: redirects are followed by hand and only between the service's own hosts, the
token is sent to the download host alone, and no body is read beyond its limit, packed or not.
"""

from __future__ import annotations

import http.cookiejar
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests

from s2pipe.download.service.answers import (
    NETWORK_ERRORS,
    Body,
    json_of,
    read_all,
    retry_after,
    service_message,
    why,
)
from s2pipe.download.service.retry import Backoff, Gate, TryAgain, repeat
from s2pipe.download.service.tokens import TokenKeeper
from s2pipe.errors import AuthError, ServiceError, UntrustedServerError
from s2pipe.runtime.limits import MAX_ANSWER_BYTES
from s2pipe.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from s2pipe.download.auth import Auth
    from s2pipe.download.cfg import DownloadConfig, Endpoints

log = logging.getLogger("s2pipe.download")

TOKEN_PATH = "/auth/realms/CDSE/protocol/openid-connect/token"  # noqa: S105 - a path
_ACCEPT_JSON = {"Accept": "application/json", "Accept-Encoding": "gzip"}
_MAX_REDIRECTS = 5
_TRANSIENT = frozenset({408, 425, 500, 502, 503, 504})


class Transport:
    """Requests to the service.

    Parameters
    ----------
    endpoints : Endpoints
        Hosts of the service.
    config : DownloadConfig
        Time-outs, number of connections, repetition.
    auth : Auth
        Where credentials come from; asked when a token is first needed.
    """

    def __init__(self, endpoints: Endpoints, config: DownloadConfig, auth: Auth) -> None:
        self.endpoints = endpoints
        self.stop = threading.Event()
        self._policy = config.retry
        self._gate = Gate(config.concurrency, self.stop)
        self._timeouts = (config.connect_timeout_s, config.read_timeout_s)
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=config.concurrency, max_retries=0)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)
        self._session.headers["User-Agent"] = f"s2pipe/{__version__}"
        self._session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        host = urlsplit(endpoints.identity).hostname or ""
        self._tokens = TokenKeeper(self._post_form, auth, host)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def backoff(self) -> Backoff:
        """Return a new counter of attempts."""
        return Backoff(self._policy, self.stop)

    def log_in(self) -> None:
        """Get a token now, so that a wrong password is found before any work."""
        self._tokens.token()

    def get_json(self, url: str, what: str, *, with_token: bool = False) -> Any:
        """Return the JSON document behind a URL; ``with_token`` shows the token to the download host.

        Raises
        ------
        ServiceError
            Refused, not JSON, or too large.
        UntrustedServerError
            A redirect leaves the service.
        """

        def once() -> Any:
            with self._request(url, what, _ACCEPT_JSON, with_token) as body:
                return json_of(read_all(body, MAX_ANSWER_BYTES, what), what)

        return repeat(once, self.backoff(), what)

    def get_bytes(self, url: str, what: str, limit: int) -> bytes:
        """Return a small file of a product, asked for with the token."""

        def once() -> bytes:
            with self.open(url, what) as body:
                return read_all(body, limit, what)

        return repeat(once, self.backoff(), what)

    @contextmanager
    def open(self, url: str, what: str, offset: int = 0) -> Iterator[Body]:
        """Ask for a file with the token, from ``offset`` on, for one attempt.

        Raises
        ------
        TryAgain
            The attempt failed in a way that another may not.
        ServiceError, AuthError
            It failed for good.
        """
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with self._request(url, what, headers, with_token=True) as body:
            yield body

    @contextmanager
    def _request(
        self, url: str, what: str, headers: Mapping[str, str], with_token: bool = False
    ) -> Iterator[Body]:
        with self._gate.passing():
            response = self._follow(url, what, headers, with_token)
            try:
                self._gate.went_well()
                yield _body_of(response)
            finally:
                response.close()

    def _follow(self, url: str, what: str, headers: Mapping[str, str], with_token: bool) -> requests.Response:
        """Send a request and follow redirects between the service's own hosts."""
        for _ in range(_MAX_REDIRECTS + 1):
            self._refuse_foreign(url, what)
            response = self._send(url, what, headers, with_token)
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            response.close()
            try:
                url = urljoin(url, response.headers.get("Location", ""))
            except ValueError:
                url = ""
        msg = f"{what}: redirected more than {_MAX_REDIRECTS} times; try again later"
        raise ServiceError(msg)

    def _send(self, url: str, what: str, headers: Mapping[str, str], with_token: bool) -> requests.Response:
        """Send one request; repeat it once with a new token when the service no longer takes the old one."""
        for is_last in (False, True):
            token = None
            if with_token and origin(url) == origin(self.endpoints.download):
                token = self._tokens.token()
            response = self._get(url, headers, token)
            if response.status_code < 400 and response.status_code not in (204, 304):
                return response
            with response:
                code, message = service_message(_body_of(response))
            if response.status_code == 401 and token is not None and code != "DAT-ZIP-609":
                self._tokens.rejected(token)
                if not is_last:
                    continue
            self._refused(response, what, f"{code} {message}".strip())
        msg = "unreachable"
        raise AssertionError(msg)

    def _get(self, url: str, headers: Mapping[str, str], token: str | None) -> requests.Response:
        try:
            return self._session.get(
                url,
                headers=dict(headers),
                auth=_Bearer(token),
                timeout=self._timeouts,
                stream=True,
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            msg = (
                f"{origin(url)}: its certificate is not trusted ({why(error)}); check date, proxy and "
                "certificates of this machine"
            )
            raise ServiceError(msg) from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError, ValueError):
            msg = f"{url[:200]!r}: is not a usable address"
            raise ServiceError(msg) from None
        except NETWORK_ERRORS as error:
            msg = f"{origin(url)} does not answer ({why(error)})"
            raise TryAgain(msg) from None

    def _refused(self, response: requests.Response, what: str, said: str) -> None:
        status = response.status_code
        if status == 429:
            after = retry_after(response.headers.get("Retry-After"))
            pause = self._policy.base_delay_s if after is None else after
            self._gate.complained(min(pause, self._policy.max_delay_s))
            raise TryAgain(f"too many requests or sessions (429 {said})".replace(" )", ")"), status, after)
        if status in _TRANSIENT:
            after = retry_after(response.headers.get("Retry-After"))
            raise TryAgain(f"the service failed ({status} {said})".replace(" )", ")"), status, after)
        if status == 401:
            msg = f"{what}: the service does not accept the login (401 {said}); check the account"
            raise AuthError(msg)
        hints = {
            403: "the account may not fetch this",
            404: "the product may have been deleted or replaced since the search; search again",
        }
        hint = hints.get(status, "run again later, or report this")
        msg = f"{what}: refused ({status} {said}); {hint}"
        raise ServiceError(msg, status)

    def _refuse_foreign(self, url: str, what: str) -> None:
        if origin(url) not in (origin(self.endpoints.catalogue), origin(self.endpoints.download)):
            msg = (
                f"{what}: the service points to another host, {origin(url) or 'an unusable address'}; that is "
                "not followed; if it is a mirror of the service, configure it in download.endpoints"
            )
            raise UntrustedServerError(msg)

    def _post_form(self, form: Mapping[str, str]) -> tuple[int, Any]:
        """Send a form to the token endpoint. No error here ever holds the form."""
        url, what = self.endpoints.identity + TOKEN_PATH, "login"

        def once() -> tuple[int, Any]:
            try:
                response = self._session.post(
                    url,
                    data=dict(form),
                    headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                    auth=_Bearer(None),
                    timeout=self._timeouts,
                    stream=True,
                    allow_redirects=False,
                )
            except requests.exceptions.SSLError as error:
                msg = f"{origin(url)}: its certificate is not trusted ({why(error)})"
                raise ServiceError(msg) from None
            except (*NETWORK_ERRORS, ValueError) as error:
                msg = f"{origin(url)} does not answer ({why(error)})"
                raise TryAgain(msg) from None
            with response:
                status = response.status_code
                if 300 <= status < 400:
                    msg = "login: the login service redirects; that is not followed"
                    raise UntrustedServerError(msg)
                if status == 429 or status in _TRANSIENT:
                    after = retry_after(response.headers.get("Retry-After"))
                    msg = f"the login service failed ({status})"
                    raise TryAgain(msg, status, after)
                data = read_all(_body_of(response), 1 << 20, what)
            try:
                return status, json_of(data, what)
            except TryAgain:
                if status == 200:
                    raise
                return status, None

        return repeat(once, self.backoff(), what)


class _Bearer(requests.auth.AuthBase):
    """Sets the token, if any; its presence keeps requests from sending what ~/.netrc has for a host."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _body_of(response: requests.Response) -> Body:
    return Body(response.status_code, response.headers, response.raw)


def origin(url: str) -> str:
    """Return ``scheme://host:port`` of a URL, in one spelling; empty when it has none, or names a user."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return ""
    if not parts.hostname or parts.username is not None or parts.password is not None or "\\" in url:
        return ""
    return f"{parts.scheme}://{parts.hostname.lower()}:{port}"
