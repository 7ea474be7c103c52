"""The notebooks run from top to bottom, print what they hold, and stay small."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
MOST_BYTES = 200_000


def _printed(notebook: Any) -> list[str]:
    """Return what the cells printed to stdout, whatever the numbers: libraries differ in their last digits."""
    return [
        " ".join(re.sub(r"\b[0-9a-f]{16}\b|[\d.]+", "#", "".join(output["text"])).split())
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        if output["output_type"] == "stream" and output["name"] == "stdout"
    ]


def test_there_are_two_notebooks() -> None:
    assert len(NOTEBOOKS) == 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_was_run_and_is_small(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])
    assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_the_same(path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs the extra docs: make docs")
    pytest.importorskip("ipykernel", reason="needs the extra docs: make docs")
    import nbformat

    notebook = nbformat.read(path, 4)
    before = _printed(notebook)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    assert _printed(notebook) == before
