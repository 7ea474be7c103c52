"""Real damage to every kind of file: named by verify, and made anew after --repair, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.cli import main
from s2pipe.dataset.step1_index import IndexJournal, load_index
from s2pipe.dataset.step2_index import SampleJournal
from s2pipe.errors import MissingInputError
from s2pipe.indexing.run import index_products
from s2pipe.preprocess.cfg import LabelConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.verify.run import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from s2pipe.verify.items import Report
    from tests.conftest import Dataset

SAMPLE = "processed/tile=T33UWQ/sensing=2025-12-10T100319Z"
OTHER = SAMPLE.replace("12-10", "12-15")
L1C = "raw/L1C/tile=T33UWQ/sensing=20251210T100319Z/files"
B05 = f"{L1C}/T33UWQ_20251210T100319_B05.jp2"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


DAMAGES: dict[str, Callable[[Path], None]] = {"flip": flip, "truncate": truncate, "remove": Path.unlink}


@dataclass(frozen=True)
class Whole:
    """Steps 1 to 3 in one directory."""

    root: Path

    @property
    def preprocess(self) -> PreprocessConfig:
        return PreprocessConfig(
            index_json=self.root / "meta/step1/index.json",
            out_dir=self.root,
            target_grid_ref="B11",
            l1c_bands=("B11", "B02"),
            labels=LabelConfig(enabled=True),
            normalize=NormalizeConfig(mode="apply_with_stats", stats_path=self.root / "stats.json"),
            num_workers=1,
        )

    @property
    def patches(self) -> Any:
        from s2pipe.patches.cfg import PatchConfig, QualityConfig, ShardConfig, SplitConfig

        return PatchConfig(
            index_json=self.root / "meta/step2/index.json",
            out_dir=self.root / "patches",
            patch_size=64,
            quality=QualityConfig(0.0, 1.0, 1.0),
            split=SplitConfig(1.0, 0.0, 0.0),
            shards=ShardConfig(max_count=20),
        )

    def run(self) -> None:
        """All steps but the first; what is complete is not made anew."""
        from s2pipe.patches.run import run_patches

        config = self.preprocess
        first = replace(
            config,
            normalize=NormalizeConfig(
                mode="compute_only", stats_path=self.root / "stats.json", save_histograms=True
            ),
        )
        for one in (first, config):
            assert run_preprocess(one).exit_code == 0
        assert run_patches(self.patches).exit_code == 0

    def contents(self) -> dict[str, bytes]:
        """All outputs that do not tell when they were made."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.name not in (".lock", "meta.json") and "meta" not in path.parts
        }


