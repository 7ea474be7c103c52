"""``s2pipe init``: configurations from options and from questions on a terminal, all of which validate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.cli import main
from s2pipe.cli.validate import file_faults
from s2pipe.config.documents import read_document
from s2pipe.config.fields import field_infos
from s2pipe.config.starter import commented_yaml, example
from s2pipe.config.steps import STEPS
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ALL = ("download", "stats", "apply", "patches")


def written(directory: Path) -> dict[str, Any]:
    files = sorted(directory.glob("*.yaml"))
    assert [file_faults(path) for path in files] == [[]] * len(files)
    return {path.stem: read_document(path) for path in files}


def test_options_reach_the_keys_that_they_are_about(tmp_path: Path) -> None:
    arguments = ["--area", "33UWQ,T33UWP", "--from", "2025-06-01", "--to", "2025-08-31"]
    arguments += ["--bands", "B02,l2a.B04_10m", "--labels", "labels/{tile_id}.tif"]
    assert main(["init", str(tmp_path / "new"), "-q", *arguments]) == 0
    documents = written(tmp_path / "new")
    assert set(documents) == set(ALL)
    query = documents["download"]["download"]["query"]
    assert query["tile_ids"] == ["33UWQ", "T33UWP"]
    assert "tile_id" not in query
    assert (query["date_from_utc"], query["date_to_utc"]) == ("2025-06-01", "2025-08-31")
    selection = documents["download"]["download"]["selection"]
    assert (selection["l1c_bands"], selection["l2a_bands"]) == (["B02"], ["B04_10m"])
    for name in ("stats", "apply"):
        assert documents[name]["preprocess"]["bands"] == ["l1c.B02", "l2a.B04_10m"]
        assert "l1c_bands" not in documents[name]["preprocess"]
    labels = documents["apply"]["preprocess"]["labels"]
    assert labels == {"enabled": True, "backend": "raster", "path": "labels/{tile_id}.tif"}


def test_an_area_is_searched_for_and_cut_out(tmp_path: Path) -> None:
    arguments = ["--area", "13.5,47,14,47.5", "--purpose", "reflectance", "--labels", "none"]
    assert main(["init", str(tmp_path), "-q", *arguments]) == 0
    documents = written(tmp_path)
    assert set(documents) == {"download", "apply"}
    assert documents["download"]["download"]["query"]["geometry"] == "13.5,47,14,47.5"
    apply = documents["apply"]["preprocess"]
    assert apply["aoi"] == [13.5, 47.0, 14.0, 47.5]
    assert apply["normalize"] == {"mode": "none"}
    assert "labels" not in apply


def test_a_file_with_an_area_is_named_as_seen_from_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "area.wkt").write_text("POLYGON((13 47, 14 47, 14 48, 13 47))")
    assert main(["init", "new", "-q", "--area", "area.wkt"]) == 0
    assert read_document(tmp_path / "new" / "apply.yaml")["preprocess"]["aoi"] == "../area.wkt"


def test_nothing_is_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "apply.yaml").write_text("mine")
    assert main(["init", str(tmp_path), "-q"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["apply.yaml"]
    assert "apply.yaml: exists already" in capsys.readouterr().err
    assert main(["init", str(tmp_path), "-q", "--overwrite"]) == 0
    assert set(written(tmp_path)) == set(ALL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bands", "B02,B99"], "'B99' is not one of"),
        (["--from", "2025-06-01", "--to", "2025-05-01"], "date_to_utc"),
        (["--labels", "labels/{tyle}.tif"], "{tyle}"),
    ],
)
def test_answers_that_no_configuration_takes_write_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "new"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ALL)
def test_comments_are_the_documentation_of_the_keys(name: str) -> None:
    document = example(name)
    text = commented_yaml(document, "Head.")
    (step, part), *_ = document.items()
    flat = " ".join(line.strip().removeprefix("# ") for line in text.splitlines())
    for info in field_infos(STEPS[step].config_class):
        assert (" ".join(info.doc.split()) in flat) == (info.name in part)
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_questions_on_a_terminal(tmp_path: Path) -> None:
    import pty

    control, terminal = pty.openpty()
    command = [sys.executable, "-m", "s2pipe", "init", str(tmp_path / "new"), "--bands", "B02,B04", "--json"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    process = subprocess.Popen(
        command,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": path},
        close_fds=True,
    )
    os.close(terminal)
    os.write(control, b"\n32TNT\n2024-05-01\n\nnone\n")
    stdout, _ = process.communicate(timeout=60)
    said = os.read(control, 65536).decode()
    os.close(control)
    assert process.returncode == 0
    assert json.loads(stdout)["area"] == "32TNT"
    assert "Which labels" in said
    assert "Which bands" not in said
    documents = written(tmp_path / "new")
    assert documents["download"]["download"]["query"]["date_from_utc"] == "2024-05-01"
    assert "labels" not in documents["apply"]["preprocess"]
