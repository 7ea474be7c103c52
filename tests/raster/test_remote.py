"""Files off this machine: states, reading, listings, and what servers do in between."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from osgeo import gdal

from s2pipe.errors import AuthError, ServiceError, UntrustedServerError
from s2pipe.raster.access import check_access
from s2pipe.raster.remote import open_stream, read_range, state_of
from s2pipe.raster.s3_listing import list_directory
from s2pipe.runtime.addresses import RemoteAddress
from tests.object_store import SECRET, ObjectStore, etag_of, hurry, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 700_001
FAULTS = ("503", "429", "reset", "close", "half", "halfreset")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    (tmp_path / "bucket/d/e").mkdir(parents=True)
    for number in range(95):
        (tmp_path / f"bucket/d/f{number:02d} ä.txt").write_bytes(b"x" * number)
    (tmp_path / "bucket/d/e/big.bin").write_bytes(os.urandom(SIZE))
    hurry(monkeypatch)
    with serving(tmp_path) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


def _both(store: ObjectStore, path: str) -> list[RemoteAddress]:
    return [RemoteAddress.parse(f"s3://bucket/{path}"), RemoteAddress.parse(f"{store.url}/bucket/{path}")]


def test_a_file_has_size_and_entity_tag_and_is_read_whole(store: ObjectStore) -> None:
    file = store.root / "bucket/d/e/big.bin"
    for address in _both(store, "d/e/big.bin"):
        state = state_of(address)
        assert state is not None
        assert (state.size, state.etag) == (SIZE, etag_of(file))
        assert read_range(address, 0, SIZE) == file.read_bytes()
        assert read_range(address, 1000, 77) == file.read_bytes()[1000:1077]
        with open_stream(address, SIZE) as stream:
            assert stream.read() == file.read_bytes()
        assert state_of(address / "none") is None
        with pytest.raises(ServiceError, match="is not there"):
            read_range(address / "none", 0, 1)


def test_a_listing_has_all_pages(store: ObjectStore) -> None:
    address = RemoteAddress.parse("s3://bucket/d")

    entries = list_directory(address)

    assert [entry.path for entry in entries] == ["e", *(f"f{number:02d} ä.txt" for number in range(95))]
    assert [entry.is_directory for entry in entries] == [True] + [False] * 95
    assert [entry.size for entry in entries[1:]] == list(range(95))
    assert entries[8].etag == etag_of(store.root / "bucket/d/f07 ä.txt")
    assert next(entry.path for entry in list_directory(address, whole=True)) == "e/big.bin"
    assert list_directory(RemoteAddress.parse("s3://bucket/nothing")) == []
    with pytest.raises(ServiceError, match="more than 10 entries"):
        list_directory(address, limit=10)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_pass_change_nothing(store: ObjectStore, fault: str) -> None:
    store.faults, store.fault_share = (fault,), 0.3
    file = store.root / "bucket/d/e/big.bin"

    for address in _both(store, "d/e/big.bin"):
        assert read_range(address, 0, SIZE) == file.read_bytes()
        state = state_of(address)
        assert state is not None
        assert state.size == SIZE
    assert len(list_directory(RemoteAddress.parse("s3://bucket/d"))) == 96


@pytest.mark.parametrize("fault", ["403", "503", "reset"])
def test_faults_that_stay_are_no_absence(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    store.faults, store.fault_share = (fault,), 1.0
    hurry(monkeypatch, tries=2)

    for address in _both(store, "d/e/big.bin"):
        with pytest.raises(ServiceError, match=r"big\.bin: the server (refuses it|does not answer)"):
            state_of(address)
        with pytest.raises(ServiceError, match=r"refuses it|10 bytes from byte 0 on do not arrive"):
            read_range(address, 0, 10)
    with pytest.raises(ServiceError, match=r"s3://bucket/d: (the server refuses it|cannot be listed)"):
        list_directory(RemoteAddress.parse("s3://bucket/d"))


def test_redirects_are_not_followed_and_carry_no_credentials(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "tOkEn")
    with serving(tmp_path) as other:
        store.redirect_to = f"http://localhost:{other.port}"
        for address in _both(store, "d/e/big.bin"):
            with pytest.raises(UntrustedServerError, match="points elsewhere"):
                state_of(address)
            with pytest.raises(UntrustedServerError, match="points elsewhere"):
                read_range(address, 0, 10)
        with pytest.raises(UntrustedServerError, match="points elsewhere"):
            list_directory(RemoteAddress.parse("s3://bucket/d"))
        assert other.requests == []


def test_object_storage_needs_credentials_of_the_environment(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = RemoteAddress.parse("s3://bucket/d/f07 ä.txt")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(AuthError, match="has no AWS_SECRET_ACCESS_KEY"):
        state_of(address)
    with pytest.raises(AuthError, match="AWS_NO_SIGN_REQUEST"):
        list_directory(RemoteAddress.parse("s3://bucket/d"))
    assert store.requests == []

    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    assert state_of(address) is not None
    assert list_directory(RemoteAddress.parse("s3://bucket/d"))
    assert not any("Authorization" in headers for _, _, headers in store.requests)


@pytest.mark.parametrize(
    ("endpoint", "https"),
    [
        ("169.254.169.254", "YES"),
        ("169.254.169.254:80", "NO"),
        ("data.example.org", "NO"),
        ("http://10.0.0.1", "YES"),
    ],
)
def test_endpoints_where_no_data_are_served_are_not_asked(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, endpoint: str, https: str
) -> None:
    monkeypatch.setenv("AWS_S3_ENDPOINT", endpoint)
    monkeypatch.setenv("AWS_HTTPS", https)

    with pytest.raises(UntrustedServerError):
        check_access(RemoteAddress.parse("s3://bucket/a"))
    assert store.requests == []


def test_nothing_is_said_of_the_secret_and_no_option_stays(
    store: ObjectStore, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [
        "GDAL_HTTP_MAX_RETRY",
        "GDAL_DISABLE_READDIR_ON_OPEN",
        "CPL_AWS_EC2_API_ROOT_URL",
        "GDAL_NUM_THREADS",
    ]
    before = [gdal.GetConfigOption(name) for name in names]
    store.faults, store.fault_share = ("503",), 1.0

    with pytest.raises(ServiceError) as failure:
        state_of(RemoteAddress.parse("s3://bucket/d"))

    assert SECRET not in str(failure.value) + "".join(capfd.readouterr())
    assert [gdal.GetConfigOption(name) for name in names] == before
