"""Which scenes a job fetches: tiles, dates, lists and shares, of one service into one dataset."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.step1_index import load_index
from s2pipe.testing import Service, stored
from s2pipe.testing.fake import SQUARE, make_safe
from tests.download.search_support import product_name
from tests.download.test_end_to_end import command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TILES, DAYS = ("33UWP", "33UWQ"), (5, 10, 15)
KEYS = [f"T{tile}/2025-12-{day:02d}T10:03:19Z" for tile in TILES for day in DAYS]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with six scenes of two tiles."""
    held = tmp_path_factory.mktemp("held")
    names = [
        product_name(day, level, tile=tile) for tile in TILES for day in DAYS for level in ("L1C", "L2A")
    ]
    with Service([stored(make_safe(held, name, size=256), footprint=SQUARE) for name in names]) as service:
        yield service


@pytest.fixture
def configuration(tmp_path: Path) -> str:
    document = {
        "download": {
            "query": {
                "tile_ids": [f"T{tile}" for tile in TILES],
                "date_from_utc": "2025-12-01",
                "date_to_utc": "2025-12-31",
            },
            "selection": {"l1c_bands": ["B02"], "l1c_detector_footprint": False},
            "download": {"out_dir": str(tmp_path / "out")},
        }
    }
    path = tmp_path / "download.json"
    path.write_text(json.dumps(document))
    return str(path)


def _fetched(service: Service, configuration: str, *options: str) -> list[str]:
    done = command(service, configuration, "--json", *options)
    assert done.returncode == 0, done.stderr
    result: list[str] = json.loads(done.stdout)["done"]
    return result


def test_tiles_dates_and_lists_choose_scenes(scenes: Service, configuration: str, tmp_path: Path) -> None:
    listed = tmp_path / "scenes.txt"
    listed.write_text(f"{KEYS[2]}\n{KEYS[3]}\n")
    assert _fetched(scenes, configuration, "--tiles", "33UWQ", "--dates", "2025-12-06/..") == KEYS[4:]
    assert _fetched(scenes, configuration, "--scenes", str(listed)) == KEYS[2:4]
    index = load_index(tmp_path / "out/meta/step1/index.json")
    assert [str(scene.key) for scene in index.scenes] == KEYS[2:]
    # Searched for by tile, and nothing of the others was asked for.
    asked = len(scenes.requests("$value"))
    assert _fetched(scenes, configuration, "--tiles", "T33UWQ", "--dates", "2025-12-10") == []
    assert len(scenes.requests("$value")) == asked
    unknown = command(scenes, configuration, "--scenes", "T33UWQ/2025-12-11T10:03:19Z")
    assert "T33UWQ/2025-12-11T10:03:19Z" in unknown.stderr
    assert "to fetch: 0 scene(s)" in unknown.stderr


def test_shares_at_once_fetch_each_scene_once(scenes: Service, configuration: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(
            pool.map(lambda share: _fetched(scenes, configuration, "--shard", share), ("1/3", "2/3", "3/3"))
        )
    assert sorted(key for keys in found for key in keys) == KEYS
    index = load_index(tmp_path / "out/meta/step1/index.json")
    assert [str(scene.key) for scene in index.scenes] == KEYS
    assert all(
        index.file(asset).is_available() for scene in index.scenes for asset in scene.assets if asset.present
    )
    assert not (tmp_path / "out/meta/step1/index.journal").exists()
    assert _fetched(scenes, configuration) == []
    refused = command(scenes, configuration, "--shard", "4/3")
    assert refused.returncode == 2
    assert "expected K/N" in refused.stderr
