"""Products at addresses: which of them are opened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.scene_choice import SceneChoice
from s2pipe.errors import ConfigError, ProductError
from s2pipe.indexing.run import index_products
from s2pipe.synthetic import ProductSpec, make_products
from tests.object_store import ObjectStore, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = "s3://eodata/Sentinel-2/MSI/L1C/2025/12/10/"
OTHER = "S2B_MSIL1C_20251210T100319_N0511_R122_T{tile}_20251210T112649.SAFE"
TILES = ("31TCJ", "31TCH", "32UPU", "33UWP", "33UVQ")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """A day of six products; of five there is little more than the name."""
    day = tmp_path / "store" / DAY.removeprefix("s3://")
    spec = ProductSpec(
        side_m=1_020,
        sensing_start=datetime(2025, 12, 10, 10, 3, 19, tzinfo=UTC),
        bands=("B02",),
        quality_masks=False,
        l2a=False,
    )
    make_products(day, spec)
    for tile in TILES:
        (day / OTHER.format(tile=tile)).mkdir()
        (day / OTHER.format(tile=tile) / "something").write_text("no metadata")
    with serving(tmp_path / "store") as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


def _opened(store: ObjectStore) -> set[str]:
    """Tiles of the products that were asked for."""
    asked = " ".join(path for _, path, _ in store.requests)
    return {tile for tile in (*TILES, "33UWQ") if f"_T{tile}_" in asked}


@pytest.mark.parametrize(
    "only",
    [
        SceneChoice(tiles=("33UWQ",)),
        SceneChoice(scenes=("T33UWQ/2025-12-10T10:03:19Z",)),
        SceneChoice(tiles=("T33UWQ",), dates=("2025-12-01/..",)),
    ],
    ids=["tile", "scene", "both"],
)
def test_products_that_are_not_wanted_are_not_opened(
    store: ObjectStore, tmp_path: Path, only: SceneChoice
) -> None:
    result = index_products([DAY], tmp_path / "out", only=only)

    assert [key.tile_id for key in result.scenes] == ["T33UWQ"]
    assert result.passed_over == ()
    assert _opened(store) == {"33UWQ"}


def test_jobs_of_an_array_open_each_product_once(store: ObjectStore, tmp_path: Path) -> None:
    found, opened = [], []
    for number in (1, 2, 3, 4):
        store.requests.clear()
        result = index_products([DAY], tmp_path / "out", only=SceneChoice(shard=f"{number}/4"))
        found += [key.tile_id for key in result.scenes]
        opened += sorted(_opened(store))

    assert sorted(found) == sorted(f"T{tile}" for tile in (*TILES, "33UWQ"))
    assert sorted(opened) == sorted((*TILES, "33UWQ"))


def test_a_share_without_scenes_and_a_choice_of_none(store: ObjectStore, tmp_path: Path) -> None:
    wanted = "T33UWQ/2025-12-10T10:03:19Z"
    results = [
        index_products([DAY], tmp_path / "out", only=SceneChoice(scenes=(wanted,), shard=f"{number}/2"))
        for number in (1, 2)
    ]
    assert sorted(len(result.scenes) for result in results) == [0, 1]

    with pytest.raises(ProductError, match="leave none of the 6 products"):
        index_products([DAY], tmp_path / "none", only=SceneChoice(tiles=("T01CCV",)))
    with pytest.raises(ConfigError, match="is not a scene of this document"):
        index_products([DAY], tmp_path / "none", only=SceneChoice(scenes=("T01CCV/2025-12-10T10:03:19Z",)))
    with pytest.raises(ConfigError, match="expected MGRS tiles"):
        index_products([DAY], tmp_path / "none", only=SceneChoice(tiles=("nowhere",)))
    assert not (tmp_path / "none").exists()
    assert _opened(store) == {"33UWQ"}
