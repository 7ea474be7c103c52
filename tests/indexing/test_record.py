"""Products indexed by several at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from s2pipe.dataset.step1_index import index_path, load_index
from s2pipe.indexing.run import index_products
from s2pipe.runtime.locks import locked
from tests.indexing.test_index_products import L1C, make_product

if TYPE_CHECKING:
    from pathlib import Path

OTHER = L1C.replace("T33UWQ", "T33UWP")


def test_a_scene_that_is_held_is_waited_for_and_others_are_not(tmp_path: Path) -> None:
    held, other = make_product(tmp_path, L1C), make_product(tmp_path, OTHER)
    out = tmp_path / "out"
    lock = out / "meta/step1/locks/T33UWQ_20251210T100319Z.lock"
    with ThreadPoolExecutor(1) as pool:
        with locked(lock):
            waiting = pool.submit(index_products, [held], out)
            assert index_products([other], out).changed
            assert not wait([waiting], 0.3).done
            assert [scene.key.tile_id for scene in load_index(index_path(out)).scenes] == ["T33UWP"]
        assert waiting.result(60).changed
    assert [scene.key.tile_id for scene in load_index(index_path(out)).scenes] == ["T33UWP", "T33UWQ"]
    assert not list(lock.parent.iterdir())


def test_all_that_several_index_at_once_is_there_and_links_are_of_the_product_that_is_recorded(
    tmp_path: Path,
) -> None:
    own = [make_product(tmp_path, L1C.replace("T33UWQ", f"T33UW{letter}")) for letter in "ABCD"]
    # Three products of one scene, whose files have the same names.
    rivals = [make_product(tmp_path, L1C.replace("N0511", f"N05{n}"), seed=bytes([n])) for n in (10, 11, 12)]
    out = tmp_path / "out"
    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(index_products, [product], out) for product in (*rivals, *own, *rivals)]
        for job in jobs:
            job.result(60)
    index = load_index(index_path(out))
    assert [scene.key.tile_id for scene in index.scenes] == ["T33UWA", "T33UWB", "T33UWC", "T33UWD", "T33UWQ"]
    rival = index.scenes[-1]
    for asset in rival.assets:
        assert rival.l1c is not None
        assert rival.l1c.product_name in str((out / asset.path).readlink())