@pytest.fixture(scope="module")
def made(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    pytest.importorskip("pyarrow")
    root = tmp_path_factory.mktemp("verify") / "out"
    shutil.copytree(dataset.root, root)  # links become files, as after a download
    whole = Whole(root)
    whole.run()
    return whole


@pytest.fixture
def whole(made: Whole) -> Any:
    """The dataset in its place, since documents tell where they were made; restored afterwards."""
    kept = made.root.with_name("kept")
    shutil.copytree(made.root, kept)
    yield made
    shutil.rmtree(made.root)
    kept.rename(made.root)


def found(report: Report, root: Path) -> dict[str, list[str]]:
    kinds = ("damaged", "missing", "unexpected")
    every = {
        kind: [problem.path.relative_to(root).as_posix() for problem in report.of_kind(kind)]
        for kind in kinds
    }
    return {kind: paths for kind, paths in every.items() if paths}


def test_an_intact_dataset_is_whole_and_says_what_was_checked_by_what(made: Whole, capsys: Any) -> None:
    assert main(["verify", str(made.root), "--json", "--quiet"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["ok"] is True
    assert (out["damaged"], out["missing"], out["unexpected"], out["unfinished"]) == ([], [], [], [])
    files = [path for path in made.root.rglob("*") if path.is_file() and not path.name.endswith("lock")]
    logs = [path for path in files if path.suffix == ".jsonl"]
    stated = [path for path in files if path.name == "manifest.safe"]  # it lists all files but itself
    checked = len(files) - len(logs) - len(stated)
    assert out["checked_by"] == {"checksum": checked, "size": len(stated), "nothing": 0, "remote": 0}


OUTPUTS = {
    **dict.fromkeys(
        (f"{SAMPLE}/{name}" for name in ("x.tif", "y.tif", "stack/B02.vrt", "meta.json")), SAMPLE
    ),
    "meta/step2/index.json": ".",
    **dict.fromkeys(
        (f"patches/{name}" for name in ("patches.parquet", "split.json", "shards.json")), "patches"
    ),
    "patches/train/shard-000001.tar": "patches",
}
"""Files of runs, and what is verified to find their damage."""


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", OUTPUTS)
def test_damaged_outputs_are_named(made: Whole, name: str, damage: str) -> None:
    path = made.root / name
    data = path.read_bytes()
    DAMAGES[damage](path)
    try:
        report = verify([made.root / OUTPUTS[name]])
    finally:
        path.write_bytes(data)
    # Without its meta.json a sample is unknown to whoever is shown nothing else.
    kind = "missing" if damage == "remove" else "damaged"
    assert (report.exit_code, found(report, made.root), report.repairs) == (1, {kind: [name]}, [])


@pytest.mark.parametrize(
    "damages",
    [
        {
            f"{SAMPLE}/x.tif": "flip",
            "patches/train/shard-000001.tar": "truncate",
            f"{OTHER}/histogram.npz": "flip",
        },
        {f"{SAMPLE}/meta.json": "flip", f"{OTHER}/y.tif": "remove", "patches/patches.parquet": "flip"},
        {"meta/step2/index.json": "flip", "patches/split.json": "flip", "stats.json": "flip"},
        {f"{SAMPLE}/stack/B02.vrt": "remove", "patches/shards.json": "flip", "histogram.npz": "truncate"},
    ],
)
def test_what_is_damaged_is_made_anew_to_the_byte(whole: Whole, damages: dict[str, str]) -> None:
    before = whole.contents()
    for name, damage in damages.items():
        DAMAGES[damage](whole.root / name)
    report = verify([whole.root], repair=True)
    names = {path for paths in found(report, whole.root).values() for path in paths}
    assert (report.exit_code, names) == (1, {*damages})
    whole.run()
    assert whole.contents() == before
    assert verify([whole.root]).problems == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_inputs_are_set_aside_and_marked(whole: Whole, damage: str) -> None:
    data = (whole.root / B05).read_bytes()
    DAMAGES[damage](whole.root / B05)
    kind = "missing" if damage == "remove" else "damaged"
    report = verify([whole.root / "meta/step1/index.json"], repair=True)
    assert found(report, whole.root) == {kind: [B05]}
    assert not (whole.root / B05).exists()
    aside = list((whole.root / "meta/step1/quarantine").rglob("*.jp2"))
    assert [path.read_bytes() != data for path in aside] == ([] if damage == "remove" else [True])
    assert verify([whole.root]).problems == []
    items = json.loads((whole.root / "meta/step1/index.json").read_text())["scenes"][0]["files_l1c"]["items"]
    assert [item["present"] for item in items if item["path"] == B05] == [False]


def test_unexpected_files_are_named_and_never_touched(whole: Whole) -> None:
    names = [
        *(f"{SAMPLE}/x.tif.aux.xml", "processed/notes.txt", f"{L1C}/mine.jp2"),
        *("patches/train/shard-000099.tar", "patches/notes.txt", "processed/tile=T33UWQ/sensing=2020/x.tif"),
    ]
    for name in names:
        (whole.root / name).parent.mkdir(exist_ok=True)
        (whole.root / name).write_text("mine")
    report = verify([whole.root], repair=True)
    assert {kind: sorted(paths) for kind, paths in found(report, whole.root).items()} == {
        "unexpected": sorted(names)
    }
    assert report.repairs == []
    assert all((whole.root / name).read_text() == "mine" for name in names)


def test_no_document_makes_repairing_touch_another_file(whole: Whole) -> None:
    """Whatever a document says, repairing removes nothing but marks that runs made."""
    (whole.root / "precious.txt").write_text("mine")
    meta = whole.root / SAMPLE / "meta.json"
    document = json.loads(meta.read_text())
    document["files"][0]["path"] = "precious.txt"
    meta.write_text(json.dumps(document))
    shards = whole.root / "patches" / "shards.json"
    document = json.loads(shards.read_text())
    document["shards"][0]["path"] = "../precious.txt"
    shards.write_text(json.dumps(document))
    index = whole.root / "meta/step1/index.json"
    document = json.loads(index.read_text())
    document["scenes"][0]["files_l1c"]["items"][0]["path"] = "precious.txt"
    index.write_text(json.dumps(document))
    report = verify([whole.root], repair=True)
    assert {problem.path.name for problem in report.of_kind("damaged")} == {
        *("meta.json", "shards.json", "index.json", "precious.txt")
    }
    assert (whole.root / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("is_empty", [True, False])
def test_an_index_that_is_json_but_none_of_runs_is_damaged(whole: Whole, is_empty: bool) -> None:
    index = whole.root / "meta/step2/index.json"
    document = json.loads(index.read_text())
    del document["document_sha256"]
    index.write_text("{}" if is_empty else json.dumps(document))
    report = verify([whole.root], repair=True)
    assert found(report, whole.root) == {"damaged": ["meta/step2/index.json"]}
    assert run_preprocess(whole.preprocess).exit_code == 0
    assert verify([whole.root]).problems == []


def test_parts_and_single_files_are_recognised(made: Whole) -> None:
    counts = {}
    for name in (
        *("meta/step1/index.json", "meta/step2/index.json", "patches", "patches/shards.json", "stats.json"),
        *(
            SAMPLE,
            f"{SAMPLE}/meta.json",
            f"{SAMPLE}/x.tif",
            B05,
            "patches/train",
            "patches/train/shard-000000.tar",
        ),
        *("raw", "processed", f"{SAMPLE}/stack/B02.vrt", "patches/split.json"),
    ):
        report = verify([made.root / name])
        assert report.problems == []
        assert report.checked["size"] == (4 if name in ("meta/step1/index.json", "raw") else 0)
        assert report.checked["nothing"] == 0
        counts[name] = report.checked["checksum"]
    assert counts[SAMPLE] == counts[f"{SAMPLE}/meta.json"] == 7  # y has names beside it
    single = {name for name, count in counts.items() if count == 1}
    assert single == {
        f"{SAMPLE}/x.tif",
        B05,
        "patches/train/shard-000000.tar",
        f"{SAMPLE}/stack/B02.vrt",
        "patches/split.json",
    }
    assert counts["patches"] == counts["patches/shards.json"] == counts["patches/train"] + 4
    assert counts["stats.json"] == 2


def test_nothing_recognisable_is_a_usage_error(made: Whole, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(MissingInputError, match="nothing to verify"):
        verify([tmp_path])
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "absent", made.root / "absent"):
        assert main(["verify", str(path)]) == 2
        assert str(path) in capsys.readouterr().err


def test_links_are_followed_and_broken_ones_called_so(dataset: Dataset, tmp_path: Path) -> None:
    index_products([dataset.products], tmp_path / "out")
    link = tmp_path / "out" / B05
    link.unlink()
    link.symlink_to(tmp_path / "gone.jp2")
    (problem,) = verify([tmp_path / "out"], repair=True).problems
    assert (problem.kind, problem.path) == ("missing", link)
    assert "broken link to" in problem.reason
    assert link.is_symlink()
    assert len(verify([tmp_path / "out"]).problems) == 1  # a link is the user's own: repairing hides nothing


def test_indexes_that_exist_as_journals_alone_are_verified(whole: Whole) -> None:
    step1, step2 = whole.root / "meta/step1/index.json", whole.root / "meta/step2/index.json"
    index = load_index(step1)
    step1.unlink()
    step2.unlink()
    with closing(IndexJournal(whole.root, step1, "run")) as journal:
        journal.add(index.scenes)
    with closing(SampleJournal(whole.root, "run")) as samples:
        for directory in (SAMPLE, OTHER):
            samples.add(Path(directory))
    assert verify([whole.root]).problems == []
    (whole.root / B05).unlink()
    shutil.rmtree(whole.root / SAMPLE)
    missing = found(verify([whole.root]), whole.root)["missing"]
    assert B05 in missing
    assert f"{SAMPLE}/meta.json" in missing


def test_what_is_checked_by_size_alone_is_said(dataset: Dataset, tmp_path: Path) -> None:
    shutil.copytree(dataset.root, tmp_path / "out")
    index = tmp_path / "out/meta/step1/index.json"
    document = json.loads(index.read_text())
    scenes = document["scenes"]
    items = [
        item for scene in scenes for level in ("l1c", "l2a") for item in scene[f"files_{level}"]["items"]
    ]
    for item in items:
        item.pop("checksum", None)
    del items[0]["size"], document["document_sha256"]
    index.write_text(json.dumps(document))
    report = verify([index])
    assert report.problems == []
    assert (report.checked["size"], report.checked["nothing"]) == (len(items) - 1, 2)


def test_a_checksum_that_nobody_can_compute_damages_no_file(whole: Whole) -> None:
    index = whole.root / "meta/step1/index.json"
    document = json.loads(index.read_text())
    items = [item for item in document["scenes"][0]["files_l1c"]["items"] if item["path"] == B05]
    items[0]["checksum"]["algorithm"] = "BLAKE9"
    del document["document_sha256"]
    index.write_text(json.dumps(document))
    report = verify([index], repair=True)
    assert (report.problems, report.repairs) == ([], [])
    assert report.checked["size"] == len(list((whole.root / "raw").rglob("manifest.safe"))) + 1
    truncate(whole.root / B05)
    assert found(verify([index]), whole.root) == {"damaged": [B05]}
