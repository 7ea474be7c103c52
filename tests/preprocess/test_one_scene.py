"""One scene by its plan or its key: the same in a run, in threads, and in another process."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import s2pipe
from s2pipe.config.documents import read_json
from s2pipe.dataset.step1_index import load_index
from s2pipe.dataset.step2_index import compact_index
from s2pipe.errors import ConfigError, DiskFullError, Fault, MissingInputError, S2PipeError
from s2pipe.preprocess.cfg import AngleAssetConfig, LabelConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.finish import claimed_sample, is_held, sample_lock
from s2pipe.preprocess.one_scene import count_scene, process_scene
from s2pipe.preprocess.plan import make_plan
from s2pipe.preprocess.run import run_preprocess
from s2pipe.preprocess.stats.histogram import load_histogram
from s2pipe.preprocess.stats.stats_file import load_stats
from tests.paths import ROOT

if TYPE_CHECKING:
    from tests.conftest import Dataset

KEYS = ("T33UWQ/2025-12-10T10:03:19Z", "T33UWQ/2025-12-15T10:03:19Z")


def _config(dataset: Dataset, out: Path, **changes: Any) -> PreprocessConfig:
    small = {
        "target_grid_ref": "B01",
        "l1c_bands": ("B01", "B11"),
        "labels": LabelConfig(enabled=True),
        "angles": AngleAssetConfig(enabled=True),
    }
    return dataset.config(out, **{**small, **changes})


def _counting(dataset: Dataset, out: Path) -> PreprocessConfig:
    normalize = NormalizeConfig(mode="compute_only", stats_path=out / "stats.json")
    return _config(dataset, out, normalize=normalize)


def _rasters(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*.*"))
        if path.suffix in (".tif", ".npz", ".vrt")
    }


def test_scenes_by_key_by_plan_and_in_a_run_are_the_same(dataset: Dataset, tmp_path: Path) -> None:
    by_run, by_key, by_plan = (_config(dataset, tmp_path / name) for name in ("run", "key", "plan"))
    run_preprocess(by_run)
    records = [process_scene(key, by_key) for key in KEYS]
    assert [(str(record.key), record.status, record.error) for record in records] == [
        (key, "done", None) for key in KEYS
    ]
    assert records[0].inputs["earlier"] > 5
    plans = make_plan(load_index(dataset.index_json), by_plan).scenes
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda plan: process_scene(plan, by_plan), plans))
    expected = _rasters(by_run.out_dir)
    assert len(expected) >= 6
    assert _rasters(by_key.out_dir) == _rasters(by_plan.out_dir) == expected
    compact_index(by_key.out_dir)
    entries = read_json(by_key.out_dir / "meta/step2/index.json")["samples"]
    assert [entry["key"]["sensing_start_utc"] for entry in entries] == [key[7:] for key in KEYS]
    assert process_scene(KEYS[0], by_key).status == "up_to_date"
    assert process_scene(KEYS[0], replace(by_key, overwrite=True)).status == "done"


def test_a_scene_is_counted_as_in_a_run(dataset: Dataset, tmp_path: Path) -> None:
    by_run, by_key = (_counting(dataset, tmp_path / name) for name in ("run", "key"))
    run_preprocess(by_run)
    found = []
    assert [count_scene(key, by_key, add=found.append).status for key in KEYS] == ["done", "done"]
    assert count_scene(KEYS[1], by_key, add=found.append).status == "up_to_date"
    assert len(found) == 3
    assert _rasters(by_key.out_dir) == _rasters(by_run.out_dir)
    assert not (by_key.out_dir / "stats.json").exists()


@pytest.mark.parametrize("switch", ["pass", "gdal.UseExceptions()", "gdal.DontUseExceptions()"])
def test_gdal_is_left_as_it_was(dataset: Dataset, tmp_path: Path, switch: str) -> None:
    """In a process of its own, in which nothing has used GDAL before."""
    code = (
        "import sys, threading\n"
        "from osgeo import gdal, osr\n"
        f"{switch}\n"
        "gdal.SetCacheMax(77 << 20)\n"
        "names = ('GDAL_NUM_THREADS', 'GDAL_DISABLE_READDIR_ON_OPEN', 'GDAL_PAM_ENABLED', 'OPJ_NUM_THREADS')\n"
        "everywhere = getattr(gdal, 'GetGlobalConfigOption', gdal.GetConfigOption)  # GDAL 3.7\n"
        "def state():\n"
        "    drivers = [gdal.GetDriver(i).ShortName for i in range(gdal.GetDriverCount())]\n"
        "    options = [gdal.GetConfigOption(n) for n in names] + [everywhere(n) for n in names]\n"
        "    raised = [gdal.GetUseExceptions(), osr.GetUseExceptions()]\n"
        "    return gdal.GetCacheMax(), options, drivers, raised, gdal.GetErrorCounter()\n"
        "before = state()\n"
        "import s2pipe\n"
        "from s2pipe.preprocess.cfg import PreprocessConfig\n"
        "config = PreprocessConfig(sys.argv[1], sys.argv[2], 'B01', ('B01', 'B11'))\n"
        "keys = sys.argv[3:]\n"
        "run = lambda key: sys.stdout.write(s2pipe.process_scene(key, config).status + chr(10))\n"
        "run(keys.pop())\n"
        "assert state() == before, (state(), before)\n"
        "def in_a_thread(key):\n"
        "    found = state()\n"
        "    run(key)\n"
        "    assert state() == found == before, (state(), before)\n"
        "threading.excepthook = lambda failed: print(failed.exc_value)\n"
        "threads = [threading.Thread(target=in_a_thread, args=(key,)) for key in keys]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert state() == before, (state(), before)\n"
    )
    command = [sys.executable, "-c", code, str(dataset.index_json), str(tmp_path), *KEYS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["done", "done"]), done.stderr


def test_what_goes_in_and_comes_out_travels_small_and_stays_equal(dataset: Dataset, tmp_path: Path) -> None:
    config = _counting(dataset, tmp_path)
    run_preprocess(config)
    stats = load_stats(tmp_path / "stats.json")
    config = replace(config, normalize=NormalizeConfig("apply_with_stats", tmp_path / "stats.json"))
    plan = make_plan(load_index(dataset.index_json), config).scenes[0]
    record = process_scene(plan, config, stats)
    missing = process_scene(
        KEYS[1], replace(config, labels=LabelConfig(True, backend="raster", path="no.tif"))
    )
    assert (record.status, missing.status) == ("done", "failed")
    assert missing.error is not None
    assert "no.tif" in missing.error
    for value, most in ((plan, 6_000), (config, 3_000), (stats, 5_000), (record, 500), (missing, 4_000)):
        packed = pickle.dumps(value)
        assert len(packed) < most, (type(value), len(packed))
        assert pickle.loads(packed) == value
    assert pickle.loads(pickle.dumps(plan)) != replace(plan, files=())
    other = process_scene(pickle.loads(pickle.dumps(plan)), replace(config, overwrite=True))
    assert other == replace(record, inputs=other.inputs)


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("file.json", [Fault("a.b", "expected 1"), Fault("", "got 2")]),
        MissingInputError("2 scenes lack inputs:", ["one", "two"], "Fetch them."),
        DiskFullError("the disk is full"),
    ],
)
def test_errors_come_back_from_another_process(error: S2PipeError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


def test_a_scene_that_another_process_holds_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    config = _config(dataset, tmp_path)
    plans = make_plan(load_index(dataset.index_json), config).scenes
    with sample_lock(tmp_path, plans[0].directory):
        assert is_held(tmp_path, plans[0].directory)
        assert process_scene(plans[0], config, wait=False).status == "held"
    assert not is_held(tmp_path, plans[0].directory)
    assert not is_held(tmp_path, plans[1].directory)
    assert process_scene(plans[0], config, wait=False).status == "done"


def test_a_run_does_other_scenes_while_another_process_is_at_the_first(
    dataset: Dataset, tmp_path: Path
) -> None:
    config = _config(dataset, tmp_path)
    first, second = (plan.directory for plan in make_plan(load_index(dataset.index_json), config).scenes)
    results = []
    run = threading.Thread(target=lambda: results.append(run_preprocess(config)))
    with sample_lock(tmp_path, first):
        run.start()
        for _ in range(600):
            run.join(0.05)
            if (tmp_path / second / "meta.json").exists():
                break
        assert run.is_alive()
        assert not (tmp_path / first / "meta.json").exists()
    run.join()
    assert [str(key) for key in results[0].done] == list(reversed(KEYS))


def test_what_fails_leaves_no_directory(tmp_path: Path) -> None:
    inside = Path("processed/tile=T33UWQ/sensing=2025-12-10T100319Z")
    with pytest.raises(ZeroDivisionError), claimed_sample(tmp_path, inside, wait=True):
        assert (tmp_path / inside / ".lock").is_file()
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []
    with claimed_sample(tmp_path, inside, wait=True):
        (tmp_path / inside / "x.tif").touch()
    assert sorted(path.name for path in (tmp_path / inside).iterdir()) == [".lock", "x.tif"]


def test_wrong_uses_are_named(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="compute_only is for count_scene"):
        process_scene(KEYS[0], _counting(dataset, tmp_path))
    with pytest.raises(ConfigError, match="expected compute_only, got none"):
        count_scene(KEYS[0], _config(dataset, tmp_path))
    with pytest.raises(MissingInputError, match="has no scene 'T33UWQ/2024-01-01T00:00:00Z'"):
        process_scene("T33UWQ/2024-01-01T00:00:00Z", _config(dataset, tmp_path))
    with pytest.raises(MissingInputError, match="has no scene 'yesterday'"):
        s2pipe.process_scene("yesterday", _config(dataset, tmp_path))
    with pytest.raises(ConfigError, match="num_workers"):
        process_scene(KEYS[0], _config(dataset, tmp_path, num_workers=-1))
    assert list(tmp_path.iterdir()) == []


def test_histograms_are_those_of_the_scene(dataset: Dataset, tmp_path: Path) -> None:
    config = _counting(dataset, tmp_path)
    record = count_scene(KEYS[0], config)
    histogram = load_histogram(tmp_path / record.key.sample_dir / "histogram.npz")
    assert [str(scene.key) for scene in histogram.scenes] == [KEYS[0]]
