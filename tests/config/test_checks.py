"""Configurations made in Python are checked as files are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s2pipe.errors import ConfigError
from s2pipe.preprocess.cfg import LabelConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.one_scene import check


def test_configurations_made_in_python_are_brought_to_their_types() -> None:
    given = PreprocessConfig(
        index_json="i.json",  # type: ignore[arg-type]
        out_dir="out",  # type: ignore[arg-type]
        target_grid_ref="B02",
        l1c_bands=["B02", "B8A"],  # type: ignore[arg-type]
        num_workers=np.int64(2),  # type: ignore[arg-type]
        valid_min_fraction=np.float32(0.5),  # type: ignore[arg-type]
        overwrite=np.bool_(True),  # type: ignore[arg-type]
        labels=LabelConfig(mapping={np.int64(4): np.uint8(1)}),  # type: ignore[dict-item]
        normalize=NormalizeConfig(hist_range=np.array([-0.5, 1.5]), max_pixels_per_scene=np.int32(9)),  # type: ignore[arg-type]
    )
    expected = PreprocessConfig(
        Path("i.json"),
        Path("out"),
        "B02",
        ("B02", "B8A"),
        num_workers=2,
        valid_min_fraction=0.5,
        overwrite=True,
        labels=LabelConfig(mapping={4: 1}),
        normalize=NormalizeConfig(hist_range=(-0.5, 1.5), max_pixels_per_scene=9),
    )
    checked = check(given)
    assert checked == expected
    assert isinstance(checked.index_json, Path)
    assert type(checked.num_workers) is int
    with pytest.raises(ConfigError, match="the key 4 is given twice"):
        check(replace(expected, labels=LabelConfig(mapping={4: 1, "4": 2})))  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="expected a PreprocessConfig, got dict"):
        check({"out_dir": "out"})  # type: ignore[arg-type]
