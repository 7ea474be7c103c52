"""Product names and the SAFE layout."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.errors import ProductError
from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.bands import BAND_NAMES
from s2pipe.sentinel2.safe import ProductName, read_safe_manifest, role_of
from tests.paths import SHARED_DATA

NAME = "S2B_MSIL1C_20251210T100319_N0511_R122_T33UWQ_20251212T162649"
DATA = SHARED_DATA
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real products are not in {DATA}")

times = st.datetimes(datetime(2015, 6, 23), datetime(2099, 12, 31)).map(lambda t: t.strftime("%Y%m%dT%H%M%S"))
names = st.builds(
    "{}_MSI{}_{}_N{}_R{:03d}_T{:02d}{}_{}".format,
    st.sampled_from(["S2A", "S2B", "S2C", "S2D"]),
    st.sampled_from(["L1C", "L2A"]),
    times,
    st.from_regex(r"[0-9]{4}", fullmatch=True),
    st.integers(1, 143),
    st.integers(1, 60),
    st.from_regex(r"[A-Z]{3}", fullmatch=True),
    times,
)


@given(names, st.sampled_from(["", ".SAFE", ".zip", ".SAFE.zip", ".safe"]))
def test_every_compact_name_survives_parsing(name: str, suffix: str) -> None:
    assert ProductName.parse(name + suffix).stem == name


@given(st.text())
def test_other_text_is_no_name(text: str) -> None:
    assert ProductName.try_parse(text) is None


def test_fields_of_a_name() -> None:
    name = ProductName.parse(NAME + ".SAFE")
    assert (name.satellite, name.level, name.tile_id) == ("S2B", "L1C", "T33UWQ")
    assert name.sensing_start_utc == "2025-12-10T10:03:19Z"
    assert name.sensing_start == datetime(2025, 12, 10, 10, 3, 19, tzinfo=UTC)
    assert (name.baseline, name.baseline_code) == ("05.11", "N0511")
    assert (name.rel_orbit, name.orbit_code) == (122, "R122")
    assert name.discriminator == "20251212T162649"
    assert str(name) == name.safe_name == NAME + ".SAFE"


@pytest.mark.parametrize(
    "name",
    [
        "S2A_OPER_PRD_MSIL1C_PDMC_20160101T000000_R051_V20160101T105441_20160101T105441.SAFE",
        NAME.replace("S2B", "S2E"),
        NAME.replace("20251210", "20251310"),
        NAME + ".SAFE\n",
        NAME + ".tar",
        "x" + NAME,
    ],
)
def test_names_that_are_refused(name: str) -> None:
    assert ProductName.try_parse(name) is None
    with pytest.raises(ProductError, match="compact form"):
        ProductName.parse(name)


def test_a_third_partys_baseline_is_never_the_newest() -> None:
    ours, theirs = (ProductName.parse(NAME.replace("N0511", code)) for code in ("N0204", "N9999"))
    assert max(ours, theirs, key=lambda name: name.age_key) == ours


L1C = "GRANULE/L1C_T33UWQ_A045678_20251210T100316"
L2A = "GRANULE/L2A_T33UWQ_A045678_20251210T100316"


@pytest.mark.parametrize(
    ("path", "level", "role"),
    [
        ("MTD_MSIL1C.xml", "L1C", roles.L1C_PRODUCT_METADATA),
        ("MTD_MSIL1C.xml", "L2A", None),
        ("manifest.safe", "L2A", roles.L2A_MANIFEST),
        ("INSPIRE.xml", "L1C", None),
        (f"{L1C}/MTD_TL.xml", "L1C", roles.L1C_TILE_METADATA),
        (f"{L1C}/IMG_DATA/T33UWQ_20251210T100319_B8A.jp2", "L1C", "l1c.band.B8A"),
        (f"{L1C}/IMG_DATA/T33UWQ_20251210T100319_TCI.jp2", "L1C", None),
        (f"{L1C}/QI_DATA/MSK_DETFOO_B01.gml", "L1C", "l1c.detector_footprint.B01"),
        (f"{L1C}/QI_DATA/MSK_DETFOO_B01.jp2", "L1C", "l1c.detector_footprint.B01"),
        (f"{L2A}/QI_DATA/MSK_DETFOO_B01.jp2", "L2A", "l2a.detector_footprint.B01"),
        (f"{L2A}/QI_DATA/MSK_DETFOO_B01.gml", "L2A", "l2a.detector_footprint.B01"),
        (f"{L2A}/QI_DATA/MSK_DETFOO_B00.jp2", "L2A", None),
        (f"{L2A}/QI_DATA/MSK_QUALIT_B01.jp2", "L2A", None),
        (f"{L1C}/QI_DATA/MSK_QUALIT_B12.jp2", "L1C", "l1c.quality.B12"),
        (f"{L1C}/QI_DATA/MSK_CLASSI_B00.jp2", "L1C", roles.L1C_CLASSIFICATION),
        (f"{L1C}/QI_DATA/MSK_CLOUDS_B00.gml", "L1C", None),
        (f"{L2A}/IMG_DATA/R20m/T33UWQ_20251210T100319_SCL_20m.jp2", "L2A", roles.L2A_SCL),
        (f"{L2A}/IMG_DATA/R60m/T33UWQ_20251210T100319_SCL_60m.jp2", "L2A", None),
        (f"{L2A}/IMG_DATA/R10m/T33UWQ_20251210T100319_AOT_10m.jp2", "L2A", None),
        (f"{L2A}/IMG_DATA/R10m/T33UWQ_20251210T100319_B02_10m.jp2", "L2A", "l2a.band.B02_10m"),
        (f"{L2A}/IMG_DATA/R10m/L2A_T33UWQ_20251210T100319_B02_10m.jp2", "L2A", "l2a.band.B02_10m"),
        (f"{L2A}/IMG_DATA/R10m/T33UWQ_20251210T100319_B02_20m.jp2", "L2A", None),
        (f"{L2A}/QI_DATA/MSK_CLDPRB_20m.jp2", "L2A", roles.L2A_CLOUD_PROBABILITY),
        (f"{L2A}/QI_DATA/L2A_T33UWQ_20170526T102031_SNW_20m.jp2", "L2A", roles.L2A_SNOW_PROBABILITY),
        (f"{L2A}/QI_DATA/MSK_SNWPRB_60m.jp2", "L2A", None),
        ("DATASTRIP/DS_X/MTD_DS.xml", "L1C", None),
    ],
)
def test_role_of_a_path(path: str, level: str, role: str) -> None:
    assert role_of(path, level) == role


@given(st.text(max_size=80), st.sampled_from(["L1C", "L2A"]))
def test_any_path_has_a_known_role_or_none(path: str, level: str) -> None:
    role = role_of(path, level)
    assert role is None or role in roles.ALL_ROLES


@needs_data
@pytest.mark.parametrize(("tile", "level", "count"), [("T32TNM", "L1C", 28), ("T46RER", "L1C", 28)])
def test_roles_of_real_l1c_manifests(tile: str, level: str, count: int) -> None:
    (manifest,) = DATA.glob(f"metadata/*{tile}*/manifest.safe")
    found = [role_of(entry.product_path, level) for entry in read_safe_manifest(manifest)]
    known = [role for role in found if role is not None]
    assert len(known) == len(set(known)) == count
    assert {roles.l1c_detector_footprint(band) for band in BAND_NAMES} <= set(known)


@needs_data
def test_a_real_l2a_manifest_holds_every_l2a_role_but_that_of_itself() -> None:
    (manifest,) = DATA.glob("metadata/*T01WCP*/manifest.safe")
    found = {role_of(entry.product_path, "L2A") for entry in read_safe_manifest(manifest)} - {None}
    assert found == {role for role in roles.ALL_ROLES if role.startswith("l2a.")} - {roles.L2A_MANIFEST}
