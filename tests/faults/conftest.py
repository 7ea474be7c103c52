"""The dataset that faults happen to, made once; and the table of what came of them, at the end."""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import ledger
from tests.faults.bed import DONE, Bed, Place, Trial, make_bed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


if os.name == "nt":
    collect_ignore_glob = ["test_*.py"]  # SIGKILL, limits and forked processes are those of POSIX


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Bed:
    pytest.importorskip("pyarrow")
    pytest.importorskip("duckdb")
    return make_bed(tmp_path_factory.mktemp("faults") / "bed")


def pack(products: Path) -> None:
    """Turn every product into an archive."""
    for path in sorted(products.iterdir()):
        shutil.make_archive(str(path.with_suffix("")), "zip", products, path.name)
        shutil.rmtree(path)


@pytest.fixture(scope="session")
def packed_bed(tmp_path_factory: pytest.TempPathFactory) -> Bed:
    pytest.importorskip("pyarrow")
    pytest.importorskip("duckdb")
    return make_bed(tmp_path_factory.mktemp("faults") / "packed", pack)


_CONTENTS: dict[Path, dict[str, bytes]] = {}


@pytest.fixture
def trial() -> Callable[[Bed, str, str], Trial]:
    """Make a trial over a dataset."""

    def make(bed: Place, fault: str, where: str) -> Trial:
        if bed.base not in _CONTENTS:
            bed.restore(DONE)
            _CONTENTS[bed.base] = bed.contents()
        return Trial(bed, _CONTENTS[bed.base], fault, where)

    return make


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of this fault alone: `FAULTS_SEED` and the test's name give the same again."""
    return random.Random(f"{ledger.SEED}/{request.node.name}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table."""
    if ledger.ROWS:
        terminalreporter.section(f"faults (FAULTS={ledger.SIZE} FAULTS_SEED={ledger.SEED})")
        for line in ledger.write():
            terminalreporter.write_line(line)
