"""Sets of patches at an address: ranges of bytes over HTTP from a real server, and what goes wrong with it."""

from __future__ import annotations

import functools
import multiprocessing
import pickle
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.errors import DependencyError, ManifestError, ServiceError
from s2pipe.patches.cfg import ShardConfig, SplitConfig
from s2pipe.patches.run import run_patches
from s2pipe.readers.opening import open_items
from s2pipe.readers.options import Reading
from tests.patches.patchdata import Scene, write_step2
from tests.patches.test_shards import config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s2pipe.readers.items import Items

pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


class RangeServer(ThreadingHTTPServer):
    """A static server of one directory."""

    ranges = True
    failures = 0
    sent = 0


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves ranges of bytes, as object stores do, unless told otherwise."""

    server: RangeServer

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        if asked and self.server.failures:
            self.server.failures -= 1
            self.send_error(503)
            return
        if not asked or not self.server.ranges:
            super().do_GET()
            return
        first, last = asked.removeprefix("bytes=").split("-")
        data = open(self.translate_path(self.path), "rb").read()  # noqa: PTH123, SIM115
        part = data[int(first) : int(last) + 1]
        self.server.sent += len(part)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def end_headers(self) -> None:
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("remote")
    index = write_step2(root, [Scene()])
    shards = ShardConfig(max_count=6)
    run_patches(config(index, root / "out", split=SplitConfig(1.0, 0.0, 0.0), shards=shards))
    return root / "out"


@pytest.fixture
def server(directory: Path) -> Iterator[RangeServer]:
    handler = functools.partial(RangeHandler, directory=str(directory))
    with RangeServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def address(server: RangeServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/shards.json"


def test_remote_items_are_those_on_disk_and_only_they_are_fetched(
    directory: Path, server: RangeServer
) -> None:
    local = open_items(directory / "shards.json", "train", Reading())
    remote = open_items(address(server), "train", Reading())
    np.testing.assert_array_equal(local.units, remote.units)
    server.sent = 0
    chosen = [7, 0, 3]
    found = pickle.loads(pickle.dumps(remote)).read(chosen)
    for item, expected in zip(found, local.read(chosen), strict=True):
        assert (item["key"], item["json"]) == (expected["key"], expected["json"])
        np.testing.assert_array_equal(item["x"], expected["x"])
    assert server.sent == sum(int(remote._nbytes[number]) for number in chosen)
    np.testing.assert_array_equal(remote.column("class_4"), local.column("class_4"))


def _read_first(items: Items, queue: Any) -> None:
    queue.put(items.read([0])[0]["key"])


def test_a_forked_worker_has_connections_of_its_own(server: RangeServer) -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not fork")
    remote = open_items(address(server), "train", Reading())
    key = remote.read([0])[0]["key"]
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    worker = fork.Process(target=_read_first, args=(remote, queue))
    worker.start()
    assert queue.get(timeout=20) == key
    worker.join()


def test_a_short_failure_is_tried_again_and_a_long_one_is_an_error(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s2pipe.readers.storage._PAUSE_S", 0.01)
    remote = open_items(address(server), "train", Reading())
    server.failures = 1
    assert remote.read([0])
    server.failures = 100
    with pytest.raises(ServiceError, match=r"shard-000000.tar: cannot be read in 3 tries: .*503"):
        remote.read([0])


def test_a_server_without_ranges_is_refused(server: RangeServer) -> None:
    remote = open_items(address(server), "train", Reading())
    server.ranges = False
    with pytest.raises((ManifestError, ServiceError), match=r"ranges of bytes|cannot be read"):
        remote.read([1])


def test_an_object_store_is_read_by_ranges(directory: Path, server: RangeServer) -> None:
    pytest.importorskip("s3fs")
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    options = {"anon": True, "endpoint_url": endpoint, "client_kwargs": {"region_name": "eu-central-1"}}
    # The server's directory stands for the bucket: its files lie in a folder of the same name.
    bucket = directory / "bucket"
    if not bucket.exists():
        bucket.symlink_to(directory)
    local = open_items(directory / "shards.json", "train", Reading())
    remote = open_items("s3://bucket/shards.json", "train", Reading(storage_options=options))
    server.sent = 0
    for item, expected in zip(remote.read([5, 2]), local.read([5, 2]), strict=True):
        assert item["key"] == expected["key"]
        np.testing.assert_array_equal(item["x"], expected["x"])
    assert server.sent == int(remote._nbytes[5] + remote._nbytes[2])


def test_what_is_not_there_is_an_error(server: RangeServer) -> None:
    with pytest.raises(ManifestError, match=r"other.json: cannot be read"):
        open_items(address(server).replace("shards.json", "other.json"), "train", Reading())
    with pytest.raises(
        (ManifestError, DependencyError), match=r"no place that fsspec knows|cannot be reached"
    ):
        open_items("nowhere://host/shards.json", "train", Reading())
