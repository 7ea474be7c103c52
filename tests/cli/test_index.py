"""``s2pipe index``: products linked, verified and listed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from s2pipe.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.conftest import Dataset


def test_index_links_products_and_verifies_them(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["index", str(dataset.products), "--out", str(tmp_path / "out"), "--verify", "--json", "-q"])
        == 0
    )
    summary = json.loads(capsys.readouterr().out)
    assert summary["verified_files"] > 50
    assert len(summary["scenes"]) == 2
    assert main(["validate", summary["index_path"], "-q"]) == 0
