"""The examples that users copy: code blocks of README.md run as written, on a small dataset."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Dataset


def _blocks(path: Path, language: str) -> Iterator[str]:
    yield from re.findall(
        rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def _run_python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def workplace(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with the dataset under the name that the examples use."""
    place = tmp_path_factory.mktemp("workplace")
    (place / "out/meta").mkdir(parents=True)
    (place / "out/raw").symlink_to(dataset.root / "raw")
    (place / "out/meta/step1").symlink_to(dataset.root / "meta/step1")
    (place / "configs").symlink_to(ROOT / "configs")
    return place


def _preprocess_blocks(path: Path) -> list[str]:
    return [block for block in _blocks(path, "python") if "run_preprocess(" in block]


def test_the_readme_has_examples() -> None:
    assert len(_preprocess_blocks(ROOT / "README.md")) >= 1


def test_readme_python_examples_run_in_order(workplace: Path) -> None:
    for number, code in enumerate(_preprocess_blocks(ROOT / "README.md")):
        done = _run_python(code, workplace)
        assert done.returncode == 0, f"block {number}:\n{code}\n{done.stderr}"
    assert (workplace / "out/normalize/stats.json").exists()


def test_example_configurations_run(workplace: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    for arguments in (
        ["configs/stats.json"],
        ["--config", "configs/apply.yaml"],
        ["configs/stats.yaml"],
        ["configs/apply.json"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "s2pipe", "preprocess", *arguments],
            cwd=workplace,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
    assert len(list((workplace / "out_norm/processed").glob("*/*/meta.json"))) == 2
