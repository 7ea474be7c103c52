"""The log of commands: quiet, verbose, as JSON, and retries that show."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from s2pipe.download.cfg import RetryConfig
from s2pipe.download.service.retry import Backoff, TryAgain
from s2pipe.errors import ServiceError
from tests.cli.cli_support import run_command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Dataset


def arguments(dataset: Dataset, out: Path) -> list[str]:
    options = ["--index-json", str(dataset.index_json), "--out-dir", str(out), "--target-grid-ref", "scl_20m"]
    return ["preprocess", *options, "--l1c-bands", "B04", "--max-scenes", "1"]


def test_the_log_as_json(dataset: Dataset, tmp_path: Path) -> None:
    done = run_command(*arguments(dataset, tmp_path), "--log-json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    (progress,) = [line["progress"] for line in lines if "progress" in line]
    assert (progress["done"], progress["total"], progress["fraction"]) == (1, 1, 1.0)
    assert progress["rows_total"] > 0


def test_errors_are_json_too(dataset: Dataset, tmp_path: Path) -> None:
    done = run_command(*arguments(dataset, tmp_path), "--normalize.mode", "aply", "--log-json")
    assert done.returncode == 2
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert line["level"] == "error"
    assert "aply" in line["message"]


def test_quiet_says_nothing(dataset: Dataset, tmp_path: Path) -> None:
    quiet = run_command(*arguments(dataset, tmp_path), "--quiet")
    assert (quiet.returncode, quiet.stderr, quiet.stdout) == (0, "", "")


def test_waiting_for_the_service_shows(caplog: pytest.LogCaptureFixture) -> None:
    backoff = Backoff(RetryConfig(max_attempts=3, base_delay_s=0.001, max_delay_s=0.002), threading.Event())
    with caplog.at_level(logging.INFO, "s2pipe.download"):
        for _ in range(2):
            backoff.wait(TryAgain("no answer"), "the catalogue")
        with pytest.raises(ServiceError):
            backoff.wait(TryAgain("no answer"), "the catalogue")
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"the catalogue: no answer; waiting 0.0 s, then attempt {attempt} of 3" for attempt in (2, 3)
    ]


def test_an_unreachable_service_is_named_before_and_while_it_is_waited_for(tmp_path: Path) -> None:
    options = [
        "--query.tile-id",
        "33UWQ",
        "--query.date-from-utc",
        "2025-12-01",
        "--query.date-to-utc",
        "2025-12-02",
    ]
    options += ["--download.out-dir", str(tmp_path), "--download.retry.base-delay-s", "0.01"]
    address = "http://127.0.0.1:9"
    done = run_command(
        "download", *options, "--dry-run", S2PIPE_CATALOGUE_URL=address, S2PIPE_IDENTITY_URL=address
    )
    assert done.returncode == 2
    first, *rest = done.stderr.splitlines()
    assert address in first
    assert sum("attempt" in line and "waiting" in line for line in rest) == 5
