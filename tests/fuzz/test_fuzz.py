"""Every reader lets only documented errors out, whatever it is given; ``make fuzz`` tries for longer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.known import KNOWN
from tests.fuzz.mutate import mutate
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.targets import Target

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")
CORPUS = Path(__file__).parent / "corpus"
BY_NAME = {target.name: target for target in TARGETS}
KEPT = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
SLOW = {"database": 4, "product": 4, "tile_xml": 8}
"""Examples of readers that take more than a few milliseconds."""

ENDLESS = ("nodes", "token")
"""Readers of answers: what gives the same answer to every question is refused in the end."""


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_valid_files_are_read(target: Target) -> None:
    assert target.seeds()
    for seed in target.seeds():
        if target.name in ENDLESS:
            target.try_out(seed)
        else:
            target.run(seed)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_only_documented_errors_come_out(target: Target) -> None:
    number = st.integers(0, 2**16 - 1)
    edits = st.lists(st.tuples(number, st.floats(0.0, 1.0), number), min_size=1, max_size=5)

    @settings(
        max_examples=SLOW.get(target.name, 20),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(target.seeds()), edits)
    def check(seed: bytes, changes: list[tuple[int, float, int]]) -> None:
        target.try_out(mutate(target.kind, seed, changes))

    check()


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_once_wrong_stays_right(path: Path) -> None:
    BY_NAME[path.parent.name].try_out(path.read_bytes())


@pytest.mark.parametrize(
    ("name", "what", "make"), KNOWN, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_large_or_deep_is_refused_at_once(name: str, what: str, make: Callable[[], bytes]) -> None:
    data = make()
    started = time.process_time()
    BY_NAME[name].try_out(data)
    assert time.process_time() - started < 2.0, what


def test_a_target_that_lets_another_error_out_is_noticed() -> None:
    from dataclasses import replace

    def wrong(_data: bytes) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        replace(TARGETS[0], run=wrong).try_out(b"")
