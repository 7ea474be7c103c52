"""Which workers a configuration names."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from s2pipe.distributed.address import Scheduler, scheduler_fault
from s2pipe.distributed.cluster import TreeSum
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text", ["processes:0", "processes:-1", "processes", "tcp://host", "no-such-file.json", ""]
)
def test_a_scheduler_that_is_none_is_named(text: str) -> None:
    expected = "expected processes:N, tcp://HOST:PORT or a scheduler file that exists"
    assert scheduler_fault(text) == f"{expected}, got {text!r}"


def test_schedulers_are_processes_addresses_and_files(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.touch()
    texts = ("processes:4", "tcp://10.0.0.1:8786", "tls://head-node:8786", str(file))
    assert [scheduler_fault(text) for text in (None, *texts)] == [None] * 5
    assert [str(Scheduler.parse(text)) for text in texts] == list(texts)
    assert Scheduler.parse("processes:4").processes == 4


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 256, 300, 5000])
def test_a_sum_is_a_tree_of_small_tasks(count: int) -> None:
    widths = []

    def submit(function: object, _key: str, *arguments: list[int]) -> int:
        widths.append(len(arguments[-1]))
        return sum(arguments[-1])

    tree = TreeSum(submit, lambda part: part, sum, sum, ())
    for number in range(count):
        tree.put(number)
    assert tree.total() == (sum(range(count)) if count else None)
    assert max(widths, default=0) <= 16
    assert len(widths) <= count / 15 + 4


def test_without_dask_its_absence_is_named() -> None:
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "from s2pipe.distributed.cluster import open_cluster\n"
        "with open_cluster('processes:2', 1): pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "scheduler processes:2 needs Dask" in done.stderr
    assert "pip install 's2pipe[dask]'" in done.stderr
