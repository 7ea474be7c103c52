"""What the command line says about mistakes: the option at fault, what was meant, where was looked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from s2pipe.cli import main

if TYPE_CHECKING:
    from tests.conftest import Dataset


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    return capsys.readouterr().err


NEEDED = ("--index-json", "i.json", "--out-dir", "o", "--target-grid-ref", "B02", "--l1c-bands", "B02")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("preproces",), "unknown command 'preproces'; did you mean 'preprocess'?"),
        (("preprocess", "--normalise.mode", "x"), "--normalise.mode: unknown option; did you mean --normalize.mode?"),
        (("preprocess", "--stats_path=x"), "--stats_path: unknown option; did you mean --normalize.stats-path?"),
        (("preprocess", "--out", "x"), "--out: unknown option; did you mean --out-dir?"),
        (("preprocess", "--xyzzy"), "--xyzzy: unknown option; --help-all lists"),
        (("preprocess", "a.yaml", "b.yaml"), "expected no more arguments, got b.yaml"),
        (("preprocess", "--num-workers"), "--num-workers: expected one argument"),
        (("preprocess", *NEEDED, "--l1c-bands", "b02"), "--l1c-bands[0]: 'b02' is not one of B01,"),
        (("preprocess", *NEEDED, "--l1c-bands", "b02"), "did you mean 'B02'?"),
        (("preprocess", *NEEDED, "--target-grid-ref", "SCL_20m"), "did you mean 'scl_20m'?"),
        (("preprocess", *NEEDED, "--bands", "l2a.b4_10m"), "did you mean 'l2a.B04_10m'?"),
        (("preprocess", *NEEDED, "--normalize.mode", "aply"), "command line: --normalize.mode: 'aply' is not one of"),
        (("preprocess", *NEEDED, "--labels.mapping", "{4: a}"), "command line: --labels.mapping.4: expected integer"),
        (("preprocess", *NEEDED[2:]), "preprocess.index_json: is missing, and has no default; give it in"),
        (("preprocess", *NEEDED, "--l1c-bands", "B02,b03"), "--l1c-bands[1]: 'b03' is not one of B01,"),
        (("preprocess", "--overwrite", "true"), "true follows a switch, which takes no value"),
        (("preprocess", "a.yaml", "--overwrite", "false"), "false follows a switch, which takes no value"),
        (("export", "zar", "out", "--to", "x"), "did you mean `s2pipe export zarr`?"),
        (("init", "out", "--defaults", "--labels", "sci"), "got 'sci'; did you mean 'scl'?"),
        (("init", "out", "--defaults", "--area", "33UW"), "--area: expected tiles such as 33UWQ, a file, WKT or"),
        (("index", "x", "--output", "y"), "--output: unknown option; did you mean --out?"),
        (("report", "x", "--workers", "many"), "--workers: invalid int value: 'many'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, *arguments)
    assert message in text
    assert "Traceback" not in text
    assert "usage:" not in text


def test_faults_of_the_file_and_of_options_stand_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "apply.yaml"
    file.write_text("preprocess:\n  index_json: i.json\n  l1c_band: [B02]\n")
    text = said(capsys, "preprocess", str(file), "--normalize.mode", "aply")
    assert "command line: --normalize.mode: 'aply'" in text
    assert f"{file}: preprocess.l1c_band: unknown key; did you mean 'l1c_bands'?" in text
    assert f"{file}: preprocess.out_dir: is missing, and has no default; give it in" in text
    assert text.count("--out-dir") == 1


def test_a_misspelt_step_is_a_near_miss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.json").write_text('{"Preproces": {}}')
    assert "did you mean 'preprocess'?" in said(capsys, "preprocess", str(tmp_path / "c.json"))


def test_a_manifest_is_no_configuration(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "preprocess", str(dataset.index_json))
    assert "is a manifest of a dataset (s2pipe.step1.index.v2), not a configuration" in text
    assert "--index-json" in text
    assert len(text.splitlines()) == 1


def test_home_is_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"{tmp_path}/c.json: no such file;" in said(capsys, "preprocess", "--config=~/c.json")
    assert f"{tmp_path}/i.json: no such file" in said(capsys, "preprocess", *NEEDED, "--index-json=~/i.json")
    document = {
        "preprocess": {
            "index_json": "~/j.json",
            "out_dir": "~/o",
            "target_grid_ref": "B02",
            "l1c_bands": ["B02"],
        }
    }
    (tmp_path / "c.json").write_text(json.dumps(document))
    assert f"{tmp_path}/j.json: no such file" in said(capsys, "preprocess", "--config=~/c.json")
    assert not Path("~").exists()
    assert "~nobody-of-that-name/c.json" in said(capsys, "preprocess", "~nobody-of-that-name/c.json")


def test_a_relative_path_names_the_directory_that_it_was_looked_for_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    where = f"in the working directory {tmp_path}"
    assert f"c.yaml: no such file {where}; check" in said(capsys, "preprocess", "c.yaml")
    assert f"i.json: no such file {where}; run" in said(capsys, "preprocess", *NEEDED)
    assert where in said(capsys, "index", "absent", "--out", "o")
    assert where in said(capsys, "verify", "absent")
    for command in ("stac", "card", "report", "compact"):
        assert where in said(capsys, command, "absent")
    assert where in said(capsys, "export", "absent", "--to", "a.parquet")
    assert where in said(capsys, "stats", "merge", "absent", "--out", "s.json")
    absolute = str(tmp_path / "c.yaml")
    assert "working directory" not in said(capsys, "preprocess", absolute)


def test_everything_that_is_missing_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [
        "--aoi",
        "area.geojson",
        "--normalize.mode",
        "apply_with_stats",
        "--normalize.stats-path",
        "s.json",
    ]
    options += ["--labels.enabled", "--labels.backend", "raster", "--labels.path", "y.tif"]
    text = said(capsys, "preprocess", *NEEDED, *options)
    assert (
        f"4 files that the configuration names are missing, looked for in the working directory {tmp_path}"
        in text
    )
    for gap in (
        "index_json: i.json",
        "aoi: area.geojson",
        "normalize.stats_path: s.json",
        "labels.path: y.tif",
    ):
        assert f"  preprocess.{gap}\n" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("preprocess", ("index_json", "out_dir", "target_grid_ref", "l1c_bands")),
        ("patches", ("index_json", "out_dir")),
        ("download", ("query.date_from_utc", "query.date_to_utc", "download.out_dir")),
    ],
)
def test_every_option_that_is_missing_is_named_at_once(
    command: str, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, command)
    for name in names:
        assert f"{command}.{name}: " in text
    assert "--query," not in text
    assert f"or as --{names[1].replace('_', '-')}" in text


def test_commas_stand_between_names_as_spaces_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(
        capsys, "preprocess", *NEEDED, "--l1c-bands", "B02,B03", "B04", "--aoi", str(tmp_path / "a.wkt")
    )
    assert "2 files that the configuration names are missing" in text


def test_a_misspelt_role_of_a_manifest_is_named(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "meta" / "step1" / "index.json"
    index.parent.mkdir(parents=True)
    index.write_text(dataset.index_json.read_text().replace("l2a.scl_20m", "l2a.SCL_20m"))
    (tmp_path / "raw").symlink_to(dataset.root / "raw")
    options = ["--index-json", str(index), "--out-dir", str(tmp_path / "o"), "--target-grid-ref", "scl_20m"]
    text = said(capsys, "preprocess", *options, "--l1c-bands", "B02")
    assert "'l2a.SCL_20m' does not match the pattern" in text
    assert "did you mean 'l2a.scl_20m'?" in text


def test_missing_files_of_patches_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    text = said(capsys, "patches", "--index-json", "i.json", "--out-dir", "o", "--targets.path", "t.csv")
    assert "  patches.index_json: i.json\n  patches.targets.path: t.csv\n" in text
    assert not list(tmp_path.iterdir())
