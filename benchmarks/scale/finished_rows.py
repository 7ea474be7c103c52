"""A finished run over a whole dataset: files, samples and their index are there, and nothing is to be done."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.scale import dataset
from benchmarks.scale.frame import Measure, row

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.scene_plan import ScenePlan

_LINKS = 50_000
"""Hard links of one file; file systems have limits."""


def config_of(root: Path, out_dir: Path) -> PreprocessConfig:
    """Six bands on the grid of the scene classification."""
    from s2pipe.preprocess.cfg import PreprocessConfig

    bands = ("B02", "B03", "B04", "B08", "B11", "B12")
    index = root / "meta/step1/index.json"
    return PreprocessConfig(index_json=index, out_dir=out_dir, target_grid_ref="scl_20m", l1c_bands=bands)


class _Linker:
    """Makes hard links, and a new file to link to where one has too many."""

    def __init__(self) -> None:
        self._sources: dict[str, Path] = {}
        self._counts: dict[str, int] = {}

    def link(self, source: Path, target: Path) -> None:
        name = os.fspath(source)
        current = self._sources.get(name)
        self._counts[name] = self._counts.get(name, 0) + 1
        if current is not None and self._counts[name] % _LINKS:
            try:
                os.link(current, target)
            except OSError as error:
                if error.errno not in (errno.EMLINK, errno.EXDEV):
                    raise
            else:
                return
        shutil.copy2(source, target)
        self._sources[name] = target


def finished(data: Path, count: int) -> Path:
    """Directory with a dataset of so many scenes in ``in`` and a finished run over it in ``out``."""
    base = data / f"finished-{count}"
    if not (base / "complete").exists():
        shutil.rmtree(base, ignore_errors=True)
        _make(data, base, count)
        (base / "complete").touch()
    return base


def _make(data: Path, base: Path, count: int) -> None:
    from s2pipe.dataset.step1_index import load_index
    from s2pipe.dataset.step2_index import load_entries
    from s2pipe.preprocess.plan import make_plan
    from s2pipe.preprocess.record import sample_fingerprint
    from s2pipe.preprocess.run import run_preprocess

    root, out = dataset.template(data), data / "template" / "out"
    one = config_of(root, out)
    run_preprocess(one)
    (plan,) = make_plan(load_index(one.index_json), one).scenes
    (entry,) = load_entries(out)
    keys = sorted(map(dataset.key_of, range(count)))
    linker = _Linker()
    used = [file.path for file in plan.files]
    for key in keys:
        _link_all(linker, used, root, base / "in", plan.key, key)
    dataset.write_step1(base / "in", dataset.lines(data, count))
    entries = [_sample(linker, out, base / "out", entry, plan.key, key) for key in keys]
    dataset.write_step2(base / "out", entries)
    _remember(config_of(base / "in", base / "out"), plan, sample_fingerprint(plan, one, None))


def _link_all(
    linker: _Linker, files: list[Path], root: Path, new: Path, own: SceneKey, key: SceneKey
) -> None:
    for file in files:
        target = new / dataset.renamed(file.relative_to(root).as_posix(), own, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        linker.link(file.resolve(), target)


def _sample(
    linker: _Linker, out: Path, new: Path, entry: dict[str, Any], own: SceneKey, key: SceneKey
) -> dict[str, Any]:
    """Make a sample of one that was processed; return its entry."""
    from s2pipe.dataset.proof import FileRecord, sealed_bytes

    meta_record, *others = entry["files"]
    for record in others:
        target = new / dataset.renamed(record["path"], own, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        linker.link(out / record["path"], target)
    meta = json.loads(dataset.renamed((out / meta_record["path"]).read_text(), own, key))
    data = sealed_bytes(meta)
    path = dataset.renamed(meta_record["path"], own, key)
    (new / path).write_bytes(data)
    made: dict[str, Any] = json.loads(dataset.renamed(json.dumps(entry), own, key))
    made["files"][0] = FileRecord.of_bytes(data, path).to_document()
    return made


def _remember(config: PreprocessConfig, plan: ScenePlan, fingerprint: str) -> None:
    """Fill the memory as a run does that finds every scene complete."""
    from s2pipe.dataset.step1_index import load_index
    from s2pipe.dataset.step2_index import load_entries
    from s2pipe.preprocess.finished import FinishedScenes

    time.sleep(2.5)  # younger files may still change unseen
    listed = load_entries(config.out_dir)
    memory = FinishedScenes(load_index(config.index_json), config, None, listed)
    for entry, key in zip(listed, listed.keys, strict=True):
        memory.remember(replace(plan, scene=replace(plan.scene, key=key)), entry, fingerprint)


@row("decide that a finished run has nothing to do", seconds=60)
def nothing_to_do(measure: Measure) -> None:
    """Run the whole step over a dataset whose samples are all there."""
    from s2pipe.preprocess.run import run_preprocess

    base = finished(measure.data, measure.size)
    config = config_of(base / "in", base / "out")
    with measure.clock():
        result = run_preprocess(config)
    assert len(result.up_to_date) == measure.size
    assert not (result.done)
    assert not (result.failed)


@row("Step-2 index: add a sample", seconds=0.05)
def add_sample(measure: Measure) -> None:
    """Record a finished sample beside all others."""
    from s2pipe.dataset.step2_index import SampleJournal, compact_index

    base = finished(measure.data, measure.size)
    key = dataset.key_of(measure.size // 2)
    journal = SampleJournal(base / "out", "benchmark")
    with measure.clock():
        assert journal.add(key.sample_dir) is not None
    journal.close()
    compact_index(base / "out")


@row("compact the Step-2 index at the end of a run", seconds=60, megabytes=2048)
def compact_samples(measure: Measure) -> None:
    """Look at the files of all samples and write their index anew."""
    from s2pipe.dataset.step2_index import compact_index

    base = finished(measure.data, measure.size)
    with measure.clock():
        compact_index(base / "out")
