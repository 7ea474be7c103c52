"""Rules of the configuration that a schema cannot express."""

from __future__ import annotations

import pytest

from s2pipe.preprocess.cfg import bin_count


@pytest.mark.parametrize(
    ("hist_range", "width", "count"),
    [((-0.2, 2.0), 1e-4, 22000), ((0.0, 1.0), 0.1, 10), ((0.0, 1.0), 0.3, None), ((0, 10000), 1, 10000)],
)
def test_bins_must_divide_the_range_as_decimals(
    hist_range: tuple[float, float], width: float, count: int | None
) -> None:
    assert bin_count(hist_range, width) == count
