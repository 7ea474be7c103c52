"""Requests to object storage, signed with the credentials of the environment (AWS Signature Version 4).

GDAL would sign what it reads, too; but it follows where servers point, and does not tell a file that is absent from a
request that failed.
"""

from __future__ import annotations

import hashlib
import hmac
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from s2pipe.raster._gdal import gdal_module
from s2pipe.raster.access import is_switched_on

if TYPE_CHECKING:
    from collections.abc import Mapping

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_UNESCAPED = "/-_.~"


def request_of(
    bucket: str, key: str = "", query: Mapping[str, str] | None = None, method: str = "GET"
) -> urllib.request.Request:
    """Make a request, signed unless the environment says that data are public.

    Parameters
    ----------
    bucket, key : str
        What is asked for; without a key the bucket itself.
    query : mapping, optional
        Parameters.
    method : str
        ``GET`` or ``HEAD``.
    """
    option = gdal_module().GetConfigOption
    region = option("AWS_REGION") or option("AWS_DEFAULT_REGION") or "us-east-1"
    endpoint = option("AWS_S3_ENDPOINT") or f"s3.{region}.amazonaws.com"
    is_plain = endpoint.startswith("http://") or not is_switched_on("AWS_HTTPS", "YES")
    host = (endpoint.partition("://")[2] or endpoint).rstrip("/")
    path = f"/{bucket}/{quote(key, safe=_UNESCAPED)}" if key else f"/{bucket}"
    if is_switched_on("AWS_VIRTUAL_HOSTING", "YES") and "." not in bucket:
        host, path = f"{bucket}.{host}", path.removeprefix(f"/{bucket}") or "/"
    text = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted((query or {}).items()))
    headers = {"x-amz-content-sha256": _EMPTY_SHA256}
    if payer := option("AWS_REQUEST_PAYER"):
        headers["x-amz-request-payer"] = payer
    if not is_switched_on("AWS_NO_SIGN_REQUEST", "NO"):
        headers |= {"x-amz-date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")}
        if token := option("AWS_SESSION_TOKEN"):
            headers["x-amz-security-token"] = token
        headers["Authorization"] = _authorization(
            f"{method}\n{path}\n{text}", {**headers, "host": host}, region
        )
    url = f"{'http' if is_plain else 'https'}://{host}{path}{'?' if text else ''}{text}"
    return urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - one of two schemes


def _authorization(target: str, headers: Mapping[str, str], region: str) -> str:
    """Sign a request: its method, path and query, and its headers."""
    option, now = gdal_module().GetConfigOption, headers["x-amz-date"]
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical = f"{target}\n{lines}\n{names}\n{_EMPTY_SHA256}"
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{option('AWS_SECRET_ACCESS_KEY')}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{option('AWS_ACCESS_KEY_ID')}/{scope}"
    return f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
