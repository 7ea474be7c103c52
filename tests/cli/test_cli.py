"""The command line as a process: steps from files and options, exit codes, messages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from s2pipe.cli import main
from tests.cli.cli_support import run_command
from tests.paths import ROOT

if TYPE_CHECKING:
    from tests.conftest import Dataset


def _config(dataset: Dataset, out: Path, **changes: object) -> dict[str, object]:
    return {
        "index_json": str(dataset.index_json),
        "out_dir": str(out),
        "target_grid_ref": "scl_20m",
        "l1c_bands": ["B04", "B11"],
        "max_scenes": 1,
        **changes,
    }


@pytest.mark.parametrize(
    "arguments", [[], ["preproces"], ["preprocess", "--nonsense"], ["stats"], ["index", "x"]]
)
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    assert code == 2
    assert capsys.readouterr().err


def test_both_passes_from_files_and_options(dataset: Dataset, tmp_path: Path) -> None:
    stats = str(tmp_path / "stats.json")
    document = {
        "preprocess": _config(
            dataset, tmp_path / "out", normalize={"mode": "compute_only", "stats_path": stats}
        )
    }
    (tmp_path / "stats_config.json").write_text(json.dumps(document))
    first = run_command("preprocess", str(tmp_path / "stats_config.json"), "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["stats_path"] == stats
    lines = "\n".join(
        f"  {key}: {json.dumps(value)}" for key, value in _config(dataset, tmp_path / "out").items()
    )
    (tmp_path / "apply.yaml").write_text(f"preprocess:\n{lines}\n  normalize:\n    mode: none\n")
    arguments = ["--normalize.mode", "apply_with_stats", "--normalize.stats_path", stats, "--json"]
    second = run_command("preprocess", "--config", str(tmp_path / "apply.yaml"), *arguments)
    assert second.returncode == 0, second.stderr
    summary = json.loads(second.stdout)
    assert summary["done"] == ["T33UWQ/2025-12-10T10:03:19Z"]
    merged = run_command("stats", "merge", str(tmp_path / "out"), "--out", str(tmp_path / "merged.json"))
    assert merged.returncode == 0, merged.stderr
    assert (tmp_path / "merged.json").read_bytes() == (tmp_path / "stats.json").read_bytes()
    files = [stats, summary["index_path"], summary["log_path"], str(dataset.index_json)]
    assert main(["validate", *files]) == 0


def test_configuration_errors_name_file_and_path_and_exit_with_2(dataset: Dataset, tmp_path: Path) -> None:
    document = {"preprocess": _config(dataset, tmp_path / "out", normalize={"mode": "aply"})}
    (tmp_path / "apply.json").write_text(json.dumps(document))
    done = run_command("preprocess", "apply.json", cwd=tmp_path)
    assert done.returncode == 2
    expected = (
        "apply.json: preprocess.normalize.mode: 'aply' is not one of none, compute_only, apply_with_stats"
    )
    assert expected in done.stderr
    assert not (tmp_path / "out").exists()
    assert run_command("validate", "apply.json", cwd=tmp_path).returncode == 2


def test_a_failed_scene_exits_with_1(dataset: Dataset, tmp_path: Path) -> None:
    document = json.loads(dataset.index_json.read_text())
    (tmp_path / "raw").symlink_to(dataset.root / "raw")
    item = next(i for i in document["scenes"][0]["files_l1c"]["items"] if i["role"] == "l1c.band.B04")
    (tmp_path / "cut.jp2").write_bytes((dataset.root / item["path"]).read_bytes()[:-3000])
    item["path"] = "cut.jp2"
    (tmp_path / "meta/step1").mkdir(parents=True)
    (tmp_path / "meta/step1/index.json").write_text(json.dumps(document))
    config = _config(
        dataset, tmp_path / "out", index_json=str(tmp_path / "meta/step1/index.json"), max_scenes=None
    )
    (tmp_path / "c.json").write_text(json.dumps({"preprocess": config}))
    done = run_command("preprocess", str(tmp_path / "c.json"), "--json", "--quiet")
    assert done.returncode == 1
    summary = json.loads(done.stdout)
    assert [item["scene"] for item in summary["failed"]] == ["T33UWQ/2025-12-10T10:03:19Z"]
    assert summary["done"] == ["T33UWQ/2025-12-15T10:03:19Z"]
    assert "cut.jp2" in done.stderr


def test_without_gdal_every_command_names_the_cure(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "osgeo").mkdir()
    (tmp_path / "osgeo/__init__.py").write_text("raise ImportError('blocked')")
    (tmp_path / "c.json").write_text(json.dumps({"preprocess": _config(dataset, tmp_path / "out")}))
    path = os.pathsep.join([str(tmp_path), str(ROOT), str(ROOT / "kernels")])
    done = subprocess.run(
        [sys.executable, "-m", "s2pipe", "preprocess", str(tmp_path / "c.json")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 2
    assert "gdal-wheel" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("is_buffered", [True, False])
@pytest.mark.parametrize("arguments", [["--version"], ["preprocess", "--help"]])
def test_output_that_nobody_can_take_is_an_error_in_one_line(arguments: list[str], is_buffered: bool) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if is_buffered else "1"}
    command = [sys.executable, "-c", "import sys; from s2pipe.cli import main; sys.exit(main())", *arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


def test_a_reader_that_has_gone_is_no_error_worth_words() -> None:
    command = [sys.executable, "-c", "import sys; from s2pipe.cli import main; sys.exit(main())", "--help"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
