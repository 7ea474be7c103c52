"""The examples of the document that the project was asked to implement run as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.conftest import Dataset, read_whole_band
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SEED = ROOT.parent / "shared" / "seed-readme.md"


def test_the_preprocess_examples_run_in_order(dataset: Dataset, tmp_path: Path) -> None:
    if not SEED.is_file():
        pytest.skip(f"{SEED.name} is missing beside the checkout")
    blocks = re.findall(r"^```python\n(.*?)^```", SEED.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    blocks = [block for block in blocks if "run_preprocess(" in block]
    assert len(blocks) == 3
    (tmp_path / "out/meta").mkdir(parents=True)
    (tmp_path / "out/raw").symlink_to(dataset.root / "raw")
    (tmp_path / "out/meta/step1").symlink_to(dataset.root / "meta/step1")
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/normalize/histogram.npz").exists()
    for name, channels, labelled in (("out_norm", 8, True), ("out_nolabel", 28, False)):
        samples = json.loads((tmp_path / name / "meta/step2/index.json").read_text())["samples"]
        assert len(samples) == 2
        for sample in samples:
            assert (sample["y_path"] is not None) == labelled
            meta = json.loads((tmp_path / name / sample["meta_path"]).read_text())
            assert meta["assets"]["angles"]["shape"] == [channels, *meta["grid"]["shape_yx"]]
            zenith = read_whole_band(tmp_path / name / sample["angles_path"], 2)
            assert np.isfinite(zenith).all()
