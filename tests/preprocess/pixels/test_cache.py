"""The stack cache: same bytes with and without, bounded, never wrong."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.preprocess.cfg import CacheConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.pixels.cache import (
    SUFFIX,
    CacheDamagedError,
    StackCache,
    StackWriter,
    entry_bytes,
    read_stack,
)
from s2pipe.preprocess.run import run_preprocess
from s2pipe.raster.grid import Window

if TYPE_CHECKING:
    from tests.conftest import Dataset

WINDOWS = [Window(0, 0, 4, 7), Window(4, 0, 4, 7), Window(8, 0, 2, 7)]
SAMPLE = Path("processed/tile=T33UWQ/sensing=2025-12-10T100319Z")


def _stack() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(3, *window.shape_yx)).astype(np.float32) for window in WINDOWS]


def _write(path: Path) -> list[np.ndarray]:
    writer, data = StackWriter(path, 3, WINDOWS), _stack()
    for part in data:
        writer.add(part)
    writer.finish()
    return data


def test_an_entry_gives_back_what_was_kept(tmp_path: Path) -> None:
    data = _write(tmp_path / "e")
    assert (tmp_path / "e").stat().st_size == entry_bytes(3, WINDOWS)
    for (window, part), expected_window, expected in zip(
        read_stack(tmp_path / "e", 3, WINDOWS), WINDOWS, data, strict=True
    ):
        assert window == expected_window
        assert np.array_equal(part, expected)


@pytest.mark.parametrize("damage", ["cut", "flip", "layout", "empty"])
def test_a_damaged_entry_is_noticed(tmp_path: Path, damage: str) -> None:
    _write(tmp_path / "e")
    content = bytearray((tmp_path / "e").read_bytes())
    if damage == "flip":
        content[-30] ^= 1
    cut = {"cut": len(content) - 10, "empty": 0}.get(damage, len(content))
    (tmp_path / "e").write_bytes(content[:cut])
    with pytest.raises(CacheDamagedError):
        list(read_stack(tmp_path / "e", 2 if damage == "layout" else 3, WINDOWS))


def test_an_unfinished_entry_leaves_nothing(tmp_path: Path) -> None:
    writer = StackWriter(tmp_path / "e", 3, WINDOWS)
    writer.add(_stack()[0])
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_the_entries_used_longest_ago_go_first(tmp_path: Path) -> None:
    cache = StackCache(tmp_path, 1000)
    for number in range(4):
        path = cache.path(f"sha256:{number:064x}")
        path.write_bytes(bytes(250))
        os.utime(path, ns=(number * 10**9, number * 10**9))
    others = ["mine.dnstack", f"{9:063x}.dnstack"]
    for name in others:
        (tmp_path / name).write_bytes(bytes(900))
        os.utime(tmp_path / name, ns=(0, 0))
    assert cache.find(f"sha256:{0:064x}", 250) is not None  # now the most recently used
    assert cache.make_room(300)
    assert {path.name for path in tmp_path.iterdir()} == {f"{0:064x}{SUFFIX}", f"{3:064x}{SUFFIX}", *others}
    assert not cache.make_room(1001)
    assert cache.find(f"sha256:{1:064x}", 250) is None
    assert cache.find(f"sha256:{3:064x}", 251) is None  # cut short, or of another layout
    assert not cache.path(f"sha256:{3:064x}").exists()


def _config(dataset: Dataset, out: Path, cache: CacheConfig, mode: Any) -> PreprocessConfig:
    normalize = NormalizeConfig(mode=mode, stats_path=out / "stats.json")
    return dataset.config(out, cache=cache, normalize=normalize)


def _digests(out: Path) -> list[str]:
    return [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (out / SAMPLE / "x.tif", out / "stats.json")
    ]


def _both(dataset: Dataset, out: Path, cache: CacheConfig) -> list[str]:
    for mode in ("compute_only", "apply_with_stats"):
        assert run_preprocess(_config(dataset, out, cache, mode)).exit_code == 0
    return _digests(out)


def test_the_same_bytes_with_and_without_and_pass_2_reads_no_band(dataset: Dataset, tmp_path: Path) -> None:
    expected = _both(dataset, tmp_path / "plain", CacheConfig())
    cache = CacheConfig(enabled=True, dir=tmp_path / "cache")
    assert _both(dataset, tmp_path / "cached", cache) == expected
    entries = list((tmp_path / "cache").iterdir())
    assert len(entries) == 2
    before = {path: path.stat().st_mtime_ns for path in entries}
    config = replace(_config(dataset, tmp_path / "cached", cache, "apply_with_stats"), overwrite=True)
    run_preprocess(config)
    assert all(path.stat().st_mtime_ns > before[path] for path in entries)


def test_a_damaged_entry_is_dropped_and_the_scene_decoded_again(dataset: Dataset, tmp_path: Path) -> None:
    expected = _both(dataset, tmp_path / "plain", CacheConfig())
    cache = CacheConfig(enabled=True, dir=tmp_path / "cache")
    run_preprocess(_config(dataset, tmp_path / "out", cache, "compute_only"))
    truncated, changed = (tmp_path / "cache").iterdir()
    truncated.write_bytes(truncated.read_bytes()[:-7])
    changed.write_bytes(changed.read_bytes()[:-7] + b"changed")
    result = run_preprocess(_config(dataset, tmp_path / "out", cache, "apply_with_stats"))
    assert result.exit_code == 0
    assert _digests(tmp_path / "out") == expected
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_changed_option_or_input_misses_the_cache(dataset: Dataset, tmp_path: Path) -> None:
    cache = CacheConfig(enabled=True, dir=tmp_path / "cache")
    normalize = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "s.json")
    config = dataset.config(tmp_path / "out", cache=cache, normalize=normalize, max_scenes=1)
    run_preprocess(config)
    for number, change in enumerate(
        (
            {"downsample_method": "max"},
            {"valid_min_fraction": 0.5},
            {"target_grid_ref": "B02"},
            {"l1c_bands": ("B02",)},
        ),
        2,
    ):
        run_preprocess(replace(config, **change))
        assert len(list((tmp_path / "cache").iterdir())) == number
    run_preprocess(replace(config, to_toa_reflectance=False, overwrite=True))
    assert len(list((tmp_path / "cache").iterdir())) == 5, (
        "radiometry is applied to the stack, not kept in it"
    )


def test_the_cache_is_bounded_and_may_be_used_up(dataset: Dataset, tmp_path: Path) -> None:
    small = CacheConfig(enabled=True, dir=tmp_path / "cache", max_gb=0.004)
    run_preprocess(_config(dataset, tmp_path / "out", small, "compute_only"))
    assert len(list((tmp_path / "cache").iterdir())) == 1  # 366 x 366 x 6 x 4 bytes per scene
    tiny = CacheConfig(enabled=True, dir=tmp_path / "tiny", max_gb=1e-6)
    run_preprocess(replace(_config(dataset, tmp_path / "out", tiny, "compute_only"), overwrite=True))
    assert not (tmp_path / "tiny").exists()
    used = CacheConfig(enabled=True, dir=tmp_path / "used", keep=False)
    _both(dataset, tmp_path / "other", used)
    assert list((tmp_path / "used").iterdir()) == []


def test_a_cache_that_cannot_be_written_does_not_stop_the_run(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = CacheConfig(enabled=True, dir=tmp_path / "file" / "cache")
    assert run_preprocess(_config(dataset, tmp_path / "out", cache, "compute_only")).exit_code == 0


def test_without_a_directory_it_lies_in_the_root_of_the_dataset(dataset: Dataset, tmp_path: Path) -> None:
    from s2pipe.preprocess.pixels.dn import cache_directory

    assert cache_directory(dataset.config(tmp_path)) == dataset.root / "cache"
