"""Channel names are read and written in one place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.sentinel2.channels import L1C_CHANNELS, L2A_CHANNELS, Channel
from s2pipe.sentinel2.roles import ALL_ROLES


@pytest.mark.parametrize(
    ("name", "expected", "text"),
    [
        ("B04", ("L1C", "B04", 10), "B04"),
        ("l1c.B8A", ("L1C", "B8A", 20), "B8A"),
        ("l2a.B04_10m", ("L2A", "B04", 10), "l2a.B04_10m"),
        ("l2a.B04_60m", ("L2A", "B04", 60), "l2a.B04_60m"),
    ],
)
def test_names_say_level_band_and_pixel_size(name: str, expected: tuple[str, str, int], text: str) -> None:
    channel = Channel.parse(name)
    assert (channel.level, channel.band, channel.resolution_m) == expected
    assert str(channel) == text


@given(st.sampled_from((*L1C_CHANNELS, *L2A_CHANNELS)))
def test_every_channel_survives_both_of_its_names(channel: Channel) -> None:
    assert Channel.parse(str(channel)) == Channel.parse(channel.qualified_name) == channel


@pytest.mark.parametrize(
    "name",
    ["", "b04", "B4", "B13", "B04_10m", "l1c.B04_10m", "l2a.B04", "l2a.B10_60m", "l2a.B8A_10m", "l2a.B04_010m",
     "l3a.B04", "l2a.l2a.B04_10m", "B04 ", "valid"],
)  # fmt: skip
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected a band such as B04, l1c\.B04 or l2a\.B04_10m, got"):
        Channel.parse(name)


def test_a_channel_without_a_raster_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="L2A products have no raster of band B10 at 60 m"):
        Channel("L2A", "B10", 60)
    with pytest.raises(ValueError, match="L1C products have no raster of band B04 at 20 m"):
        Channel("L1C", "B04", 20)


def test_roles_are_those_of_the_index() -> None:
    channels = (*L1C_CHANNELS, *L2A_CHANNELS)
    assert len(channels) == len(set(channels)) == 13 + 4 + 10 + 11
    assert {channel.raster_role for channel in channels} == {
        role for role in ALL_ROLES if role.startswith(("l1c.band.", "l2a.band."))
    }
    assert Channel.parse("B04").metadata_role == "l1c.product_metadata"
    assert Channel.parse("l2a.B04_10m").metadata_role == "l2a.product_metadata"


def test_the_band_table_gives_the_wavelength() -> None:
    assert Channel.parse("l2a.B12_20m").spectral_band.wavelength_nm == 2202.4
