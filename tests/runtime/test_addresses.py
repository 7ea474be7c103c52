"""Addresses of remote files: what is one, what may be opened, and what is never written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2pipe.errors import OutputError, PathEscapeError
from s2pipe.runtime.addresses import RemoteAddress, parse_prefixes, refuse_remote_output, scheme_of


@pytest.mark.parametrize(
    ("text", "gdal_path"),
    [
        ("s3://eodata/Sentinel-2/MSI/a.jp2", "/vsis3/eodata/Sentinel-2/MSI/a.jp2"),
        ("s3://eodata/", "/vsis3/eodata"),
        ("HTTPS://Data.Example.org:443/a/b.jp2", "/vsicurl/https://data.example.org/a/b.jp2"),
        ("http://127.0.0.1:9000/a", "/vsicurl/http://127.0.0.1:9000/a"),
    ],
)
def test_an_address_has_one_name_for_gdal(text: str, gdal_path: str) -> None:
    address = RemoteAddress.parse(text)

    assert address.gdal_path == gdal_path
    assert RemoteAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "raw/L1C/a.jp2",
        "/data/a.jp2",
        "/vsis3/eodata/a.jp2",
        "file:///etc/passwd",
        "gs://bucket/a",
        "s3:/eodata/a.jp2",
        "s3:///a.jp2",
        "s3://key:secret@eodata/a.jp2",
        "s3://eodata/a/../../other/b.jp2",
        "s3://eodata/a//b.jp2",
        "s3://eodata/a%2e%2e/b.jp2",
        "s3://eodata/a.jp2?X-Amz-Signature=1",
        "s3://eodata/a\n.jp2",
        'https://host/a"b',
        "http://data.example.org/a.jp2",
        "https://user:word@host/a.jp2",
        "https://169.254.169.254/latest/meta-data",
        "https://2852039166/latest",
        "https://0xa9fea9fe/latest",
        "https://0251.0376.0251.0376/latest",
        "https://0.0.0.0/a",
        "https://[fd00:ec2::254]/a",
        "https://host:80:90/a",
        "https://../a",
        "https://host/a b",
        "https://host/ä",
    ],
)
def test_what_is_no_address_of_data_is_refused(text: str) -> None:
    with pytest.raises(PathEscapeError) as failure:
        RemoteAddress.parse(text)

    message = str(failure.value)
    assert "secret" not in message
    assert "word@" not in message
    assert "Signature" not in message
    assert "expected s3://bucket/key" in message


def test_a_prefix_ends_at_a_slash() -> None:
    allowed = parse_prefixes(["s3://eodata/Sentinel-2", "https://host"])

    def is_allowed(text: str) -> bool:
        return RemoteAddress.parse(text).is_below(allowed)

    assert is_allowed("s3://eodata/Sentinel-2/a.jp2")
    assert is_allowed("s3://eodata/Sentinel-2")
    assert is_allowed("https://host:443/anything")
    assert not is_allowed("s3://eodata/Sentinel-20/a.jp2")
    assert not is_allowed("s3://eodata2/Sentinel-2/a.jp2")
    assert not is_allowed("https://host.evil.org/a")
    assert not is_allowed("https://host:8443/a")


def test_parts_are_added_below() -> None:
    product = RemoteAddress.parse("s3://eodata/2025/A.SAFE")

    assert str(product / "GRANULE/x.jp2") == "s3://eodata/2025/A.SAFE/GRANULE/x.jp2"
    assert str(RemoteAddress.parse("s3://eodata") / "a") == "s3://eodata/a"
    assert product.name == "A.SAFE"
    with pytest.raises(PathEscapeError):
        _ = product / "../B.SAFE"


def test_paths_of_this_machine_are_no_addresses() -> None:
    assert [scheme_of(text) for text in ("a/b", "/a", "C:/data", "C:\\data", "a b:/c", "./s3")] == [None] * 6
    assert [scheme_of(text) for text in ("s3://a/b", "s3:/a/b", "/vsis3/a", "/vsicurl/x")] == [
        "s3",
        "s3",
        "vsi",
        "vsi",
    ]


@pytest.mark.parametrize("path", ["s3://bucket/out", Path("s3://bucket/out"), "/vsis3/bucket/out"])
def test_outputs_stay_on_this_machine(path: Path | str) -> None:
    with pytest.raises(OutputError, match="written locally: give a directory, and copy it"):
        refuse_remote_output(path)
