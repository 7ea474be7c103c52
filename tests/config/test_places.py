"""Paths of configurations: an address in their place is refused in one line, for every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from s2pipe.cli import main
from s2pipe.config.checks import check_config
from s2pipe.config.steps import STEPS
from s2pipe.errors import ConfigError
from s2pipe.preprocess.cfg import PreprocessConfig

_DOCUMENTS: dict[str, dict[str, Any]] = {
    "download": {"query": {"date_from_utc": "2025-12-10", "date_to_utc": "2025-12-11"}, "download": {}},
    "preprocess": {"index_json": "a/index.json", "target_grid_ref": "B02", "l1c_bands": ["B02"]},
    "patches": {"index_json": "a/index.json"},
}


@pytest.mark.parametrize("step", STEPS)
def test_no_step_writes_to_an_address(step: str) -> None:
    document = dict(_DOCUMENTS[step])
    (document if step != "download" else document["download"])["out_dir"] = "s3://bucket/out"

    (fault,) = [fault for fault in STEPS[step].faults(document) if fault.path.endswith("out_dir")]

    assert "written locally: give a directory, and copy it" in fault.message
    assert "\n" not in fault.message


def test_other_paths_are_local_too() -> None:
    document = {**_DOCUMENTS["preprocess"], "index_json": "https://host/index.json", "out_dir": "out"}

    (fault,) = STEPS["preprocess"].faults(document)

    assert fault.path == "preprocess.index_json"
    assert "copy the file here first" in fault.message


def test_a_configuration_made_in_python_is_checked_alike() -> None:
    config = PreprocessConfig(Path("index.json"), Path("s3://bucket/out"), "B02", ("B02",))

    with pytest.raises(ConfigError, match=r"preprocess\.out_dir: .* written locally"):
        check_config(config, "preprocess", lambda _: [])


@pytest.mark.parametrize(
    "arguments",
    [
        ["index", ".", "--out", "s3://bucket/out"],
        ["demo", "--out", "s3://bucket/out"],
        [
            "preprocess",
            "--index-json",
            "i.json",
            "--target-grid-ref",
            "B02",
            "--l1c-bands",
            "B02",
            "--out-dir",
            "s3://bucket/out",
        ],
    ],
)
def test_commands_make_no_directory_of_that_name(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(arguments) == 2

    assert "written locally" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
