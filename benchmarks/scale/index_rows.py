"""Indexes: loaded, extended, searched, compacted, exported."""

from __future__ import annotations

import shutil
from contextlib import closing

from benchmarks.scale import dataset
from benchmarks.scale.frame import Measure, row


@row("load and check the Step-1 index", seconds=20, megabytes=2048)
def load(measure: Measure) -> None:
    """Load it as every run does."""
    from s2pipe.dataset.step1_index import index_path, load_index

    path = index_path(dataset.step1(measure.data, measure.size))
    with measure.clock():
        index = load_index(path)
    assert len(index.scenes) == measure.size
    measure.notes["index_mb"] = round(path.stat().st_size / 1e6, 1)


@row("look up all scenes by key", seconds=0.5)
def look_up(measure: Measure) -> None:
    """Find every scene in a loaded index."""
    from s2pipe.dataset.step1_index import index_path, load_index

    index = load_index(index_path(dataset.step1(measure.data, measure.size)))
    keys = [dataset.key_of(number) for number in range(measure.size)]
    with measure.clock():
        found = [index.scene(key) for key in keys]
    assert [scene.key for scene in found if scene is not None] == keys


@row("add one scene to the Step-1 index", seconds=0.05)
def add_scene(measure: Measure) -> None:
    """Record one more scene in an index, as `s2pipe index` and `download` do."""
    from s2pipe.dataset.journal import journal_directory
    from s2pipe.dataset.step1_index import find_scenes, index_path, new_index, record

    root = dataset.step1(measure.data, measure.size)
    path, scene = index_path(root), dataset.scene(measure.data, measure.size)
    new = new_index(root, [scene])
    before = path.read_bytes() if path.stat().st_size < _SMALL_BYTES else None
    find_scenes(path, [dataset.key_of(0)])  # imports, and the schema
    try:
        with measure.clock():
            assert record(path, new)
        assert find_scenes(path, [scene.key])
    finally:
        if before is not None:  # the next row finds the size that it asks for
            path.write_bytes(before)
        shutil.rmtree(journal_directory(path), ignore_errors=True)


_SMALL_BYTES = 16 << 20
"""Up to this size adding a scene writes the index anew."""


@row("compact the Step-1 index after one scene", seconds=60, megabytes=2048)
def compact(measure: Measure) -> None:
    """Write the whole index with one scene more, what ends a run or `s2pipe compact` does."""
    from s2pipe.dataset.step1_index import IndexJournal, compact_index, index_path

    root = measure.data / f"compact-{measure.size}"
    path = index_path(root)
    dataset.write_step1(root, dataset.lines(measure.data, measure.size))
    with closing(IndexJournal(root, path, "run")) as journal:
        journal.add([dataset.scene(measure.data, measure.size)])
    with measure.clock():
        assert compact_index(path)
    shutil.rmtree(root)
