"""An index of addresses in the service's object storage, from a search, without fetching a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.step1_index import load_index
from s2pipe.download.pipeline import run_download
from s2pipe.errors import ConfigError
from tests.object_store import hurry, serving

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.testing.products import StoredProduct
    from tests.download.conftest import Make


def test_without_credentials_addresses_and_sizes_are_recorded(
    configure: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    result = run_download(configure(link=True))

    assert (result.exit_code, result.up_to_date, result.failed) == (
        0,
        [scene.key for scene in result.scenes],
        [],
    )
    assets = load_index(result.manifest_path).scenes[0].assets
    assert assets
    for asset in assets:
        assert asset.path.startswith("s3://eodata/Sentinel-2/MSI/")
        assert asset.path.endswith(asset.product_path or "-")
        assert asset.present
        assert asset.size
    assert not list(result.manifest_path.parents[2].rglob("*.jp2"))


def test_with_credentials_checksums_are_those_of_manifest_safe(
    pair: list[StoredProduct], configure: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for product in pair:
        target = tmp_path / "store" / product.row["S3Path"].lstrip("/") / "manifest.safe"
        target.parent.mkdir(parents=True)
        assert product.root is not None
        target.write_bytes((product.root / "manifest.safe").read_bytes())
    hurry(monkeypatch)
    with serving(tmp_path / "store") as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        result = run_download(configure(link=True))

    assert result.exit_code == 0
    assert all(asset.checksum for asset in load_index(result.manifest_path).scenes[0].assets)


def test_nothing_is_linked_where_the_catalogue_does_not_say(
    pair: list[StoredProduct], configure: Make
) -> None:
    for product in pair:
        product.row["S3Path"] = "/other/" + product.row["S3Path"]

    result = run_download(configure(link=True))

    assert result.exit_code == 1
    assert "does not say where object storage has it" in result.failed[0].error


def test_linking_and_fetching_exclude_each_other(configure: Make) -> None:
    with pytest.raises(ConfigError, match=r"download\.dry_run: expected false with download\.link"):
        run_download(configure(link=True, dry_run=True))
