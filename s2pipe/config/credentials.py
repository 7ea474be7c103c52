"""Configurations hold no credentials: a check that finds them without ever showing them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from s2pipe.errors import Fault

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?|pw|secret|token|totp|otp|credentials?|user(name)?|api_?key", re.IGNORECASE
)
_USER_IN_URL = re.compile(r"^[a-z][a-z0-9+.-]*://[^/?#]*@", re.IGNORECASE)


def credential_faults(document: Any, path: str = "") -> list[Fault]:
    """Faults of a document that holds credentials: keys named like them, and URLs with a user's name.

    Their values never enter a message.
    """
    faults: list[Fault] = []
    if isinstance(document, Mapping):
        for key, value in document.items():
            where = f"{path}.{key}" if path else str(key)
            parts = re.split(r"[_\W]+", str(key))
            if _SECRET_KEY.fullmatch(str(key)) or any(_SECRET_KEY.fullmatch(part) for part in parts if part):
                faults.append(Fault(where, f"{_NO_CREDENTIALS}; remove it, and change it if others saw it"))
            else:
                faults += credential_faults(value, where)
    elif isinstance(document, list | tuple):
        for number, value in enumerate(document):
            faults += credential_faults(value, f"{path}[{number}]")
    elif isinstance(document, str) and _USER_IN_URL.match(document):
        faults.append(Fault(path, f"{_NO_CREDENTIALS}, not even in a URL"))
    return faults


_NO_CREDENTIALS = (
    "a configuration must not hold credentials: give them as CDSE_USERNAME and CDSE_PASSWORD, in ~/.netrc or "
    "in the keyring"
)
