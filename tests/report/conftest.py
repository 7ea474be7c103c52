from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.report.report_support import make_dataset

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with samples and patches; tests do not change it."""
    return make_dataset(tmp_path_factory.mktemp("report") / "set")


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return shutil.copytree(whole, tmp_path / "set")
