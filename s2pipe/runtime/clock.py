"""The time of day, in the one form that documents carry."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utc_now() -> str:
    """Return the current time in UTC as ``YYYY-MM-DDTHH:MM:SSZ``."""
    return utc_text(time.time_ns())


def utc_text(time_ns: int) -> str:
    """Return a time, nanoseconds since 1970, in the same form."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
