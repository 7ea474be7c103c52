"""What GDAL reads of the network through the relay: the bytes that are there, for whoever knows its secret."""

from __future__ import annotations

import http.client
import multiprocessing
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from osgeo import gdal

from s2pipe.errors import RasterError, UntrustedServerError
from s2pipe.raster.network import forget, network_options, tried
from s2pipe.raster.relay import relayed, unrelayed
from s2pipe.raster.remote import Connections, asked_part, asked_state
from s2pipe.runtime.addresses import RemoteAddress
from tests.object_store import ObjectStore, hurry, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 300_001
NAME = "d/ä & b.bin"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    (tmp_path / "bucket/d").mkdir(parents=True)
    (tmp_path / "bucket" / NAME).write_bytes(os.urandom(SIZE))
    hurry(monkeypatch)
    with serving(tmp_path) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


def _read(path: str, start: int = 0, size: int = SIZE) -> bytes:
    with network_options():
        stream = gdal.VSIFOpenL(path, "rb")
        try:
            gdal.VSIFSeekL(stream, start, os.SEEK_SET)
            return bytes(gdal.VSIFReadL(1, size, stream))
        finally:
            gdal.VSIFCloseL(stream)


def test_gdal_reads_the_same_bytes_and_is_given_no_credentials(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"/vsis3/bucket/{NAME}"
    data = (store.root / "bucket" / NAME).read_bytes()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", f"127.0.0.1:{store.port}")  # the relay itself is asked without the proxy

    forget(source)
    assert tried(source, _read) == data
    forget(source)
    assert tried(source, lambda path: _read(path, 100_000, 77)) == data[100_000:100_077]
    assert {headers.get("User-Agent", "")[:7] for _, _, headers in store.requests} == {"s2pipe/"}


def test_an_answer_that_was_not_read_leaves_nothing_to_the_next_one(store: ObjectStore) -> None:
    (store.root / "bucket/d/web.bin").write_bytes(data := os.urandom(SIZE))
    address = RemoteAddress.parse(f"{store.url}/bucket/d/web.bin")
    connections = Connections()
    for _ in range(3):
        state = asked_state(address, connections.send)  # its one byte is not read
        assert state is not None
        with asked_part(address, None, connections.send) as answer:
            assert answer.read() == data
        with asked_part(address, "5-9", connections.send) as answer:
            assert answer.read(2) == data[5:7]
    connections.close()
    assert len(store.requests) == 9  # none was repeated


def test_names_are_found_in_paths_and_vrts_and_put_back_into_messages() -> None:
    source = "/vsis3/bucket/a & b/B02.jp2"
    path = relayed(source)

    assert path.startswith("/vsicurl/http://127.0.0.1:")
    assert unrelayed(f"ERROR 4: `{path}' is no file") == f"ERROR 4: `{source}' is no file"
    text = "<SourceFilename>/vsis3/bucket/a &amp; b/B02.jp2</SourceFilename>"
    assert relayed(text) == f"<SourceFilename>{path}</SourceFilename>"
    assert relayed("/data/B02.jp2") == "/data/B02.jp2"


def test_without_the_secret_nothing_is_asked_for(store: ObjectStore) -> None:
    parts = urlsplit(relayed(f"/vsicurl/{store.url}/bucket/d/x.bin").removeprefix("/vsicurl/"))
    secret = parts.path.split("/")[1]
    assert parts.port is not None
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=10)
    for path in (
        parts.path.replace(secret, "0" * 32),
        f"/{secret}/zzz/x",
        f"/{secret}/ZmlsZTovLy9ldGMvcGFzc3dk/x",
    ):
        for method in ("GET", "HEAD"):
            connection.request(method, path)
            with connection.getresponse() as answer:
                assert answer.status == 404
                answer.read()
    assert store.requests == []


def test_nothing_that_points_elsewhere_is_followed(store: ObjectStore) -> None:
    with serving(store.root) as other:
        store.redirect_to = f"http://localhost:{other.port}"
        source = f"/vsis3/bucket/{NAME}"
        forget(source)
        with pytest.raises(UntrustedServerError, match=r"s3://bucket/d/ä & b\.bin: .*points elsewhere"):
            tried(source, _raising)
    assert other.requests == []


def _raising(path: str) -> bytes:
    with network_options():
        stream = gdal.VSIFOpenL(path, "rb")
    if stream is None:
        raise RasterError(path)
    gdal.VSIFCloseL(stream)
    return b""


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_has_its_own(store: ObjectStore) -> None:
    source = f"/vsis3/bucket/{NAME}"
    here = relayed(source)
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        there = pool.apply(relayed, (source,))
    assert here != there
    assert here == relayed(source)
