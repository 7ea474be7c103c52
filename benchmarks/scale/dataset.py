"""Datasets of any number of scenes, whose entries are those of one that was really indexed and processed."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from s2pipe.config.schema import STEP2_INDEX
from s2pipe.dataset.entry_document import document_pieces, entry_line
from s2pipe.dataset.proof import sealed_pieces
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import Scene, index_path, load_index, new_index
from s2pipe.dataset.step2_index import index_path as step2_index_path
from s2pipe.runtime.clock import utc_now
from s2pipe.runtime.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SIDE_M = 3_660
"""Side of the tiny rasters; files of products and their roles are all there."""
START = datetime(2025, 1, 1, 10, 3, 19, tzinfo=UTC)
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_DAYS = 360


def template(data: Path) -> Path:
    """A dataset of one scene, L1C and L2A with all their files, indexed as users do."""
    from s2pipe.indexing.run import index_products
    from s2pipe.synthetic import ProductSpec, make_products

    root = data / "template" / "dataset"
    if not index_path(root).exists():
        shutil.rmtree(data / "template", ignore_errors=True)
        make_products(data / "template" / "products", ProductSpec(side_m=SIDE_M, sensing_start=START))
        index_products([data / "template" / "products"], root)
    return root


def key_of(number: int) -> SceneKey:
    """Key of one of many scenes: 360 days on one tile, then the next tile."""
    tile, day = divmod(number, _DAYS)
    name = f"T{1 + tile // 576 % 60:02}U{_LETTERS[tile // 24 % 24]}{_LETTERS[tile % 24]}"
    return SceneKey(name, (START + timedelta(days=day)).strftime("%Y-%m-%dT%H:%M:%SZ"))


def renamed(text: str, own: SceneKey, key: SceneKey) -> str:
    """Give a document the names of another scene."""
    for form in ("sensing_start_utc", "compact_start"):
        text = text.replace(getattr(own, form), getattr(key, form))
    text = text.replace(own.compact_start.removesuffix("Z"), key.compact_start.removesuffix("Z"))
    text = text.replace(own.sensing_start_utc.replace(":", ""), key.sensing_start_utc.replace(":", ""))
    return text.replace(own.tile_id, key.tile_id).replace(own.tile_id[1:], key.tile_id[1:])


def lines(data: Path, count: int) -> Iterator[bytes]:
    """Entries as ``s2pipe index`` writes them, with the keys of other scenes, in their order."""
    (one,) = load_index(index_path(template(data))).scenes
    text = entry_line(one.to_document()).decode()
    for key in sorted(map(key_of, range(count))):
        yield renamed(text, one.key, key).encode()


def scene(data: Path, number: int) -> Scene:
    """One of these scenes."""
    (one,) = load_index(index_path(template(data))).scenes
    text = entry_line(one.to_document()).decode()
    return Scene.from_document(json.loads(renamed(text, one.key, key_of(number))))


def step1(data: Path, count: int) -> Path:
    """Root of a dataset whose Step-1 index has so many scenes; without their files."""
    root = data / f"index-{count}"
    if not index_path(root).exists():
        write_step1(root, lines(data, count))
    return root


def write_step1(root: Path, entries: Iterable[bytes]) -> None:
    """Write a Step-1 index as compaction does."""
    head = {key: value for key, value in new_index(root, []).to_document().items() if key != "scenes"}
    with atomic_path(index_path(root)) as temporary, temporary.open("wb") as stream:
        stream.writelines(sealed_pieces(document_pieces(head, "scenes", entries)))


def write_step2(out_dir: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Write a Step-2 index as compaction does."""
    head = {
        "schema": STEP2_INDEX,
        "created_utc": utc_now(),
        "output": {"out_dir": out_dir.as_posix(), "layout": "processed/tile=<TILE>/sensing=<SENSING>/"},
    }
    with atomic_path(step2_index_path(out_dir)) as temporary, temporary.open("wb") as stream:
        stream.writelines(sealed_pieces(document_pieces(head, "samples", map(entry_line, entries))))
