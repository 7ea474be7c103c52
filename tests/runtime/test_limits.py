"""Limits are documented with the values that the code has."""

from __future__ import annotations

import re

from s2pipe.errors import MAX_FAULTS
from s2pipe.runtime import limits
from tests.paths import ROOT


def test_the_table_of_limits_is_the_truth() -> None:
    text = (ROOT / "docs" / "data-model.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(M[A-Z_]+)` \| ([\d,]+(?: MiB)?) \|", text, re.MULTILINE))
    named = {
        name: value for name, value in vars(limits).items() if name.startswith("M") and isinstance(value, int)
    }
    named["MAX_FAULTS"] = MAX_FAULTS
    shown = {
        name: f"{value >> 20} MiB" if name.endswith("_BYTES") else f"{value:,}"
        for name, value in named.items()
    }
    assert rows == shown
