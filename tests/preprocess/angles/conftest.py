"""Small products whose angles are known at every pixel, made once."""

from __future__ import annotations

import pytest

from tests.preprocess.angles.angles_support import Scene, make_scene


@pytest.fixture(scope="package")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Baseline 05.11: detector footprints as JPEG 2000."""
    return make_scene(tmp_path_factory.mktemp("rasters"))


@pytest.fixture(scope="package")
def polygons(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Baseline 02.06: detector footprints as GML."""
    return make_scene(tmp_path_factory.mktemp("polygons"), baseline="02.06", l2a=False)
