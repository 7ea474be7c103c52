"""The split before statistics: plan from products, count training ground only, cut patches by the same split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from s2pipe.cli import main
from s2pipe.ground.projection import utm_to_lonlat
from s2pipe.ground.split import load_plan
from s2pipe.indexing.run import index_products
from s2pipe.patches.cfg import PatchConfig
from s2pipe.preprocess.cfg import LabelConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.synthetic import ProductSpec, make_products
from tests.conftest import read_whole_band
from tests.paths import ROOT

pytest.importorskip("pyarrow")
BANDS = ("B02", "B11")


@pytest.fixture(scope="module")
def step1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small overlapping tiles."""
    root = tmp_path_factory.mktemp("products")
    for tile, shift in (("T33UWQ", 0), ("T33UVQ", -3000)):
        spec = ProductSpec(tile, side_m=6000, bands=BANDS, epsg=32633, ulx=499_980 + shift, uly=5_500_020)
        make_products(root / "products", spec)
    index_products([root / "products"], root / "out")
    return root / "out" / "meta" / "step1" / "index.json"


def test_from_products_to_shards_without_a_leak(
    step1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    split = {"train": 0.6, "val": 0.2, "test": 0.2, "by": "cell", "cell_m": 1500}
    patches = {
        "index_json": str(out / "meta/step2/index.json"),
        "out_dir": str(out / "patches"),
        "patch_size": 32,
    }
    patches |= {"split": split, "quality": {"min_valid": 0.3}}
    file = tmp_path / "patches.json"
    file.write_text(json.dumps({"patches": patches}))
    assert main(["patches", str(file), "--plan", "--index-json", str(step1), "--quiet"]) == 0
    plan_path = out / "patches" / "split.json"
    planned = plan_path.read_bytes()
    assert main(["validate", str(plan_path), str(file), "--quiet"]) == 0

    base = {"index_json": step1, "out_dir": out, "target_grid_ref": "scl_20m", "l1c_bands": BANDS}
    stats = out / "normalize" / "stats.json"
    first = {"mode": "compute_only", "stats_path": stats, "save_histograms": True}
    everything = run_preprocess(PreprocessConfig(**base, normalize=NormalizeConfig(**first)))
    counts_of_all = np.load(stats.with_name("histogram.npz"))["counts"]
    only_train = NormalizeConfig(**first, split="train", split_plan=plan_path)
    run = run_preprocess(PreprocessConfig(**base, normalize=only_train))
    assert len(run.done) == 2
    assert not everything.failed
    counts = np.load(stats.with_name("histogram.npz"))["counts"]
    document = json.loads(stats.read_text())
    plan = load_plan(plan_path)
    assert document["split"] == plan.rule_fingerprint
    assert 0.2 < counts.sum() / counts_of_all.sum() < 0.9

    # The same count from the DN of a band that is not resampled, pixel by pixel.
    from osgeo import gdal

    expected_low = expected_high = 0
    for path in sorted(step1.parents[2].rglob("T*_B11.jp2")):
        raster = gdal.Open(str(path))
        dn = read_whole_band(path, dtype="uint16")
        x0, dx, _, y0, _, dy = raster.GetGeoTransform()
        row, col = np.indices(dn.shape)
        corners = np.stack(
            [
                plan.cell_codes(
                    plan.grid.cells(*utm_to_lonlat(x0 + dx * (col + r), y0 + dy * (row + d), 32633))
                )
                for d in (0, 1)
                for r in (0, 1)
            ]
        )
        train = (corners == 0).all(axis=0)
        expected_high += int((dn[train] != 0).sum())
        sure = train.copy()
        for axis in (0, 1):
            for shift in (-1, 1):
                sure &= np.roll(train, shift, axis)
        expected_low += int((dn[sure] != 0).sum())
    assert expected_low <= int(counts[1].sum()) <= expected_high

    apply = NormalizeConfig(mode="apply_with_stats", stats_path=stats)
    run_preprocess(PreprocessConfig(**base, normalize=apply, labels=LabelConfig(enabled=True)))
    capsys.readouterr()
    assert main(["patches", str(file), "--quiet", "--json"]) == 0
    assert "training ground" not in capsys.readouterr().err
    assert main(["patches", str(file), "--quiet", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert plan_path.read_bytes() == planned
    assert summary["samples_by_split"]["train"] > 0
    shards = json.loads((out / "patches" / "shards.json").read_text())
    assert shards["normalization"]["fingerprint"] == document["fingerprint"]
    for name in ("shards.json", "summary.json"):
        assert main(["validate", str(out / "patches" / name), "--quiet"]) == 0


def test_the_command_line_makes_shards_from_a_database(
    step1: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("duckdb")
    out = tmp_path / "out"
    config = {"index_json": step1, "out_dir": out, "target_grid_ref": "scl_20m", "l1c_bands": ("B11",)}
    run_preprocess(PreprocessConfig(**config, labels=LabelConfig(enabled=True)))
    file = tmp_path / "patches.json"
    patches = {
        "index_json": str(out / "meta/step2/index.json"),
        "out_dir": str(out / "patches"),
        "patch_size": 40,
    }
    file.write_text(json.dumps({"patches": {**patches, "split": {"train": 1.0, "val": 0.0, "test": 0.0}}}))
    assert main(["patches", str(file), "-q"]) == 0
    arguments = ["patches", str(file), "--from-db", "cloud_fraction < 0.2", "-q"]
    assert main(arguments) == 2
    assert "--out-dir" in capsys.readouterr().err
    assert main([*arguments, "--out-dir", str(tmp_path / "clear"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert 0 < summary["kept"] < summary["candidates"]
    assert main([*arguments, "--plan"]) == 2
    assert main(["patches", str(file), "--db", "x", "-q"]) == 2


@pytest.mark.parametrize("sampling", [None, "blocks", "pixels"])
def test_nothing_is_counted_where_no_ground_trains(step1: Path, tmp_path: Path, sampling: str | None) -> None:
    listed = tmp_path / "tiles.json"
    listed.write_text(json.dumps({"tiles": {"T33UWQ": "test", "T33UVQ": "val"}}))
    file = tmp_path / "patches.json"
    patches = {
        "index_json": str(step1),
        "out_dir": str(tmp_path),
        "split": {"by": "file", "file": str(listed)},
    }
    file.write_text(json.dumps({"patches": patches}))
    assert main(["patches", str(file), "--plan", "-q"]) == 0
    draw = {} if sampling is None else {"max_pixels_per_scene": 500, "sampling": sampling}
    normalize = NormalizeConfig(
        "compute_only", tmp_path / "stats.json", split="train", split_plan=tmp_path / "split.json", **draw
    )
    result = run_preprocess(PreprocessConfig(step1, tmp_path / "out", "scl_20m", BANDS, normalize=normalize))
    assert result.stats_path is None
    assert not (tmp_path / "stats.json").exists()
    histograms = sorted((tmp_path / "out").rglob("histogram.npz"))
    assert len(histograms) == 2
    assert not any(np.load(path)["counts"].any() for path in histograms)


def test_split_and_plan_go_together(tmp_path: Path) -> None:
    from s2pipe.preprocess.rules import rule_faults

    base = {"index_json": tmp_path, "out_dir": tmp_path, "target_grid_ref": "B02", "l1c_bands": ("B02",)}
    for one in ({"split": "train"}, {"split_plan": tmp_path / "split.json"}):
        faults = rule_faults(PreprocessConfig(**base, normalize=NormalizeConfig(**one)))
        assert [fault.path for fault in faults] == [f"normalize.{({'split', 'split_plan'} - set(one)).pop()}"]


def test_tiles_that_a_split_was_not_planned_with_are_refused(step1: Path, tmp_path: Path) -> None:
    document = json.loads(step1.read_text())
    document["scenes"] = document["scenes"][:1]
    one = tmp_path / "meta" / "step1" / "one.json"
    one.parent.mkdir(parents=True)
    document["output"] = {"out_dir": str(step1.parents[2])}
    alone = tmp_path / "one.json"
    alone.write_text(json.dumps(document))
    split = {"by": "tile"}
    file = tmp_path / "patches.json"
    patches = {"index_json": str(alone), "out_dir": str(tmp_path / "patches"), "split": split}
    file.write_text(json.dumps({"patches": patches}))
    assert main(["patches", str(file), "--plan", "-q"]) == 0
    normalize = NormalizeConfig(
        "compute_only", tmp_path / "stats.json", split="train", split_plan=tmp_path / "patches" / "split.json"
    )
    config = PreprocessConfig(step1, tmp_path / "out", "scl_20m", BANDS, normalize=normalize)
    from s2pipe.errors import ConfigError

    with pytest.raises(ConfigError, match="planned without T33"):
        run_preprocess(config)


def test_example_configurations_are_valid_and_the_same() -> None:
    root = ROOT
    from s2pipe.config.documents import read_document
    from s2pipe.config.steps import STEPS, build_config

    documents = [
        read_document(root / "configs" / f"patches.{suffix}")["patches"] for suffix in ("json", "yaml")
    ]
    one, other = (build_config(document, STEPS["patches"], "x") for document in documents)
    assert one == other


def test_the_former_name_of_time_stacks_is_taken_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match="group: cell is now called time_stack"):
        former = PatchConfig(Path("index.json"), Path("out"), group="cell")
    assert former == PatchConfig(Path("index.json"), Path("out"), group="time_stack")
