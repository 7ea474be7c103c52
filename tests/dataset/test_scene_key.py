"""Scene keys: one scene in all the forms in which its key is written."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.sentinel2.safe.names import ProductName

KEY = SceneKey("T33UWQ", "2025-12-10T10:03:19.024Z")
KEYS = st.builds(
    lambda tile, start: SceneKey(f"T{tile:02}UWQ", f"{start:%Y-%m-%dT%H:%M:%S}Z"),
    st.integers(1, 60),
    st.datetimes(datetime(2015, 6, 23), datetime(2099, 1, 1)),
)


def test_every_form_of_a_key() -> None:
    assert str(KEY) == "T33UWQ/2025-12-10T10:03:19.024Z"
    assert KEY.compact == "T33UWQ_20251210T100319Z"
    assert KEY.identity == ("T33UWQ", "20251210T100319Z")
    assert (KEY.second, KEY.day, KEY.month) == ("2025-12-10T10:03:19", "2025-12-10", "2025-12")
    assert KEY.date == date(2025, 12, 10)
    assert KEY.files_dir("L2A") == "raw/L2A/tile=T33UWQ/sensing=20251210T100319Z/files"
    assert KEY.sample_dir == Path("processed/tile=T33UWQ/sensing=2025-12-10T100319.024Z")


def test_the_key_of_a_product() -> None:
    name = ProductName.parse("S2B_MSIL1C_20251210T100319_N0511_R122_T33UWQ_20251210T105413.SAFE")
    assert SceneKey.of_product(name) == SceneKey("T33UWQ", "2025-12-10T10:03:19Z")


@given(KEYS)
def test_text_and_json_lead_back_to_the_key(key: SceneKey) -> None:
    assert SceneKey.from_document(key.to_document()) == key
    assert SceneKey.parse_identity(str(key)) == key.identity


@given(KEYS, KEYS)
def test_keys_are_in_the_order_of_their_compact_forms(one: SceneKey, other: SceneKey) -> None:
    assert (one < other) == (one.compact < other.compact)


def test_a_time_zone_in_digits_is_read() -> None:
    document = {"tile_id": "T33UWQ", "sensing_start_utc": "2025-12-10T10:03:19.024+00:00"}
    assert SceneKey.from_document(document) == KEY


@pytest.mark.parametrize(
    "text",
    [
        "T33UWQ/2025-12-10T10:03:19Z",
        "T33UWQ 2025-12-10T10:03:19Z",
        " T33UWQ/2025-12-10T10:03:19.024Z ",
        "T33UWQ/2025-12-10T10:03:19+00:00",
        "T33UWQ/20251210T100319Z",
        "T33UWQ/2025-12-10T100319Z",
    ],
)
def test_keys_written_by_hand_are_understood(text: str) -> None:
    assert SceneKey.parse_identity(text) == KEY.identity


@pytest.mark.parametrize(
    "text", ["", "T33UWQ", "33UWQ/2025-12-10T10:03:19Z", "T33UWQ/2025-12-10", "T33UWQ/x"]
)
def test_what_is_no_key_is_none(text: str) -> None:
    assert SceneKey.parse_identity(text) is None
