"""The login service: accounts, sessions, access tokens that end, refresh tokens, signatures that clients check."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import secrets
import threading
import time
from typing import Any

_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class SigningKey:
    """RSA with PKCS #1 v1.5 and SHA-256 (RS256), enough to sign tokens for tests."""

    def __init__(self) -> None:
        chance = random.Random(5)  # noqa: S311 - the same key each time: this is a test service
        self.exponent = 65537
        while True:
            p, q = _prime(chance, 1024), _prime(chance, 1024)
            self.modulus = p * q
            phi = (p - 1) * (q - 1)
            if p != q and phi % self.exponent and self.modulus.bit_length() == 2048:
                break
        self._private = pow(self.exponent, -1, phi)

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``."""
        digest = _SHA256_PREFIX + hashlib.sha256(data).digest()
        padded = b"\x00\x01" + b"\xff" * (256 - 3 - len(digest)) + b"\x00" + digest
        return pow(int.from_bytes(padded, "big"), self._private, self.modulus).to_bytes(256, "big")

    def jwk(self) -> dict[str, str]:
        """Return the public key as a JSON Web Key."""
        return {
            "kid": "test",
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "n": _b64(self.modulus.to_bytes(256, "big")),
            "e": _b64(self.exponent.to_bytes(3, "big")),
        }


def _prime(chance: random.Random, bits: int) -> int:
    while True:
        number = chance.getrandbits(bits) | (3 << (bits - 2)) | 1
        if all(number % small for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31)) and _is_prime(
            number, chance
        ):
            return number


def _is_prime(number: int, chance: random.Random) -> bool:
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(12):
        value = pow(chance.randrange(2, number - 1), odd, number)
        if value in (1, number - 1):
            continue
        for _ in range(twos - 1):
            value = value * value % number
            if value == number - 1:
                break
        else:
            return False
    return True


class TokenStore:
    """The one account of the service, and the tokens handed out."""

    def __init__(self, *, life_s: float, signed: bool) -> None:
        self.username, self.password = "eve@example.org", "correct horse"
        self.totp: str | None = None
        self.life_s = life_s
        self.refresh_life_s = 3600.0
        self.max_sessions = 100
        self.logins = self.refreshes = 0
        self.handed_out: list[str] = []
        self.key = SigningKey() if signed else None
        self._access: dict[str, float] = {}
        self._refresh: dict[str, float] = {}
        self._lock = threading.Lock()

    def grant(self, form: dict[str, str], issuer: str) -> tuple[int, dict[str, Any]]:
        """Answer a request for a token."""
        with self._lock:
            if form.get("client_id") != "cdse-public":
                return 401, {"error": "invalid_client", "error_description": "Invalid client credentials"}
            kind = form.get("grant_type")
            if kind == "password":
                right = form.get("username") == self.username and form.get("password") == self.password
                if not right or (self.totp is not None and form.get("totp") != self.totp):
                    return 401, {"error": "invalid_grant", "error_description": "Invalid user credentials"}
                self.logins += 1
            elif kind == "refresh_token":
                ends = self._refresh.pop(form.get("refresh_token", ""), 0.0)
                if ends < time.monotonic():
                    return 400, {"error": "invalid_grant", "error_description": "Token is not active"}
                self.refreshes += 1
            else:
                return 400, {"error": "unsupported_grant_type", "error_description": "Unsupported grant_type"}
            access, refresh = self._token(issuer), secrets.token_urlsafe(24)
            self._access[access] = time.monotonic() + self.life_s
            self._refresh[refresh] = time.monotonic() + self.refresh_life_s
            self.handed_out += [access, refresh]
            return 200, {
                "access_token": access,
                "expires_in": self.life_s if self.life_s % 1 else int(self.life_s),
                "refresh_expires_in": int(self.refresh_life_s),
                "refresh_token": refresh,
                "token_type": "Bearer",
                "not-before-policy": 0,
                "session_state": secrets.token_hex(16),
                "scope": "AUDIENCE_PUBLIC openid email profile",
            }

    def _token(self, issuer: str) -> str:
        if self.key is None:
            return secrets.token_urlsafe(32)
        now = int(time.time())
        claims = {
            "exp": now + int(self.life_s),
            "iat": now,
            "jti": secrets.token_hex(8),
            "iss": issuer,
            "aud": ["CLOUDFERRO_PUBLIC"],
            "typ": "Bearer",
            "azp": "cdse-public",
        }
        header = {"alg": "RS256", "typ": "JWT", "kid": "test"}
        text = ".".join(_b64(json.dumps(part).encode()) for part in (header, claims))
        return f"{text}.{_b64(self.key.sign(text.encode()))}"

    def check(self, header: str | None) -> tuple[str, str] | None:
        """Code and message of the refusal of an Authorization header; None when it is accepted."""
        if not header or not header.startswith("Bearer "):
            return "DAT-ZIP-604", "Token not found"
        with self._lock:
            ends = self._access.get(header[7:])
        if ends is None:
            return "DAT-ZIP-609", "Token audience not allowed"
        return ("DAT-ZIP-109", "Token expired") if ends < time.monotonic() else None

    def expire(self) -> None:
        """End all access tokens."""
        with self._lock:
            self._access = dict.fromkeys(self._access, 0.0)

    def close_sessions(self) -> None:
        """End all access and refresh tokens."""
        self.expire()
        with self._lock:
            self._refresh.clear()
