"""The identity host: discovery document, certificates and the token endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from s2pipe.testing.exchange import Exchange

REALM = "/auth/realms/CDSE"


def answer_identity(exchange: Exchange) -> None:
    """Answer as the identity service: discovery, certificates, tokens."""
    base, tokens = exchange.service.url("identity"), exchange.service.tokens
    path = urlsplit(exchange.path).path
    certs, token = f"{REALM}/protocol/openid-connect/certs", f"{REALM}/protocol/openid-connect/token"
    if path == f"{REALM}/.well-known/openid-configuration":
        exchange.json(
            200,
            {
                "issuer": base + REALM,
                "authorization_endpoint": f"{base}{REALM}/protocol/openid-connect/auth",
                "token_endpoint": base + token,
                "jwks_uri": base + certs,
                "grant_types_supported": ["authorization_code", "refresh_token", "password"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
        )
    elif path == certs:
        exchange.json(200, {"keys": [tokens.key.jwk()] if tokens.key else []})
    elif path == token and exchange.command == "POST":
        exchange.json(*tokens.grant(exchange.form, base + REALM))
    else:
        exchange.json(404, {"error": "RESTEASY003210: Could not find resource for full path"})
