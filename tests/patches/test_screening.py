"""Screening by clouds, shadows, snow and water, whatever the labels are; shares are counted with NumPy alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from s2pipe.config.schema import document_faults
from s2pipe.dataset.label_meaning import CONDITIONS
from s2pipe.errors import ConfigError
from s2pipe.patches.candidates.windows import REASONS
from s2pipe.patches.cfg import PatchConfig, QualityConfig, SplitConfig
from s2pipe.patches.reshard import reshard
from s2pipe.patches.run import run_patches
from tests.patches.patchdata import LAND_COVER, Scene, pixels, quality_pixels, write_step2

if TYPE_CHECKING:
    from pathlib import Path

parquet = pytest.importorskip("pyarrow.parquet")

SIZE = 64
CLASSES = {"cloud": (8, 9, 10), "shadow": (3,), "snow": (11,), "water": (6,)}


def config(index: Path, out: Path, **quality: Any) -> PatchConfig:
    return PatchConfig(
        index,
        out,
        patch_size=SIZE,
        edges="pad",
        quality=QualityConfig(**{"min_valid": 0.0, **quality}),
        split=SplitConfig(1.0, 0.0, 0.0),
    )


def rows_of(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(out / "patches.parquet").to_pylist()
    return rows


def window(values: np.ndarray, row: dict[str, Any]) -> np.ndarray:
    return values[..., row["row"] : row["row"] + SIZE, row["col"] : row["col"] + SIZE]


@pytest.mark.parametrize("threshold", [None, 1, 60])
@pytest.mark.parametrize("labels", [True, False])
def test_shares_come_from_q_tif_with_any_labels_or_none(
    tmp_path: Path, labels: bool, threshold: int | None
) -> None:
    scene = Scene(labels=labels, meaning=LAND_COVER, quality=True, nodata_right=150)
    run_patches(config(write_step2(tmp_path / "in", [scene]), tmp_path / "out", cloud_probability=threshold))
    valid, (classes, probability) = pixels(scene, 0)[0][-1] > 0, quality_pixels(scene, 0)
    seen = {name: set() for name in CONDITIONS}
    for row in rows_of(tmp_path / "out"):
        inside, found, percent = (window(v, row) for v in (valid, classes, probability))
        is_cloud = np.isin(found, CLASSES["cloud"])
        if threshold is not None:
            is_cloud = (percent >= threshold) & (percent <= 100)
        for name, members in CLASSES.items():
            is_there = is_cloud if name == "cloud" else np.isin(found, members)
            if name != "cloud" and threshold is not None:
                is_there &= ~is_cloud  # a pixel counts once
            share = (is_there & inside).sum() / inside.sum() if inside.any() else 0.0
            assert row[f"{name}_fraction"] == share
            seen[name].add(share)
    assert all(len(shares) > 3 for shares in seen.values())


@pytest.mark.parametrize("name", CONDITIONS)
def test_limits_drop_what_exceeds_them(tmp_path: Path, name: str) -> None:
    scene = Scene(meaning=LAND_COVER, quality=True)
    index = write_step2(tmp_path / "in", [scene])
    run_patches(config(index, tmp_path / "out", **{f"max_{name}": 0.25}))
    rows = rows_of(tmp_path / "out")
    over = [row for row in rows if row[f"{name}_fraction"] > 0.25]
    assert 0 < len(over) < len(rows)
    assert all((row["reject_reason"] == f"max_{name}") == (row in over) for row in rows)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["dropped_by_reason"] == {f"max_{name}": len(over)}
    cover = summary[f"by_{name}_cover"]
    assert sum(c["kept"] + c["dropped"] for c in cover.values()) == len(rows)
    assert sum(c["dropped"] for c in cover.values()) == len(over)
    for document, schema in (("shards.json", "step3_shards"), ("summary.json", "step3_summary")):
        assert document_faults(json.loads((tmp_path / "out" / document).read_text()), schema) == []


def test_the_order_of_the_reasons() -> None:
    limits = ["max_ignore", "max_cloud", "max_shadow", "max_snow", "max_water", "min_classes"]
    assert [reason for reason in REASONS if reason in limits] == limits


def test_a_class_of_land_cover_is_no_cloud(tmp_path: Path) -> None:
    """Class 10 of a land cover is tree cover, not thin cirrus; without q.tif a limit is refused, before any work."""
    index = write_step2(tmp_path / "in", [Scene(meaning=LAND_COVER)])
    with pytest.raises(ConfigError) as caught:
        run_patches(config(index, tmp_path / "out", max_cloud=0.4, max_snow=0.4))
    text = str(caught.value)
    assert "patches.quality.max_cloud: nothing tells cloud: no label of the samples (land cover)" in text
    assert "preprocess.quality.enabled" in text
    assert "quality.cloud_labels" in text
    assert "patches.quality.max_snow" in text
    assert not (tmp_path / "out").exists()
    run_patches(config(index, tmp_path / "out"))
    assert {row[f"{name}_fraction"] for row in rows_of(tmp_path / "out") for name in CONDITIONS} == {None}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["by_cloud_cover"] == {}


def test_stated_cloud_labels_win(tmp_path: Path) -> None:
    scene = Scene(meaning=LAND_COVER, quality=True)
    index = write_step2(tmp_path / "in", [scene])
    run_patches(config(index, tmp_path / "out", cloud_labels=(9, 5)))
    valid, labels = pixels(scene, 0)[0][-1] > 0, pixels(scene, 0)[1]
    shadow = quality_pixels(scene, 0)[0] == 3
    for row in rows_of(tmp_path / "out"):
        inside, found = window(valid, row), window(labels, row)
        assert row["cloud_fraction"] == (np.isin(found, (5, 9)) & inside).sum() / inside.sum()
        assert row["shadow_fraction"] == (window(shadow, row) & inside).sum() / inside.sum()


@pytest.mark.parametrize(
    ("scene", "quality", "message"),
    [
        (
            Scene(labels=False),
            {"max_cloud": 0.5},
            r"max_cloud: nothing tells cloud: the samples have neither",
        ),
        (Scene(labels=False), {"cloud_labels": (1,)}, "cloud_labels: needs labels"),
        (
            Scene(mapping={4: 0, 8: 1, 9: 1, 11: 1}),
            {"max_cloud": 0.5},
            "no label of the samples.*means cloud",
        ),
        (Scene(mapping={4: 1}), {"max_cloud": 0.5}, "nothing tells cloud"),
        (
            Scene(quality=True, probability=False),
            {"cloud_probability": 50},
            "1 of 1 samples have no cloud prob",
        ),
        (Scene(), {"cloud_probability": 50}, "1 of 1 samples have no cloud prob"),
        (Scene(quality=True), {"cloud_probability": 50, "cloud_labels": (1,)}, "expected null with"),
    ],
)
def test_what_nothing_tells_is_refused_before_any_work(
    tmp_path: Path, scene: Scene, quality: dict[str, Any], message: str
) -> None:
    index = write_step2(tmp_path / "in", [scene])
    with pytest.raises(ConfigError, match=message):
        run_patches(config(index, tmp_path / "out", **quality))
    assert not (tmp_path / "out").exists()


def test_meaning_travels_to_shards_and_database_and_on(tmp_path: Path) -> None:
    scene = Scene(meaning=LAND_COVER, mapping={5: 0, 8: 1, 10: 1}, quality=True)
    index = write_step2(tmp_path / "in", [scene])
    first = config(index, tmp_path / "out")
    run_patches(first)
    reshard(config(index, tmp_path / "new"), tmp_path / "out" / "patches.parquet", "cloud_fraction >= 0")
    for out in (tmp_path / "out", tmp_path / "new"):
        shards = json.loads((out / "shards.json").read_text())
        assert shards["labels"] == {
            "dtype": "uint8",
            "kind": "classes",
            "source": "land cover",
            "ignore_index": 255,
            "class_names": {"1": "class 8 / tree cover"},
            "class_colors": {"1": "#006400"},
            "cloud_labels": None,
            "shadow_labels": None,
            "snow_labels": None,
            "water_labels": None,
        }
        assert shards["quality"]["cloud_labels"] == [8, 9, 10]
        metadata = parquet.read_metadata(out / "patches.parquet").metadata
        assert json.loads(metadata[b"s2pipe"]) == {"labels": shards["labels"], "quality": shards["quality"]}
        assert b"geo" in metadata


def test_a_database_of_before_has_unknown_shares(tmp_path: Path) -> None:
    """Columns that an earlier version did not write are not invented."""
    from s2pipe.patches.source import load_source

    index = write_step2(tmp_path / "in", [Scene(quality=True)])
    run_patches(config(index, tmp_path / "out"))
    path = tmp_path / "out" / "patches.parquet"
    rows = parquet.read_table(path).drop_columns(["shadow_fraction", "snow_fraction", "water_fraction"])
    parquet.write_table(rows, path)
    document = json.loads((tmp_path / "out" / "shards.json").read_text())
    document["files"] = [file for file in document["files"] if file["path"] != path.name]
    del document["document_sha256"]
    (tmp_path / "out" / "shards.json").write_text(json.dumps(document))
    table = load_source(path).table
    assert np.isnan(table.snow).all()
    assert not np.isnan(table.cloud).any()
