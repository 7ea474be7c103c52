"""What a run leaves on disk when things go wrong, or when another run is at the same place."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from osgeo import gdal

from s2pipe.config.schema import document_faults
from s2pipe.dataset.step2_index import update_index, updated_afterwards
from s2pipe.errors import ConfigError, Fault, ManifestError, MissingInputError, OutputError
from s2pipe.preprocess.cfg import LabelConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.runtime.locks import locked
from tests.conftest import Dataset, read_whole_band
from tests.paths import ROOT

KEY = "T33UWQ/2025-12-10T10:03:19Z"
SAMPLE = Path("processed") / "tile=T33UWQ" / "sensing=2025-12-10T100319Z"
SMALL: dict[str, Any] = {"l1c_bands": ("B11", "B05"), "target_grid_ref": "B11"}


@pytest.fixture
def own(dataset: Dataset, tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """An index over the same files that a test may change, and where to save it."""
    (tmp_path / "raw").symlink_to(dataset.root / "raw")
    path = tmp_path / "meta/step1/index.json"
    path.parent.mkdir(parents=True)
    document = json.loads(dataset.index_json.read_text())
    path.write_text(json.dumps(document))
    return document, path


def _item(document: dict[str, Any], role: str, scene: int = 0) -> dict[str, Any]:
    return next(i for i in document["scenes"][scene]["files_l1c"]["items"] if i["role"] == role)


def _samples(out: Path) -> list[dict[str, Any]]:
    document = json.loads((out / "meta/step2/index.json").read_text())
    assert document_faults(document, "step2_index") == []
    return document["samples"]


def _meta(out: Path) -> dict[str, Any]:
    return json.loads((out / SAMPLE / "meta.json").read_text())


@pytest.mark.parametrize("what", ["out_dir", "stats_path"])
def test_outputs_that_cannot_be_written_stop_the_run(dataset: Dataset, tmp_path: Path, what: str) -> None:
    (tmp_path / "file").touch()
    stats = tmp_path / ("file/stats.json" if what == "stats_path" else "stats.json")
    out = tmp_path / ("file/out" if what == "out_dir" else "out")
    normalize = NormalizeConfig(mode="compute_only", stats_path=stats)
    with pytest.raises(OutputError, match=r"file.*: cannot be written to \(.*choose another directory"):
        run_preprocess(dataset.config(out, normalize=normalize, **SMALL))
    assert not list(tmp_path.rglob("*.npz"))


def test_statistics_cannot_be_a_directory(dataset: Dataset, tmp_path: Path) -> None:
    normalize = NormalizeConfig(mode="compute_only", stats_path=tmp_path)
    with pytest.raises(OutputError, match="is a directory; name the file"):
        run_preprocess(dataset.config(tmp_path / "out", normalize=normalize, **SMALL))


def test_the_index_says_what_is_on_disk(dataset: Dataset, tmp_path: Path) -> None:
    """A run that ends late must not bring back what another has replaced meanwhile."""
    config = dataset.config(tmp_path, labels=LabelConfig(enabled=True), **SMALL)
    run_preprocess(config)
    run_preprocess(replace(config, labels=LabelConfig(), max_scenes=1))
    update_index(tmp_path, [SAMPLE], {})
    first, second = _samples(tmp_path)
    assert (first["y_path"], first["fingerprint"]) == (None, _meta(tmp_path)["fingerprint"])
    assert second["y_path"] is not None
    (tmp_path / second["x_path"]).unlink()
    update_index(tmp_path, [SAMPLE], {})
    assert _samples(tmp_path) == [first]


@pytest.mark.parametrize("other_config", [True, False])
@pytest.mark.parametrize("share", [0.5, 0.0])
def test_a_failed_rebuild_leaves_the_index_but_not_the_disk(
    own: tuple[dict[str, Any], Path], dataset: Dataset, tmp_path: Path, other_config: bool, share: float
) -> None:
    document, index = own
    config = replace(dataset.config(tmp_path / "out", **SMALL), index_json=index)
    run_preprocess(config)
    item = _item(document, "l1c.band.B05")
    data = (dataset.root / item["path"]).read_bytes()
    (tmp_path / "cut.jp2").write_bytes(data[: int(len(data) * share)])
    item["path"] = "cut.jp2"
    index.write_text(json.dumps(document))
    changed = replace(config, valid_pixel_mask="per_band") if other_config else config
    assert run_preprocess(changed).exit_code == 1
    assert (tmp_path / "out" / SAMPLE / "x.tif").is_file()
    assert [sample["key"]["sensing_start_utc"] for sample in _samples(tmp_path / "out")] == [
        "2025-12-15T10:03:19Z"
    ]


def test_a_stack_opens_through_a_link(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "deep/er/real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep/er/real")
    out = tmp_path / "link/out"
    run_preprocess(dataset.config(out, l1c_bands=("B11", "B02"), max_scenes=1))
    for root in (out, tmp_path / "deep/er/real/out"):
        assert read_whole_band(root / SAMPLE / "stack.vrt", 1).any()
        assert read_whole_band(root / SAMPLE / "stack.vrt", 2).any()
    text = (out / SAMPLE / "stack.vrt").read_text()
    assert "stack/B02.vrt" in text
    assert f">{dataset.root}" in text


def test_a_linked_dataset_keeps_relative_paths(
    own: tuple[dict[str, Any], Path], dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    config = dataset.config(tmp_path / "link/out", max_scenes=1, **SMALL)
    run_preprocess(replace(config, index_json=tmp_path / "link/meta/step1/index.json"))
    for root in (tmp_path / "out", tmp_path / "link/out"):
        assert read_whole_band(root / SAMPLE / "stack.vrt", 1).any()
    assert str(tmp_path) not in (tmp_path / "out" / SAMPLE / "stack.vrt").read_text()


def test_statistics_of_no_scene_are_an_error(
    own: tuple[dict[str, Any], Path], dataset: Dataset, tmp_path: Path
) -> None:
    document, index = own
    for scene in (0, 1):
        _item(document, "l1c.band.B05", scene)["path"] = "raw/absent.jp2"
    index.write_text(json.dumps(document))
    normalize = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "stats.json")
    config = dataset.config(tmp_path / "out", normalize=normalize, skip_incomplete=True, **SMALL)
    with pytest.raises(MissingInputError, match="all 2 scenes lack inputs") as caught:
        run_preprocess(replace(config, index_json=index))
    assert [gap.split(":")[0] for gap in caught.value.gaps] == [
        "T33UWQ/2025-12-10T10",
        "T33UWQ/2025-12-15T10",
    ]
    assert not (tmp_path / "out").exists()


def test_a_band_without_valid_pixels_is_exit_code_1(
    own: tuple[dict[str, Any], Path], dataset: Dataset, tmp_path: Path
) -> None:
    document, index = own
    item = _item(document, "l1c.band.B05")
    source = gdal.Open(str(dataset.root / item["path"]))
    options = {"format": "JP2OpenJPEG", "scaleParams": [[0, 1, 0, 0]]}
    gdal.Translate(str(tmp_path / "empty.jp2"), source, **options)
    item.update(path="empty.jp2", size=None)
    del item["checksum"]
    index.write_text(json.dumps(document))
    normalize = NormalizeConfig(mode="compute_only", stats_path=tmp_path / "stats.json")
    config = dataset.config(tmp_path / "out", normalize=normalize, max_scenes=1, **SMALL)
    result = run_preprocess(replace(config, index_json=index))
    assert (result.exit_code, result.stats_path, len(result.done)) == (1, None, 1)
    assert result.error is not None
    assert "no valid pixel of B05" in result.error
    assert result.summary()["error"] == result.error
    assert not (tmp_path / "stats.json").exists()


def test_what_a_killed_run_left_is_removed(dataset: Dataset, tmp_path: Path) -> None:
    left = tmp_path / SAMPLE / ".unfinished-abc"
    left.mkdir(parents=True)
    (left / "x.tif").touch()
    run_preprocess(dataset.config(tmp_path, max_scenes=1, **SMALL))
    assert not left.exists()


def test_a_damaged_index_stops_the_run_before_the_first_scene(dataset: Dataset, tmp_path: Path) -> None:
    index = tmp_path / "out/meta/step2/index.json"
    index.parent.mkdir(parents=True)
    index.write_text("{")
    with pytest.raises(ManifestError, match=r"step2/index\.json: cannot be read as JSON"):
        run_preprocess(dataset.config(tmp_path / "out", **SMALL))
    assert not (tmp_path / "out/processed").exists()


def test_an_error_of_the_index_does_not_hide_what_ended_the_run(caplog: pytest.LogCaptureFixture) -> None:
    def update() -> None:
        msg = "index.json"
        raise ManifestError(msg, [Fault("", "damaged")])

    logging.getLogger("s2pipe").propagate = True
    with pytest.raises(KeyboardInterrupt), updated_afterwards(update):
        raise KeyboardInterrupt
    assert "the index of samples was not updated" in caplog.text
    with pytest.raises(ManifestError), updated_afterwards(update):
        pass


def test_all_files_of_a_sample_count_and_old_ones_go(dataset: Dataset, tmp_path: Path) -> None:
    config = dataset.config(tmp_path, l1c_bands=("B11", "B02", "B01"), max_scenes=1)
    run_preprocess(config)
    files = {file["path"].removeprefix(f"{SAMPLE.as_posix()}/") for file in _meta(tmp_path)["files"]}
    assert files == {"x.tif", "stack.vrt", "stack/B02.vrt", "stack/B01.vrt"}
    (tmp_path / SAMPLE / "stack/B02.vrt").unlink()
    assert len(run_preprocess(config).done) == 1
    assert len(run_preprocess(config).up_to_date) == 1
    run_preprocess(replace(config, l1c_bands=("B11", "B02")))
    assert [path.name for path in (tmp_path / SAMPLE / "stack").iterdir()] == ["B02.vrt"]
    run_preprocess(replace(config, l1c_bands=("B11",)))
    assert not (tmp_path / SAMPLE / "stack").exists()
    assert sorted(path.name for path in (tmp_path / SAMPLE).iterdir()) == [
        *(".lock", "meta.json", "stack.vrt", "x.tif")
    ]


def test_the_index_and_meta_json_record_what_was_written(dataset: Dataset, tmp_path: Path) -> None:
    run_preprocess(dataset.config(tmp_path, labels=LabelConfig(enabled=True), **SMALL))
    for sample in _samples(tmp_path):
        written = {path for path in (tmp_path / sample["meta_path"]).parent.rglob("*") if path.is_file()}
        assert {tmp_path / file["path"] for file in sample["files"]} == {
            path for path in written if path.name != ".lock"
        }
        for file in sample["files"]:
            data = (tmp_path / file["path"]).read_bytes()
            assert (file["size"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("name", ["x.tif", "stack.vrt", "meta.json"])
def test_a_truncated_output_is_made_anew(dataset: Dataset, tmp_path: Path, name: str) -> None:
    config = dataset.config(tmp_path, max_scenes=1, **SMALL)
    run_preprocess(config)
    path = tmp_path / SAMPLE / name
    before = path.read_bytes()
    path.write_bytes(before[: len(before) // 2])
    update_index(tmp_path, [], {})
    assert _samples(tmp_path) == []
    assert len(run_preprocess(config).done) == 1
    assert name == "meta.json" or path.read_bytes() == before
    assert len(run_preprocess(config).up_to_date) == 1


def test_every_asset_has_its_grid(dataset: Dataset, tmp_path: Path) -> None:
    run_preprocess(dataset.config(tmp_path, labels=LabelConfig(enabled=True), max_scenes=1, **SMALL))
    meta = _meta(tmp_path)
    assert document_faults(meta, "sample_meta") == []
    assert [meta["assets"][kind]["grid"] for kind in ("x", "y", "stack")] == [meta["grid"]] * 3


def test_metadata_of_another_level_are_refused(
    own: tuple[dict[str, Any], Path], dataset: Dataset, tmp_path: Path
) -> None:
    document, index = own
    items = document["scenes"][0]["files_l2a"]["items"]
    l2a = next(item for item in items if item["role"] == "l2a.product_metadata")
    _item(document, "l1c.product_metadata").update({key: l2a[key] for key in ("path", "size", "checksum")})
    index.write_text(json.dumps(document))
    config = dataset.config(tmp_path / "out", max_scenes=1, **SMALL)
    (failed,) = run_preprocess(replace(config, index_json=index)).failed
    assert re.search(r"expected .*L1C.*, got .*L2A", failed.error)


def test_class_255_cannot_be_mapped(dataset: Dataset, tmp_path: Path) -> None:
    labels = LabelConfig(enabled=True, mapping={4: 1, 255: 7})
    with pytest.raises(ConfigError, match=r"labels\.mapping\.255: class 255 marks pixels outside"):
        run_preprocess(dataset.config(tmp_path, labels=labels, **SMALL))


def test_verbose_tells_the_plan_of_every_scene(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("s2pipe").propagate = True
    caplog.set_level(logging.DEBUG, logger="s2pipe")
    config = dataset.config(
        tmp_path, l1c_bands=("B11", "B02"), labels=LabelConfig(enabled=True), max_scenes=1
    )
    run_preprocess(config)
    text = caplog.text
    assert re.search(rf"{KEY}: 366 x 366 pixels of 20 x 20, origin .*UTM zone 33N", text)
    assert re.search(r"B11: as it is, \(DN \+ -1000\) / 10000, .*B11\.jp2", text)
    assert re.search(r"B02: average, .*B02\.jp2", text)
    assert re.search(r"labels: .*SCL_20m\.jp2", text)


def test_paths_and_numbers_of_python_and_numpy_are_taken(dataset: Dataset, tmp_path: Path) -> None:
    config = PreprocessConfig(
        str(dataset.index_json),  # type: ignore[arg-type]
        str(tmp_path),  # type: ignore[arg-type]
        "B11",
        ["B11"],  # type: ignore[arg-type]
        max_scenes=1.0,  # type: ignore[arg-type]
    )
    assert len(run_preprocess(config).done) == 1


def _command(*arguments: str) -> tuple[list[str], dict[str, str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
    return [sys.executable, "-m", "s2pipe", *arguments], environment


def test_a_polite_kill_is_an_interruption(dataset: Dataset, tmp_path: Path) -> None:
    """The second scene is another run's: the run waits for it, and is then killed."""
    command, environment = _command(
        "preprocess", "--index-json", str(dataset.index_json), "--out-dir", str(tmp_path),
        "--target-grid-ref", "B11", "--l1c-bands", "B11",
    )  # fmt: skip
    second = tmp_path / str(SAMPLE).replace("12-10", "12-15")
    with locked(second / ".lock"):
        run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert run.stderr is not None
        lines = []
        while not lines or "waiting for another run" not in lines[-1]:
            lines.append(run.stderr.readline())
            assert lines[-1], lines
        time.sleep(0.2)
        run.send_signal(signal.SIGTERM)
        _, rest = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "interrupted" in rest
    assert "Traceback" not in rest
    assert [sample["key"]["sensing_start_utc"] for sample in _samples(tmp_path)] == ["2025-12-10T10:03:19Z"]
    assert not list(tmp_path.rglob(".unfinished-*"))


