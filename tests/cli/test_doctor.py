"""``s2pipe doctor``: what the pipeline stands on, and what is missing."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from s2pipe.cli import main
from s2pipe.raster.formats import JPEG2000_DRIVERS
from tests.cli.cli_support import run_command

if TYPE_CHECKING:
    import pytest


def test_doctor_finds_what_the_pipeline_stands_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is True
    assert int(report["cores"]) >= 1
    assert "threading layer" in report["Numba"]
    assert main(["doctor"]) == 0
    assert "Everything is there." in capsys.readouterr().out


def test_doctor_names_what_is_missing() -> None:
    done = run_command("doctor", GDAL_SKIP=" ".join(JPEG2000_DRIVERS))
    assert done.returncode == 2
    assert re.search(r"JPEG 2000: +MISSING: GDAL \S+ has no JPEG 2000 driver", done.stdout)
    assert "Something is missing; see above." in done.stdout
