"""The test service as a user starts it: from the package, in a process of its own."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from s2pipe.testing.__main__ import main
from s2pipe.testing.fake import L1C, L2A, make_safe
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """Two small products to serve."""
    for name in (L1C, L2A):
        make_safe(tmp_path / "held", name)
    return tmp_path / "held"


def test_a_command_is_run_against_the_service(held: Path, tmp_path: Path) -> None:
    config = {
        "query": {"tile_id": "33UWQ", "date_from_utc": "2025-12-01", "date_to_utc": "2025-12-31"},
        "selection": {"l1c_bands": ["B02"], "l1c_detector_footprint": False},
        "download": {"out_dir": str(tmp_path / "out")},
    }
    file = tmp_path / "download.json"
    file.write_text(json.dumps({"download": config}), encoding="utf-8")
    service = [sys.executable, "-m", "s2pipe.testing", "--products", str(held)]
    download = [sys.executable, "-m", "s2pipe", "download", str(file), "--json"]
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("CDSE_", "S2PIPE_"))
    }
    done = subprocess.run(
        [*service, "--", *download],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    band = next((tmp_path / "out" / "raw" / "L1C").rglob("*_B02.jp2"))
    assert band.read_bytes() == next(held.glob("*L1C*/GRANULE/*/IMG_DATA/*_B02.jp2")).read_bytes()


def test_the_exit_code_is_that_of_the_command(held: Path) -> None:
    code = "import os, sys; sys.exit(7 if os.environ['S2PIPE_DOWNLOAD_URL'].startswith('http://127.0.0.1') else 1)"
    assert main(["--products", str(held), "--", sys.executable, "-c", code]) == 7


# A shell starts programs in the background with interrupts ignored.
@pytest.mark.parametrize("ignored", [False, True])
def test_variables_are_written_when_the_service_answers(held: Path, tmp_path: Path, ignored: bool) -> None:
    file = tmp_path / "service.env"
    command = [sys.executable, "-m", "s2pipe.testing", "--products", str(held), "--env-file", str(file)]
    shell = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"] if ignored else []
    with subprocess.Popen([*shell, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "ready" in process.stdout.readline()
            lines = [shlex.split(line) for line in file.read_text(encoding="utf-8").splitlines()]
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    names = {text.partition("=")[0] for _, text in lines}
    assert {word for word, _ in lines} == {"export"}
    assert names == {
        *("S2PIPE_CATALOGUE_URL", "S2PIPE_DOWNLOAD_URL", "S2PIPE_IDENTITY_URL"),
        *("CDSE_USERNAME", "CDSE_PASSWORD"),
    }


@pytest.mark.parametrize("text", ["nonsense", "status:x:abc"])
def test_an_unknown_fault_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--fault", text])
    assert raised.value.code == 2
    assert "KIND[:MATCH[:STATUS]]" in capsys.readouterr().err
