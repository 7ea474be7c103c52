"""Statistics and patches: histograms summed and merged, splits planned, candidates, documents of shards."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.scale import dataset
from benchmarks.scale.frame import Measure, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s2pipe.dataset.samples import Sample
    from s2pipe.preprocess.stats.histogram import BandHistograms

_DATES_OF_GRID = 60
_CANDIDATES_OF_SCENE = 100
_WINDOWS_PX = 32
_BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")


@row("pass 1: histograms of all scenes summed", seconds=60, megabytes=256)
def sum_histograms(measure: Measure) -> None:
    """Add the histogram of each scene to the sum, as pass 1 does."""
    from s2pipe.preprocess.stats.histogram import HistogramSum

    first = _histogram(0)
    with measure.clock():
        total = HistogramSum()
        for number in range(measure.size):
            scene = replace(first.scenes[0], key=dataset.key_of(number))
            total.add(replace(first, counts=first.counts.copy(), scenes=(scene,)))
        counted = total.total()
    assert len(counted.scenes) == measure.size
    assert counted.counts.sum() == measure.size * first.counts.sum()


@row("merge the histograms of all scenes", seconds=60, megabytes=512)
def merge_histograms(measure: Measure) -> None:
    """`s2pipe stats merge` over the files that pass 1 keeps beside scenes."""
    from s2pipe.preprocess.stats.merge import histogram_paths, merge_to_stats
    from s2pipe.runtime.cores import core_count

    root = measure.data / f"histograms-{measure.size}"
    if not (root / "made").exists():
        _write_histograms(root, measure.size)
        (root / "made").touch()
    with measure.clock():
        paths = histogram_paths([root])
        stats = merge_to_stats(paths, root / "stats.json", (1.0, 99.0), num_workers=core_count())
    assert len(stats.scenes) == measure.size


@row("patches --plan, of a Step-1 index", seconds=60, megabytes=2048)
def plan_step1(measure: Measure) -> None:
    """Write the split of indexed products; a band of each is on disk."""
    root = dataset.step1(measure.data, measure.size)
    if not (root / "linked").exists():
        _link_bands(measure.data, root, measure.size)
        (root / "linked").touch()
    _plan(measure, root / "meta" / "step1" / "index.json", 256)


@row("patches --plan, of a Step-2 index", seconds=60, megabytes=2048)
def plan_step2(measure: Measure) -> None:
    """Write the split of samples."""
    _plan(measure, _step2(measure.data, measure.size), _WINDOWS_PX)


def _plan(measure: Measure, index: Path, patch_size: int) -> None:
    from s2pipe.patches.cfg import PatchConfig
    from s2pipe.patches.run import plan_patches

    out = measure.data / f"plan-{measure.size}"
    shutil.rmtree(out, ignore_errors=True)
    with measure.clock():
        found = plan_patches(PatchConfig(index, out, patch_size=patch_size, edges="pad"))
    measure.notes["candidates"] = found.candidates
    assert found.candidates >= measure.size


@row("documents of a shard of 1000 patches", seconds=0.1)
def shard_documents(measure: Measure) -> None:
    """Write the JSON of all items of one shard."""
    from s2pipe.patches.candidates.assign import candidates, grounds_of_samples, plan_split
    from s2pipe.patches.cfg import PatchConfig, SplitConfig
    from s2pipe.patches.shards.documents import Dataset
    from s2pipe.patches.shards.layout import plan_shards, shuffled, single_groups
    from s2pipe.patches.shards.writer import Contents
    from s2pipe.patches.targets.join import Targets

    samples = _samples(measure.data, measure.size, 64 * 8)
    config = PatchConfig(
        measure.data, measure.data, patch_size=64, split=SplitConfig(by="tile", train=1, val=0, test=0)
    )
    plan = plan_split(config.split, grounds_of_samples(samples))
    table = candidates(samples, config, plan)
    groups = single_groups(table)
    shards = plan_shards(table, groups, shuffled(table, groups, samples, config), config, 1000)
    made = Dataset(config, samples, table, groups, plan.grid, Targets())
    with measure.clock():
        contents = Contents.of(made, replace(shards[0], groups=shards[0].groups[:1000]))
    measure.notes["documents"] = len(contents.documents)


@row("candidates (100 a scene): table and database", seconds=60, megabytes=1536)
def candidate_database(measure: Measure) -> None:
    """Lay the candidates, put them into shards, and write the database: 10 million at 100,000 scenes."""
    from s2pipe.dataset.samples import load_samples
    from s2pipe.patches.candidates.assign import candidates, drop_by_ground, grounds_of_samples, plan_split
    from s2pipe.patches.cfg import PatchConfig
    from s2pipe.patches.database import Places, Scenes, write_database
    from s2pipe.patches.shards.facts import shared_facts
    from s2pipe.patches.shards.layout import plan_shards, shuffled, single_groups

    samples = _samples(measure.data, measure.size, 64 * 10)
    config = PatchConfig(measure.data, measure.data, patch_size=64)
    facts = shared_facts(load_samples(_sample(measure.data)), config)
    with measure.clock():
        plan = plan_split(config.split, grounds_of_samples(samples))
        table = candidates(samples, config, plan)
        table.valid[:] = 1.0
        drop_by_ground(table)
        groups = single_groups(table)
        shards = plan_shards(table, groups, shuffled(table, groups, samples, config), config, 1000)
        offsets = {shard.path: np.arange(len(shard.groups) + 1, dtype=np.int64) * 1024 for shard in shards}
        places = Places.of(len(table), groups, shards, offsets)
        path = measure.data / "patches.parquet"
        paths = [shard.path for shard in shards]
        write_database(path, table, Scenes(samples, plan.grid, 64), (paths, places), {}, facts)
    measure.notes["candidates"] = len(table)
    path.unlink()


def _histogram(seed: int) -> BandHistograms:
    """A histogram of the default settings and six bands, as full as that of a small scene."""
    from s2pipe.preprocess.cfg import NormalizeConfig, PreprocessConfig
    from s2pipe.preprocess.stats.histogram import BandHistograms, ContributingScene, HistogramSettings

    normalize = NormalizeConfig(mode="compute_only", stats_path=Path("stats.json"))
    config = PreprocessConfig(
        Path(), Path(), target_grid_ref="scl_20m", l1c_bands=_BANDS, normalize=normalize
    )
    settings = HistogramSettings.of(config)
    values = np.random.default_rng(seed).gamma(4, 400, (len(_BANDS), 100_000)).astype(np.int64) + 2000
    bins = np.minimum(values, settings.bin_count - 1)
    counts = np.stack([np.bincount(band, minlength=settings.bin_count) for band in bins])
    key = dataset.key_of(seed)
    scene = ContributingScene(key, (f"S2A_MSIL1C_{key.compact_start[:-1]}_N0511_R122_{key.tile_id}.SAFE",))
    none = np.zeros(len(_BANDS), np.int64)
    return BandHistograms(settings, counts, none, none, (scene,), "sha256:" + 64 * "0")


def _write_histograms(root: Path, count: int) -> None:
    """Write a histogram for each scene. Compressing counts anew for each would take most of an hour."""
    import io
    import zipfile

    from s2pipe.preprocess.stats.histogram import HISTOGRAM_NAME, save_histogram
    from s2pipe.runtime.hashing import bytes_fingerprint

    root.mkdir(parents=True, exist_ok=True)
    save_histogram(root / "first.npz", _histogram(0))
    with np.load(root / "first.npz") as arrays:
        about = json.loads(str(arrays["about"]))
    with zipfile.ZipFile(root / "first.npz") as archive:
        names = [name for name in archive.namelist() if name != "about.npy"]
        stored = io.BytesIO()
        with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as target:
            for name in names:
                target.writestr(name, archive.read(name))
    seal = len(bytes_fingerprint(b""))
    for number in range(count):
        key = dataset.key_of(number)
        about["scenes"][0]["key"] = key.to_document()
        text, whole = io.BytesIO(), io.BytesIO(stored.getvalue())
        np.save(text, np.array(json.dumps(about)))
        with zipfile.ZipFile(whole, "a", zipfile.ZIP_DEFLATED) as target:
            target.writestr("about.npy", text.getvalue())
        content = whole.getvalue()[:-2] + seal.to_bytes(2, "little")
        path = root / key.sample_dir / HISTOGRAM_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content + bytes_fingerprint(content).encode())


def _link_bands(data: Path, root: Path, count: int) -> None:
    """Link the band that planning looks at into the dataset of each scene."""
    from s2pipe.dataset.step1_index import index_path, load_index

    template = dataset.template(data)
    (one,) = load_index(index_path(template)).scenes
    asset = min(
        (item for item in one.assets if item.role.startswith("l1c.band.")), key=lambda item: item.role
    )
    source = (template / asset.path).resolve()
    for number in range(count):
        path = root / dataset.renamed(asset.path, one.key, dataset.key_of(number))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        try:
            os.link(source, path)
        except OSError:  # so many links that the file system has no more for one file
            copy = source.with_name(f"{source.name}.{number}")
            shutil.copy2(source, copy)
            source = copy
            os.link(source, path)


def _sample(data: Path) -> Path:
    """The Step-2 index of one sample that was really made."""
    from s2pipe.dataset.step1_index import index_path
    from s2pipe.preprocess.cfg import LabelConfig, PreprocessConfig
    from s2pipe.preprocess.run import run_preprocess

    out = data / "template" / "samples"
    index = out / "meta" / "step2" / "index.json"
    if not index.exists():
        step1 = index_path(dataset.template(data))
        labels = LabelConfig(enabled=True, backend="scl")
        run_preprocess(
            PreprocessConfig(step1, out, target_grid_ref="scl_20m", l1c_bands=_BANDS, labels=labels)
        )
    return index


def _step2(data: Path, count: int) -> Path:
    """A Step-2 index of so many samples; without their files."""
    from s2pipe.dataset.entry_document import document_pieces, entry_line
    from s2pipe.dataset.proof import sealed_pieces
    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.runtime.files import atomic_path

    document = json.loads(_sample(data).read_text())
    (entry,) = document["samples"]
    own, text = SceneKey.from_document(entry["key"]), entry_line(entry).decode()
    path = data / f"samples-{count}" / "meta" / "step2" / "index.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {key: value for key, value in document.items() if key not in ("samples", "document_sha256")}

    def lines() -> Iterator[bytes]:
        for key in sorted(map(dataset.key_of, range(count))):
            yield dataset.renamed(text, own, key).encode()

    if not path.exists():
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            stream.writelines(sealed_pieces(document_pieces(head, "samples", lines())))
    return path


def _samples(data: Path, count: int, side_px: int) -> list[Sample]:
    """Samples on grids of other places and days than the one that was made."""
    from s2pipe.dataset.samples import load_samples
    from s2pipe.raster.grid import Grid, TargetGrid

    (one,) = load_samples(_sample(data))
    found, target = [], one.target
    for number in range(count):
        tile, date = divmod(number, _DATES_OF_GRID)
        if not date:
            transform = (
                300_000.0 + 12_000 * (tile % 20),
                20.0,
                0.0,
                2_000_000.0 + 13_000 * (tile // 20),
                0.0,
                -20.0,
            )
            target = TargetGrid.whole(Grid(one.grid.crs_wkt, transform, (side_px, side_px)))
        found.append(replace(one, target=target, key=dataset.key_of(number)))
    return found
