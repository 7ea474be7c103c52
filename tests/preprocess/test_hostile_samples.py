"""What may be planted among samples: nothing of others is moved, deleted or written to."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.dataset.proof import FileRecord, write_sealed
from s2pipe.dataset.step2_index import update_index
from s2pipe.errors import OutputError, PathEscapeError
from s2pipe.preprocess.run import run_preprocess

if TYPE_CHECKING:
    from s2pipe.preprocess.cfg import PreprocessConfig
    from tests.conftest import Dataset

SAMPLE = Path("processed") / "tile=T33UWQ" / "sensing=2025-12-10T100319Z"
MINE = b"mine alone"


def small(dataset: Dataset, out: Path, **changes: Any) -> PreprocessConfig:
    return dataset.config(
        out, target_grid_ref="B01", l1c_bands=("B01", "B02"), max_scenes=1, overwrite=True, **changes
    )


@pytest.fixture(scope="module")
def made(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("samples") / "out"
    assert run_preprocess(small(dataset, out)).exit_code == 0
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "out")
    (tmp_path / "secret.tif").write_bytes(MINE)
    return tmp_path / "out"


def plant(out: Path, change: Any) -> None:
    path = out / SAMPLE / "meta.json"
    meta = json.loads(path.read_text())
    change(meta)
    write_sealed(path, meta)


def test_only_files_of_the_sample_are_taken_away(dataset: Dataset, out: Path) -> None:
    sample = out / SAMPLE
    kept = [
        sample / "notes.txt",
        sample / "own" / "x.tif",
        sample / "stack" / "notes.txt",
        sample / "own.tif",
    ]
    for path in (*kept, sample / "y.tif", sample / "stack" / "B99.vrt"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(MINE)
    named = [
        FileRecord((SAMPLE / "notes.txt").as_posix(), len(MINE), "0" * 64),
        FileRecord("secret.tif", len(MINE), "0" * 64),
        FileRecord((SAMPLE / "own.tif").as_posix(), len(MINE) + 1, "0" * 64),
        FileRecord((SAMPLE / "old.tif").as_posix(), len(MINE), "0" * 64),
    ]
    (sample / "old.tif").write_bytes(MINE)
    (out / "secret.tif").write_bytes(MINE)
    plant(out, lambda meta: meta["files"].extend(record.to_document() for record in named))
    before = (sample / "x.tif").read_bytes()
    assert run_preprocess(small(dataset, out)).exit_code == 0
    assert all(path.read_bytes() == MINE for path in (*kept, out / "secret.tif", out.parent / "secret.tif"))
    gone = [sample / "y.tif", sample / "stack" / "B99.vrt", sample / "old.tif"]
    assert not any(path.exists() for path in gone)
    assert (sample / "x.tif").read_bytes() == before
    names = {Path(file["path"]).name for file in json.loads((sample / "meta.json").read_text())["files"]}
    assert names == {"x.tif", "stack.vrt", "B02.vrt"}


@pytest.mark.parametrize(
    "path", ["../secret.tif", "/etc/passwd", "processed/../../secret.tif", "a\\..\\..\\x", "NUL"]
)
def test_paths_of_a_meta_json_stay_inside(dataset: Dataset, out: Path, path: str) -> None:
    record = {"path": path, "size": len(MINE), "sha256": "0" * 64}
    plant(out, lambda meta: (meta["files"].append(record), meta["paths"].update(x=path)))
    index = update_index(out, [SAMPLE], {})
    assert json.loads(index.read_text())["samples"] == []
    assert run_preprocess(small(dataset, out)).exit_code == 0
    assert (out.parent / "secret.tif").read_bytes() == MINE


def test_a_directory_in_the_way_is_kept(dataset: Dataset, out: Path) -> None:
    raster = out / SAMPLE / "x.tif"
    raster.unlink()
    (raster / "deep").mkdir(parents=True)
    (raster / "deep" / "notes").write_bytes(MINE)
    result = run_preprocess(small(dataset, out))
    assert result.exit_code == 1
    assert "is in the way" in result.failed[0].error
    assert OutputError.__name__ not in result.failed[0].error
    assert (raster / "deep" / "notes").read_bytes() == MINE


@pytest.mark.parametrize(
    "name", ["processed", "processed/tile=T33UWQ", str(SAMPLE), str(SAMPLE / "stack"), "meta/step2/runs"]
)
def test_nothing_is_written_or_removed_through_links(dataset: Dataset, out: Path, name: str) -> None:
    outside = out.parent / "outside"
    (out / name).rename(outside)
    (out / name).symlink_to(outside)
    (outside / ".unfinished-abcd_123").mkdir()
    (outside / ".unfinished-abcd_123" / "x.tif").write_bytes(MINE)
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    again = small(dataset, out)
    if name in ("processed", "meta/step2/runs"):
        with pytest.raises(PathEscapeError, match="leads out of"):
            run_preprocess(again)
    else:
        result = run_preprocess(again)
        assert result.exit_code == 1
        assert "leads out of" in result.failed[0].error
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before


def test_links_in_place_of_files_are_replaced(dataset: Dataset, out: Path) -> None:
    outside = out.parent / "secret.tif"
    for name in ("x.tif", "stack.vrt", "meta.json"):
        (out / SAMPLE / name).unlink()
        (out / SAMPLE / name).symlink_to(outside)
    assert run_preprocess(replace(small(dataset, out), overwrite=False)).exit_code == 0
    assert outside.read_bytes() == MINE
    assert not any(path.is_symlink() for path in (out / SAMPLE).iterdir())


def test_the_log_of_a_run_is_no_link(dataset: Dataset, out: Path) -> None:
    log = out / "meta" / "step2" / "runs" / "run=mine.jsonl"
    log.symlink_to(out.parent / "secret.tif")
    with pytest.raises(OutputError, match="is a link"):
        run_preprocess(small(dataset, out, run_id="mine"))
    assert (out.parent / "secret.tif").read_bytes() == MINE
