"""Names, places and answers that tests of searches share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from s2pipe.errors import ServiceError
from tests.paths import SHARED_DATA

DATA = SHARED_DATA / "cdse"


needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real responses are not in {DATA}")


DECEMBER = (datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


def product_name(
    day: int,
    level: str = "L1C",
    *,
    baseline: str = "0511",
    made: str = "20251220T120000",
    tile: str = "33UWQ",
    hour: int = 10,
    minute: int = 3,
    satellite: str = "S2A",
) -> str:
    time = f"202512{day:02d}T{hour:02d}{minute:02d}19"
    return f"{satellite}_MSI{level}_{time}_N{baseline}_R122_T{tile}_{made}.SAFE"


def get_json(url: str, _what: str) -> Any:
    answer = requests.get(url, timeout=10)
    if answer.status_code != 200:
        raise ServiceError(answer.text, answer.status_code)
    return answer.json()


def square(west: float, east: float) -> dict:
    ring = [[west, 47.65], [east, 47.65], [east, 48.65], [west, 48.65], [west, 47.65]]
    return {"type": "Polygon", "coordinates": [ring]}
