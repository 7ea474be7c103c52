"""Names of runs."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def new_run_id() -> str:
    """Return a name for a run that starts now: ``20251210T100319Z-a1b2c3``.

    Names sort by time. The random end keeps runs apart that start within the same second.
    """
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
