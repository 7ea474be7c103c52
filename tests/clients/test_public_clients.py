"""Two independent public clients search the local service and fetch from it: the proof that it is faithful.

They come with the extra ``clients`` and have an environment of their own: ``make test-clients``.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests

from s2pipe.testing import Service, catalogue_only, stored
from s2pipe.testing.fake import L1C, L2A, SQUARE, make_safe

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = "is not installed; `make test-clients` installs it into an environment of its own"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    products = [stored(make_safe(tmp_path / "held", name), footprint=SQUARE) for name in (L1C, L2A)]
    more = [L1C.replace("20251210T1003", f"202512{day:02d}T1003") for day in range(11, 20)]
    rows = [catalogue_only(name, footprint=SQUARE, cloud=90.0) for name in more]
    with Service([*products, *rows], signed=True) as running:
        yield running


def same_files(found: Path, held: Path) -> int:
    files = [path for path in held.rglob("*") if path.is_file()]
    assert all((found / path.relative_to(held)).read_bytes() == path.read_bytes() for path in files)
    return len(files)


@pytest.fixture
def redirected(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send what is meant for the service's own hosts to the local ones: the client's addresses are built in."""
    hosts = {f"{name}.dataspace.copernicus.eu": urlsplit(url) for name, url in service.endpoints.items()}
    real = requests.adapters.HTTPAdapter.send

    def send(self: Any, request: Any, *arguments: Any, **options: Any) -> Any:
        parts = urlsplit(request.url)
        here = hosts.get(parts.hostname)
        if here is not None:
            request.url = urlunsplit((here.scheme, here.netloc, *parts[2:]))
        return real(self, request, *arguments, **options)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    return service


def test_cdsetool_searches_and_fetches(redirected: bool, tmp_path: Path) -> None:
    pytest.importorskip("cdsetool", reason=f"cdsetool {MISSING}")
    from cdsetool.credentials import Credentials
    from cdsetool.download import download_feature
    from cdsetool.query import query_features

    terms = {
        "contentDateStart": "[2025-12-01T00:00:00.000Z,2025-12-31T00:00:00.000Z]",
        "tileIdEq": "33UWQ",
        "productTypeEq": "S2MSI1C",
        "top": 4,
    }
    found = query_features("SENTINEL-2", terms, options={"expand_attributes": True})
    assert len(found) == 10
    assert len(list(found)) == 10
    few = query_features("SENTINEL-2", {**terms, "cloudCover": "[0,40]"})
    (feature,) = list(few)
    assert feature["Name"] == L1C
    inside = {**terms, "geometry": "POLYGON((15.1 47.7,15.2 47.7,15.2 47.8,15.1 47.7))"}
    assert len(query_features("SENTINEL-2", inside)) == 10
    login = "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/.well-known/openid-configuration"
    tokens = redirected.tokens
    account = Credentials(tokens.username, tokens.password, login)
    out = tmp_path / "out"
    options = {"credentials": account, "tmpdir": str(tmp_path)}
    name = download_feature(feature, str(out), {**options, "filter_pattern": "*_B0[24].jp2"})
    assert name == L1C
    held = tmp_path / "held" / L1C
    fetched = list((out / L1C).rglob("*.jp2"))
    assert len(fetched) == 6  # image, footprint and quality mask of two bands
    assert all(path.read_bytes() == (held / path.relative_to(out / L1C)).read_bytes() for path in fetched)
    (whole,) = list(query_features("SENTINEL-2", {"nameEq": L2A}))
    assert download_feature(whole, str(out), options) == f"{L2A}.zip"
    zipfile.ZipFile(out / f"{L2A}.zip").extractall(out)
    assert same_files(out / L2A, tmp_path / "held" / L2A) > 8


def test_eodag_searches_and_fetches(
    redirected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("eodag", reason=f"eodag {MISSING}")
    monkeypatch.setenv("EODAG_CFG_DIR", str(tmp_path / "eodag"))
    monkeypatch.setenv("EODAG_EXT_COLLECTIONS_CFG_URI", "")
    from eodag import EODataAccessGateway

    config = f"""
cop_dataspace:
  priority: 10
  search:
    api_endpoint: {redirected.url("catalogue")}/odata/v1/Products
  download:
    output_dir: {tmp_path / "out"}
    extract: false
  auth:
    credentials:
      username: {redirected.tokens.username}
      password: {redirected.tokens.password}
"""
    path = tmp_path / "eodag.yml"
    path.write_text(config)
    gateway = EODataAccessGateway(user_conf_file_path=str(path))
    found = gateway.search(
        provider="cop_dataspace",
        collection="S2_MSI_L1C",
        start="2025-12-01",
        end="2025-12-31",
        geom={"lonmin": 15.1, "latmin": 47.7, "lonmax": 15.3, "latmax": 47.9},
        count=True,
        limit=4,
        raise_errors=True,
    )
    assert len(found) == 4
    assert found.number_matched == 10
    few = gateway.search(
        provider="cop_dataspace",
        collection="S2_MSI_L1C",
        start="2025-12-01",
        end="2025-12-31",
        raise_errors=True,
        **{"eo:cloud_cover": 40},
    )
    (product,) = list(few)
    assert product.properties["title"] == L1C.removesuffix(".SAFE")
    archive = Path(product.download())
    assert zipfile.is_zipfile(archive)
    zipfile.ZipFile(archive).extractall(tmp_path / "unpacked")
    assert same_files(tmp_path / "unpacked" / L1C, tmp_path / "held" / L1C) > 40
