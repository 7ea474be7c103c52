"""A service with one small scene, and configurations that point to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.download.auth import Auth, password_auth
from s2pipe.download.cfg import (
    DownloadConfig,
    EndpointsConfig,
    ManifestConfig,
    NodesIndexConfig,
    PipelineConfig,
    QueryConfig,
    RetryConfig,
    RunControlConfig,
    SelectionConfig,
)
from s2pipe.testing import Service, StoredProduct, stored
from s2pipe.testing.fake import L1C, L2A, SQUARE, make_safe

if TYPE_CHECKING:
    from pathlib import Path

QUICK = RetryConfig(max_attempts=4, base_delay_s=0.01, max_delay_s=0.3)
FEW = SelectionConfig(
    l1c_bands=("B02", "B8A"),
    l1c_detector_footprint=False,
    l2a_tile_metadata=False,
    l2a_product_metadata=False,
)
"""Six L1C files (two bands, two metadata, manifest) and two of L2A."""


@pytest.fixture
def pair(tmp_path: Path) -> list[StoredProduct]:
    """One scene: an L1C and an L2A product."""
    held = tmp_path / "held"
    return [stored(make_safe(held, name), footprint=SQUARE) for name in (L1C, L2A)]


@pytest.fixture
def service(pair: list[StoredProduct]) -> Iterator[Service]:
    with Service(pair) as running:
        yield running


@pytest.fixture
def auth(service: Service) -> Auth:
    return password_auth(service.tokens.username, service.tokens.password)


Make = Callable[..., PipelineConfig]


@pytest.fixture
def configure(service: Service, tmp_path: Path) -> Make:
    """Return a function that makes configurations for the service."""

    def make(
        *,
        query: dict[str, Any] | None = None,
        selection: SelectionConfig = FEW,
        nodes: str = "auto",
        cache: bool = True,
        max_scenes: int | None = None,
        manifest: ManifestConfig | None = None,
        **download: Any,
    ) -> PipelineConfig:
        asked = {
            "tile_id": "33UWQ",
            "date_from_utc": "2025-12-01",
            "date_to_utc": "2025-12-31",
            **(query or {}),
        }
        given = {"out_dir": tmp_path / "out", "retry": QUICK, "read_timeout_s": 20.0, **download}
        return PipelineConfig(
            query=QueryConfig(**asked),
            selection=selection,
            nodes_index=NodesIndexConfig(mode=nodes, cache=cache),  # type: ignore[arg-type]
            download=DownloadConfig(endpoints=EndpointsConfig(**service.endpoints), **given),
            control=RunControlConfig(max_scenes=max_scenes),
            manifest=manifest or ManifestConfig(),
        )

    return make
