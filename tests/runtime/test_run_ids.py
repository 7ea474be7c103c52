"""Names of runs, and times as documents carry them."""

from __future__ import annotations

import re

from s2pipe.runtime.clock import utc_now
from s2pipe.runtime.run_ids import new_run_id


def test_run_ids_are_distinct_and_begin_with_the_time() -> None:
    before = re.sub("[-:]", "", utc_now())
    names = {new_run_id() for _ in range(50)}
    after = re.sub("[-:]", "", utc_now())
    assert len(names) == 50
    for name in names:
        assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", name)
        assert before <= name.split("-")[0] <= after
