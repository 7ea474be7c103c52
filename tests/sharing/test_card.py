from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from s2pipe.dataset.label_credit import label_lines
from s2pipe.errors import MissingInputError, OutputError, UsageError
from s2pipe.patches.run import run_patches
from s2pipe.sharing.card import CardOptions, write_card
from s2pipe.verify.run import verify
from tests.cli.cli_support import run_command
from tests.patches.patchdata import LAND_COVER, Scene, write_step2
from tests.patches.test_shards import config

WORLDCOVER = replace(
    LAND_COVER,
    source="ESA WorldCover 10 m 2021 v200",
    names={4: "tree | cover", 5: "shrub*land", 6: "water"},
)
FILES = ("README.md", "LICENSE", "croissant.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples, and patches of them in a directory of the same dataset."""
    root = tmp_path_factory.mktemp("card") / "fields"
    scenes = [Scene(meaning=WORLDCOVER), Scene(sensing="2025-08-01T10:00:00Z", meaning=WORLDCOVER)]
    index = write_step2(root, scenes)
    run_patches(config(index, root / "patches"))
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A dataset of a test's own, whose large files are links."""
    import shutil

    shutil.copytree(made, tmp_path / "fields", copy_function=lambda a, b: Path(b).hardlink_to(a))
    return tmp_path / "fields"


def front_of(root: Path) -> dict[str, Any]:
    text = (root / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    front: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return front


def test_card_has_the_true_splits_and_classes(root: Path) -> None:
    write_card(root)
    shards = json.loads((root / "patches" / "shards.json").read_text())
    counts = {name: split["samples"] for name, split in shards["splits"].items() if split["samples"]}
    assert len(counts) > 1
    front = front_of(root)
    (info,) = front["dataset_info"]
    assert {split["name"]: split["num_examples"] for split in info["splits"]} == counts
    (hub,) = front["configs"]
    for entry in hub["data_files"]:
        assert sorted(root.glob(entry["path"])) == sorted(
            (root / "patches" / entry["split"]).glob("shard-*.tar")
        )
    text = (root / "README.md").read_text(encoding="utf-8")
    assert "cells of ground of 2000 m" in text
    assert r"| 4 | tree \| cover |" in text
    assert r"| 5 | shrub\*land |" in text
    croissant = json.loads((root / "croissant.json").read_text())
    sets = {record["@id"]: record for record in croissant["recordSet"]}
    assert {
        row["patches-splits/name"]: row["patches-splits/patches"] for row in sets["patches-splits"]["data"]
    } == counts
    names = {row["classes/value"]: row["classes/name"] for row in sets["classes"]["data"]}
    assert names == {4: "tree | cover", 5: "shrub*land", 6: "water"}
    objects = {one["@id"]: one for one in croissant["distribution"]}
    for shard in shards["shards"]:
        assert objects[f"patches/{shard['path']}"]["sha256"] == shard["sha256"]


def test_pixels_of_classes_are_those_of_the_samples(tmp_path: Path, read_band: Any) -> None:
    scene = Scene(shape_yx=(64, 80))
    write_step2(tmp_path / "out", [scene])
    write_card(tmp_path / "out")
    labels = read_band(tmp_path / "out" / scene.directory / "y.tif", 1, "uint8")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for value, count in zip(*np.unique(labels[labels != 255], return_counts=True), strict=True):
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {value} | ")]
        assert f"| {count} |" in row
    assert "configs" not in front_of(tmp_path / "out")
    assert front_of(tmp_path / "out")["license_link"] == "LICENSE"


def test_attribution_names_the_satellite_and_the_labels(root: Path) -> None:
    lines = write_card(root).attribution
    worldcover = (
        "© ESA WorldCover project 2021 / Contains modified Copernicus Sentinel data (2021) processed by ESA WorldCover "
        "consortium"
    )
    assert lines == ("Contains modified Copernicus Sentinel data 2025", worldcover)
    licence = (root / "LICENSE").read_text(encoding="utf-8")
    assert all(line in licence for line in lines)
    assert "CC BY 4.0" in licence
    assert (
        "https://creativecommons.org/licenses/by/4.0/"
        in json.loads((root / "croissant.json").read_text())["license"]
    )


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("ESA_WorldCover_10m_2020_v100_N48E012_Map.tif", ["© ESA WorldCover project 2020"]),
        ("worldcover.vrt", ["© ESA WorldCover project /"]),
        ("world cover 2021", ["© ESA WorldCover project 2021"]),
        ("CORINE 2018", []),
        ("", []),
    ],
)
def test_sources_of_labels_that_ask_for_attribution(source: str, found: list[str]) -> None:
    lines = label_lines([source])
    assert len(lines) == len(found)
    assert all(line.startswith(start) for line, start in zip(lines, found, strict=True))


def test_same_dataset_gives_the_same_bytes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_card(root)
    first = {name: (root / name).read_bytes() for name in FILES}
    monkeypatch.chdir(root)
    write_card(Path())
    assert {name: (root / name).read_bytes() for name in FILES} == first


def test_edited_files_stay_until_told_otherwise(root: Path) -> None:
    write_card(root)
    (root / "README.md").write_text("my own words")
    with pytest.raises(OutputError, match=r"README\.md: expected files that `s2pipe card` wrote"):
        write_card(root, CardOptions(license="CC-BY-4.0"))
    assert (root / "README.md").read_text() == "my own words"
    assert "CC-BY-4.0" not in (root / "LICENSE").read_text()
    write_card(root, CardOptions(license="CC-BY-4.0", overwrite=True))
    assert front_of(root)["license"] == "cc-by-4.0"
    write_card(root)  # what was written and not edited is replaced


def test_verify_knows_the_card(root: Path) -> None:
    patches = root / "patches"
    (patches / "README.md").write_text("not of a run")
    assert [problem.kind for problem in verify([patches]).problems] == ["unexpected"]
    write_card(patches, CardOptions(overwrite=True))
    assert verify([patches]).problems == []
    (patches / "LICENSE").write_text("another")
    (problem,) = verify([patches], repair=True).problems
    assert (problem.kind, problem.path.name) == ("damaged", "LICENSE")
    assert (patches / "shards.json").is_file()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (CardOptions(license="no licence"), "--license"),
        (CardOptions(name="two\nlines"), "--name"),
        (CardOptions(url="ftp://x"), "--url"),
        (CardOptions(version="1"), "--dataset-version"),
        (CardOptions(creator=" "), "--creator"),
        (CardOptions(published="2026-02-30"), "--published"),
    ],
)
def test_bad_options_are_refused(root: Path, options: CardOptions, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        write_card(root, options)
    assert not (root / "README.md").exists()


def test_a_directory_without_a_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"shards\.json"):
        write_card(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_command(root: Path) -> None:
    done = run_command("card", str(root), "--json", "--name", "Fields: of [gold]", "--creator", "A lab")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["files"]) == 3
    assert front_of(root)["pretty_name"] == "Fields: of [gold]"
    refused = run_command("card", str(root / "nowhere"))
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
