"""Products and files of the Step-1 index: read and written without losing anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.dataset.assets import Asset, AssetGroup, Checksum, Product

assets = st.builds(
    Asset,
    role=st.sampled_from(["l1c.band.B02", "l2a.scl_20m"]),
    path=st.sampled_from(["raw/a.jp2", "raw/b.zip"]),
    planned=st.booleans(),
    present=st.booleans(),
    size=st.none() | st.integers(0, 2**40),
    checksum=st.none() | st.builds(Checksum, st.sampled_from(["MD5", "SHA3-256"]), st.just("0a1b")),
    product_path=st.none() | st.just("GRANULE/x.jp2"),
    member=st.none() | st.just("x.SAFE/x.jp2"),
    extra=st.dictionaries(st.sampled_from(["note", "s3_path"]), st.integers()),
)


@given(st.lists(assets, max_size=3), st.dictionaries(st.just("tool"), st.text()))
def test_what_is_written_is_read_back_unknown_keys_among_it(
    items: list[Asset], extra: dict[str, str]
) -> None:
    group = AssetGroup("raw", tuple(items), extra)
    assert AssetGroup.from_document(json.loads(json.dumps(group.to_document()))) == group
    for role in ("l1c.band.B02", "l2a.scl_20m"):
        assert group.asset(role) == next((item for item in items if item.role == role), None)


def test_unknown_facts_are_left_out_of_files_and_null_in_products() -> None:
    assert Asset("l2a.scl_20m", "a.jp2").to_document() == {
        "role": "l2a.scl_20m",
        "path": "a.jp2",
        "planned": False,
        "present": True,
    }
    product = Product.from_document({"product_name": "X.SAFE", "mine": 1})
    document = product.to_document()
    assert (document["product_name"], document["mine"], document["cloud_cover"]) == ("X.SAFE", 1, None)
    assert Product.from_document(document) == product


def test_files_of_other_tools_are_taken_as_they_are_meant() -> None:
    document = {
        "role": "r",
        "path": "raw\\a\\b.jp2",
        "present": None,
        "checksum": {"algorithm": "MD5", "value": "0AF"},
    }
    asset = Asset.from_document(document)
    assert asset.path == "raw/a/b.jp2"
    assert asset.present  # only false says that a file is missing
    assert asset.checksum == Checksum("MD5", "0af")


@pytest.mark.parametrize(
    ("path", "absolute"),
    [
        ("/data/a.jp2", True),
        ("C:\\a.jp2", True),
        ("C:/a.jp2", True),
        ("raw/a.jp2", False),
        ("C:a.jp2", False),
    ],
)
def test_absolute_paths_of_both_worlds_are_told(path: str, absolute: bool) -> None:
    asset = Asset.from_document({"role": "r", "path": path})
    assert asset.is_absolute == absolute
    assert asset.display(Path("/dataset")) == (asset.path if absolute else f"/dataset/{asset.path}")
    assert Asset("r", "a.zip", member="m").display(Path("/dataset")) == "/dataset/a.zip!m"