def test_two_runs_in_one_directory_leave_a_true_index(dataset: Dataset, tmp_path: Path) -> None:
    runs = []
    for switch in ("--labels.enabled", "--no-labels.enabled", "--labels.enabled"):
        command, environment = _command(
            "preprocess", "--index-json", str(dataset.index_json), "--out-dir", str(tmp_path),
            "--target-grid-ref", "B11", "--l1c-bands", "B11", "B05", switch,
        )  # fmt: skip
        runs.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
    assert [run.wait(timeout=120) for run in runs] == [0, 0, 0]
    samples = _samples(tmp_path)
    assert len(samples) == 2
    for sample in samples:
        meta = json.loads((tmp_path / sample["meta_path"]).read_text())
        assert sample["fingerprint"] == meta["fingerprint"]
        assert (sample["y_path"] is not None) == meta["labels"]["enabled"]
        assert all((tmp_path / file["path"]).is_file() for file in meta["files"])
        assert (tmp_path / sample["meta_path"]).with_name("y.tif").exists() == meta["labels"]["enabled"]


def test_errors_of_the_operating_system_exit_with_2(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command, environment = _command("index", str(dataset.products), "--out", str(tmp_path / "file/out"))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search(r"file.*: Not a directory; check the path", done.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_exits_with_2_and_names_the_file(dataset: Dataset, tmp_path: Path) -> None:
    record = tmp_path / "meta/step2/runs/run=r.jsonl"
    record.parent.mkdir(parents=True)
    record.symlink_to("/dev/full")
    command, environment = _command(
        "preprocess", "--index-json", str(dataset.index_json), "--out-dir", str(tmp_path),
        "--target-grid-ref", "B11", "--l1c-bands", "B11", "--run-id", "r",
    )  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"{record}: the disk is full (No space left on device)" in done.stderr
    assert len(_samples(tmp_path)) == 1  # what was finished before is listed
