"""The directory that the examples of the documentation run in."""

from __future__ import annotations

import contextlib
import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyproj
import pytest

from s2pipe.cli import main
from s2pipe.indexing.run import index_products
from s2pipe.synthetic import ProductSpec, make_products
from s2pipe.testing.products import stored
from s2pipe.testing.service import Service
from tests.conftest import SMALL_SIDE_M
from tests.docs.running import run_page
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Dataset

CHANGED = {
    "min_coverage_ratio: 0.8": "min_coverage_ratio: 0.0",
    '"min_coverage_ratio": 0.8': '"min_coverage_ratio": 0.0',
    "  labels:": "  angles: {enabled: true}\n  labels:",
    '"labels": {': '"angles": {"enabled": true}, "labels": {',
    "patch_size: 256": "patch_size: 32",
    '"patch_size": 256': '"patch_size": 32',
    "stride: 256": "stride: 32",
    '"stride": 256': '"stride": 32',
    "cell_m: 20000": "cell_m: 1000",
    '"cell_m": 20000': '"cell_m": 1000',
}
"""What the example configurations say for whole tiles, and what suits scenes of 7 km; and angles, which pages read."""


@pytest.fixture(scope="package")  # its environment is not that of other tests
def workplace(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with the files that examples name, beside a local service; README.md has run in it."""
    place = tmp_path_factory.mktemp("workplace")
    _write_files(place, dataset)
    with Service([stored(path) for path in sorted(dataset.products.glob("*.SAFE"))], signed=True) as service:
        environment = {
            **service.environment,
            "CDSE_USERNAME": service.tokens.username,
            "CDSE_PASSWORD": service.tokens.password,
            "HOME": str(place / "home"),
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            patch.syspath_prepend(str(place))
            for name, value in environment.items():
                patch.setenv(name, value)
            run_page("README.md")
            yield place


def _write_files(place: Path, dataset: Dataset) -> None:
    """Write what the pages suppose to be there: configurations, an area, a list of scenes, products."""
    shutil.copytree(ROOT / "configs", place / "configs")
    for name in ("docs", "schemas"):
        (place / name).symlink_to(ROOT / name)
    for path in (place / "configs").iterdir():
        text = path.read_text(encoding="utf-8")
        for old, new in CHANGED.items():
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    (place / "home").mkdir()
    (place / "home" / "sentinel2").symlink_to(dataset.products)
    _make_other_dataset(place)
    (place / "area.geojson").write_text(json.dumps(_area_in_scene()))
    key = json.loads(dataset.index_json.read_text())["scenes"][0]["key"]
    (place / "train.txt").write_text(f"{key['tile_id']}/{key['sensing_start_utc']}\n")
    documents = [
        json.loads((place / "configs" / f"{name}.json").read_text()) for name in ("apply", "patches")
    ]
    pipeline = {key: value for document in documents for key, value in document.items()}
    (place / "pipeline.yaml").write_text(json.dumps(pipeline))  # YAML takes JSON


def _area_in_scene() -> dict[str, object]:
    """Return a square of 3 km in the middle of the scenes, in longitude and latitude."""
    epsg, west, north = ProductSpec(side_m=SMALL_SIDE_M).origin
    middle = west + SMALL_SIDE_M / 2, north - SMALL_SIDE_M / 2
    corners = [(-1500, -1500), (1500, -1500), (1500, 1500), (-1500, 1500), (-1500, -1500)]
    to_degrees = pyproj.Transformer.from_crs(epsg, 4326, always_xy=True)
    ring = [list(to_degrees.transform(middle[0] + x, middle[1] + y)) for x, y in corners]
    return {"type": "Polygon", "coordinates": [ring]}


def _make_other_dataset(place: Path) -> None:
    """Pass 1 over a scene of another day, in ``other_out``."""
    start = datetime(2025, 12, 20, 10, 3, 19, tzinfo=UTC)
    make_products(place / "other", ProductSpec(side_m=2_400, sensing_start=start, quality_masks=False))
    index_products([place / "other"], place / "other_out")
    options = ["--index-json", "other_out/meta/step1/index.json", "--out-dir", "other_out", "--quiet"]
    stats = ["--normalize.stats-path", "other_out/stats.json"]
    with contextlib.chdir(place):
        assert main(["preprocess", "configs/stats.yaml", *options, *stats]) == 0
