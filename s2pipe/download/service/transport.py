"""HTTP: the only module that imports requests. Session, token, redirects, size limits and repetition.

What a server sends is not trusted: redirects are followed by hand and only between the service's own hosts, the
token is sent to the download host alone, and no body is read beyond its limit, packed or not.
"""

from __future__ import annotations

import http.client
import http.cookiejar
import logging
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from s2pipe import __version__
from s2pipe.config.documents import parse_json
from s2pipe.download.service.retry import Backoff, Gate, TryAgain, repeat
from s2pipe.download.service.tokens import TokenKeeper
from s2pipe.errors import AuthError, ServiceError, UntrustedServerError
from s2pipe.runtime.limits import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    from s2pipe.download.auth import Auth
    from s2pipe.download.cfg import DownloadConfig, Endpoints

log = logging.getLogger("s2pipe.download")

TOKEN_PATH = "/auth/realms/CDSE/protocol/openid-connect/token"  # noqa: S105 - a path
_ACCEPT_JSON = {"Accept": "application/json", "Accept-Encoding": "gzip"}
_MAX_REDIRECTS = 5
_TRANSIENT = frozenset({408, 425, 500, 502, 503, 504})
_NETWORK_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)


@dataclass(frozen=True)
class Body:
    """An answer whose body is read bit by bit."""

    status: int
    """200, or 206 for a part."""
    headers: Mapping[str, str]
    """Headers of the answer."""
    _raw: Any

    def read(self, count: int) -> bytes:
        """Return up to ``count`` bytes of the body as they came, none at its end.

        Raises
        ------
        TryAgain
            The connection broke or went silent.
        """
        try:
            return bytes(self._raw.read(count, decode_content=False))
        except (*_NETWORK_ERRORS, ValueError, AttributeError) as error:
            msg = f"the connection broke ({_why(error)})"
            raise TryAgain(msg) from None


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
                return _json(_read_all(body, MAX_ANSWER_BYTES, what), what)

        return repeat(once, self.backoff(), what)

    def get_bytes(self, url: str, what: str, limit: int) -> bytes:
        """Return a small file of a product, asked for with the token."""

        def once() -> bytes:
            with self.open(url, what) as body:
                return _read_all(body, limit, what)

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
                yield Body(response.status_code, response.headers, response.raw)
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
                code, message = _service_message(response)
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
                f"{origin(url)}: its certificate is not trusted ({_why(error)}); check date, proxy and "
                "certificates of this machine"
            )
            raise ServiceError(msg) from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError, ValueError):
            msg = f"{url[:200]!r}: is not a usable address"
            raise ServiceError(msg) from None
        except _NETWORK_ERRORS as error:
            msg = f"{origin(url)} does not answer ({_why(error)})"
            raise TryAgain(msg) from None

    def _refused(self, response: requests.Response, what: str, said: str) -> None:
        status = response.status_code
        if status == 429:
            after = _retry_after(response.headers.get("Retry-After"))
            pause = self._policy.base_delay_s if after is None else after
            self._gate.complained(min(pause, self._policy.max_delay_s))
            raise TryAgain(f"too many requests or sessions (429 {said})".replace(" )", ")"), status, after)
        if status in _TRANSIENT:
            after = _retry_after(response.headers.get("Retry-After"))
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
                msg = f"{origin(url)}: its certificate is not trusted ({_why(error)})"
                raise ServiceError(msg) from None
            except (*_NETWORK_ERRORS, ValueError) as error:
                msg = f"{origin(url)} does not answer ({_why(error)})"
                raise TryAgain(msg) from None
            with response:
                status = response.status_code
                if 300 <= status < 400:
                    msg = "login: the login service redirects; that is not followed"
                    raise UntrustedServerError(msg)
                if status == 429 or status in _TRANSIENT:
                    after = _retry_after(response.headers.get("Retry-After"))
                    msg = f"the login service failed ({status})"
                    raise TryAgain(msg, status, after)
                body = Body(status, response.headers, response.raw)
                data = _read_all(body, 1 << 20, what)
            try:
                return status, _json(data, what)
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


def _read_all(body: Body, limit: int, what: str) -> bytes:
    """Read a whole small body; neither its packed nor its unpacked size may exceed the limit."""
    announced = announced_length(body.headers)
    if announced is not None and announced > limit:
        msg = f"{what}: the answer has {announced} bytes, more than the {limit} it may have"
        raise ServiceError(msg)
    packed = body.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in ("identity", "", "gzip"):
        msg = f"{what}: the answer is packed as {packed[:40]!r}, which was not asked for"
        raise ServiceError(msg)
    unpack = zlib.decompressobj(wbits=31) if packed == "gzip" else None
    data, size = bytearray(), 0
    while chunk := body.read(1 << 16):
        size += len(chunk)
        try:
            data += chunk if unpack is None else unpack.decompress(chunk, limit + 1 - len(data))
        except zlib.error:
            msg = "the answer is damaged (gzip)"
            raise TryAgain(msg) from None
        if max(len(data), size) > limit:
            msg = f"{what}: the answer is larger than the {limit} bytes it may have"
            raise ServiceError(msg)
    if announced is not None and size < announced:
        msg = f"the answer ended after {size} of {announced} bytes"
        raise TryAgain(msg)
    if unpack is not None and not unpack.eof:
        msg = "the answer ended early (gzip)"
        raise TryAgain(msg)
    return bytes(data)


def announced_length(headers: Mapping[str, str]) -> int | None:
    """Bytes that Content-Length announces; None when it announces none."""
    text = headers.get("Content-Length", "").strip()
    if not (text.isascii() and text.isdecimal()):
        return None
    return int(text[:19])  # beyond that it is absurd in any case


def _json(data: bytes, what: str) -> Any:
    try:
        return parse_json(data)
    except ValueError:
        msg = f"{what}: the answer is not JSON ({_printable(data[:60])})"
        raise TryAgain(msg) from None


def _service_message(response: requests.Response) -> tuple[str, str]:
    """Code and message of an error, cut to what fits in a line."""
    try:
        data = _read_all(Body(response.status_code, response.headers, response.raw), 1 << 16, "error")
        document = parse_json(data)
    except (TryAgain, ServiceError, ValueError):
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    message = document.get("message") or document.get("detail") or ""
    return _printable(str(document.get("code", "")))[:40], _printable(str(message))[:200]


def _printable(text: str | bytes) -> str:
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return "".join(char if char.isprintable() else " " for char in plain)


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which may be a number or a date."""
    if value is None:
        return None
    text = value.strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _why(error: BaseException) -> str:
    """The kind of a network error, without addresses or headers that its text may hold."""
    inner = error
    while inner.__cause__ is not None or inner.__context__ is not None:
        inner = inner.__cause__ or inner.__context__  # type: ignore[assignment]
    return type(inner).__name__ if inner is error else f"{type(error).__name__}: {type(inner).__name__}"
