"""What somebody may have meant."""

from __future__ import annotations

import pytest

from s2pipe.runtime.nearest import did_you_mean, nearest


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("b8a", ["B08", "B8A"], "B8A"),
        ("SCL-20m", ["scl_20m", "aot_20m"], "scl_20m"),
        ("normalise", ["normalize", "labels"], "normalize"),
        ("", ["a"], None),
        ("xyz", ["normalize"], None),
        ("n" * 10_000, ["normalize"], None),
    ],
)
def test_the_nearest_name(word: str, known: list[str], expected: str | None) -> None:
    assert nearest(word, known) == expected
    assert did_you_mean(word, known) == ("" if expected is None else f"; did you mean {expected!r}?")
