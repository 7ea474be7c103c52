"""Inputs on an S3 server that is not ours, against one run from disk."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.step1_index import load_index
from tests.scale.conftest import Scenes, all_digests, digests, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

server = pytest.importorskip("moto.server", reason="moto is not here; `make test-scale` has it")

PREFIX = "Sentinel-2/MSI/2025/12"
SECRET = "sEcReT+of/MoTo"


@pytest.fixture(scope="module")
def endpoint(scenes: Scenes) -> Iterator[str]:
    """A server with the products in a bucket."""
    boto3 = pytest.importorskip("boto3")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    keys = {"aws_access_key_id": "AKIDMOTO", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
    client.create_bucket(Bucket="eodata")
    for path in sorted(scenes.products.rglob("*")):
        if path.is_file():
            name = path.relative_to(scenes.products).as_posix()
            client.put_object(Bucket="eodata", Key=f"{PREFIX}/{name}", Body=path.read_bytes())
    yield f"{host}:{port}"
    running.stop()


@pytest.fixture
def remote(
    scenes: Scenes, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Scenes, tuple[str, ...]]:
    """The index of the products there, and what allows to read them."""
    options = {
        "AWS_S3_ENDPOINT": endpoint,
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_ACCESS_KEY_ID": "AKIDMOTO",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    for name, value in options.items():
        monkeypatch.setenv(name, value)
    root = tmp_path / "root"
    run(["index", f"s3://eodata/{PREFIX}/", "--out", str(root)])
    return replace(scenes, root=root), ("--remote.allow", f"s3://eodata/{PREFIX}")


@pytest.mark.parametrize(
    "more",
    [(), ("--remote.stage",), ("--scheduler", "processes:2")],
    ids=["where-they-are", "staged", "workers"],
)
def test_both_passes_and_shards_are_those_from_disk(
    remote: tuple[Scenes, tuple[str, ...]], serial: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    scenes, allowed = remote
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    more = (*allowed, "--remote.stage-dir", str(scratch), *more)

    run(scenes.count(out, *more))
    (said,) = run([*scenes.apply(out, *more), "--json", "--quiet"])
    run(scenes.patches(out))

    assert len(json.loads(said)["done"]) == 7
    assert digests(out) == digests(serial)
    assert sum(name.endswith(".tar") for name in all_digests(out)) >= 4
    assert sum(name.endswith(("y.tif", "angles.tif")) for name in all_digests(out)) == 14
    assert not scratch.exists() or list(scratch.iterdir()) == []
    texts = [path.read_bytes() for path in tmp_path.rglob("*") if path.suffix in (".json", ".jsonl", ".vrt")]
    assert not any(SECRET.encode() in text for text in texts)
    assert not list(scenes.root.rglob("*.jp2"))


def test_the_index_is_that_of_the_disk_with_addresses(
    remote: tuple[Scenes, tuple[str, ...]], scenes: Scenes
) -> None:
    there, here = (
        load_index(remote[0].root / "meta/step1/index.json"),
        load_index(scenes.root / "meta/step1/index.json"),
    )

    assert [scene.key for scene in there.scenes] == [scene.key for scene in here.scenes]
    for far, near in zip(there.scenes, here.scenes, strict=True):
        for asset, same in zip(far.assets, near.assets, strict=True):
            assert asset.path.startswith(f"s3://eodata/{PREFIX}/")
            assert (asset.role, asset.size, asset.checksum) == (same.role, same.size, same.checksum)
            assert asset.etag
            if same.raster is not None:
                assert asset.raster == replace(same.raster, mtime_ns=0)


def test_a_split_is_planned_without_asking(
    remote: tuple[Scenes, tuple[str, ...]], scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_S3_ENDPOINT", "127.0.0.1:9")  # nobody listens there
    made = []
    for which, name in ((remote[0], "there"), (scenes, "here")):
        arguments = scenes.patches(tmp_path / name, "--index-json", which.index_json(), "--plan")
        run(arguments)
        made.append((tmp_path / name / "patches/split.json").read_bytes())
    assert made[0] == made[1]
