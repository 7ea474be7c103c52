"""A service that means harm: nothing leaves the output directory, the token goes nowhere, errors are clear."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.download.auth import Auth, password_auth
from s2pipe.download.pipeline import run_download
from s2pipe.errors import S2PipeError, ServiceError, UntrustedServerError
from s2pipe.testing import Fault, Service
from s2pipe.testing.fake import L1C, manifest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s2pipe.download.cfg import PipelineConfig

SEARCH = "catalogue/odata/v1/Products?"
MANIFEST = f"Nodes({L1C})/Nodes(manifest.safe)"
B02 = "T33UWQ_20251210T100319_B02.jp2"
GRANULE = "GRANULE/L1C_T33UWQ_A045678_20251210T100319"


def outside(tmp_path: Path) -> list[str]:
    """Files beside the output directory and what the service holds."""
    own = {"out", "held"}
    return [path.name for path in tmp_path.iterdir() if path.name not in own]


def tokens_seen_by(stranger: Service) -> list[str]:
    return [entry.authorization for entry in stranger.log if entry.authorization]


@pytest.fixture
def stranger() -> Iterator[Service]:
    """Another host that would like to see a token."""
    with Service([]) as running:
        yield running


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_host_is_refused(
    service: Service, stranger: str, auth: Auth, configure: Callable[..., PipelineConfig], status: int
) -> None:
    service.faults.add(
        Fault("redirect", B02, None, status=status, location=f"{stranger.url('download')}/steal")
    )
    result = run_download(configure(), auth)
    assert "points to another host" in result.failed[0].error
    assert stranger.log == []


@pytest.mark.parametrize(
    "location", ["http://user@127.0.0.1/", "file:///etc/passwd", "", "http://[", "//other.invalid/x"]
)
def test_a_redirect_to_nowhere_is_a_clear_error(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], location: Any
) -> None:
    service.faults.add(Fault("redirect", B02, None, location=location))
    result = run_download(configure(), auth)
    assert result.exit_code == 1
    assert result.failed[0].error


def test_a_redirect_within_the_service_is_followed_and_the_token_stays_with_its_host(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    there = next(p for p in service.products.values() if p.name == L1C)
    path = f"/odata/v1/Products({there.id})/Nodes({L1C})/Nodes(MTD_MSIL1C.xml)/$value"
    service.faults.add(
        Fault("redirect", "Nodes(MTD_MSIL1C.xml)", 1, location=service.url("catalogue") + path)
    )
    assert run_download(configure(), auth).exit_code == 0
    assert [entry.authorization for entry in service.requests("catalogue")] == [None] * len(
        service.requests("catalogue")
    )
    assert len(service.requests("MTD_MSIL1C.xml")) == 3


def test_a_next_page_on_another_host_is_refused(
    service: Service, stranger: str, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    page = {
        "value": [],
        "@odata.count": 7,
        "@odata.nextLink": stranger.url("catalogue") + "/odata/v1/Products?x",
    }
    service.faults.add(Fault("body", SEARCH, None, body=json.dumps(page).encode()))
    with pytest.raises(UntrustedServerError, match="next page is on another host"):
        run_download(configure(), auth)
    assert stranger.log == []


def test_the_login_is_sent_to_no_other_host(
    service: Service, stranger: str, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.faults.add(Fault("redirect", "identity/", None, status=307, location=stranger.url("identity")))
    with pytest.raises(UntrustedServerError, match="redirects"):
        run_download(configure(), auth)
    assert stranger.log == []


NAMES = {
    "parent": "../../../../evil.jp2",
    "absolute": "/tmp/evil.jp2",
    "windows": "C:\\evil.jp2",
    "back slashes": "..\\..\\evil.jp2",
    "tab": f"{GRANULE}/IMG_DATA/T33UWQ_20251210T100319_B02.jp2&#9;",
    "long": f"{GRANULE}/IMG_DATA/{'x' * 300}.jp2",
    "very long": "x" * 5000,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_hostile_name_in_a_manifest_is_refused(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path, name: str
) -> None:
    held = next(p for p in service.products.values() if p.name == L1C)
    held.overrides["manifest.safe"] = manifest_of({name: b"x"})
    result = run_download(configure(), auth)
    assert len(result.failed) == 1
    assert not service.requests("evil")
    assert outside(tmp_path) == []
    assert not Path("/tmp/evil.jp2").exists()


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "a\0b", "x" * 300, "..", ".", "", "a\\..\\b", "GRANULE/../.."]
)
def test_a_hostile_name_in_a_listing_is_refused(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path, name: str
) -> None:
    listing = {"result": [{"Name": name, "ContentLength": 0, "ChildrenNumber": 3}]}
    service.faults.add(Fault("body", "/Nodes", None, body=json.dumps(listing).encode()))
    service.faults.add()
    result = run_download(configure(nodes="walk"), auth)
    assert len(result.failed) == 1
    assert outside(tmp_path) == []


@pytest.mark.parametrize("field", ["Id", "Name"])
@pytest.mark.parametrize(
    "value", ["../../x", "/etc/passwd", "a\0b", "x" * 4000, "", 7, None, "S2A_MSIL1C_x/../../y.SAFE"]
)
def test_a_hostile_product_is_refused(
    service: Service,
    auth: Auth,
    configure: Callable[..., PipelineConfig],
    tmp_path: Path,
    field: str,
    value: Any,
) -> None:
    row = dict(next(p for p in service.products.values() if p.name == L1C).row)
    row[field] = value
    page = {"value": [row], "@odata.count": 1}
    service.faults.add(Fault("body", SEARCH, None, body=json.dumps(page).encode()))
    try:
        result = run_download(configure(), auth)
    except ServiceError:
        pass
    else:
        assert result.pairs == []
    assert outside(tmp_path) == []
    assert not service.requests("download/")


BODIES = {
    "html": b"<html>hello</html>",
    "cut": b'{"value": [',
    "deep": b"[" * 200_000,
    "no list": b'{"value": 3}',
    "rows": b'{"value": [1, 2]}',
    "null": b"null",
    "number": b"1" * 10_000,
    "count": b'{"value": [], "@odata.count": "many"}',
    "short list": b'{"value": [], "@odata.count": 3}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_nonsense_from_the_catalogue_is_a_clear_error(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], body: bytes
) -> None:
    service.faults.add(Fault("body", SEARCH, None, body=body))
    with pytest.raises(ServiceError, match=r"search for L1C of T33UWQ"):
        run_download(configure(), auth)
    assert not (configure().download.out_dir / "raw").exists()


def test_a_gzip_bomb_is_refused_unread(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    bomb = gzip.compress(b"0" * (300 << 20), 9)
    service.faults.add(Fault("gzip", SEARCH, None, body=bomb))
    tracemalloc.start()
    with pytest.raises(ServiceError, match="larger than"):
        run_download(configure(), auth)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 << 20
    for place in (MANIFEST, B02):
        service.faults.clear()
        service.faults.add(Fault("gzip", place, None, body=bomb))
        result = run_download(configure(nodes="manifest"), auth)
        assert "packs" in result.failed[0].error or "larger" in result.failed[0].error


@pytest.mark.parametrize("place", [SEARCH, MANIFEST, B02])
def test_an_endless_body_ends(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], place: str
) -> None:
    service.faults.add(Fault("endless", place, None))
    error: ServiceError | None = None
    try:
        result = run_download(configure(nodes="manifest"), auth)
    except ServiceError as raised:
        error = raised
    assert ("larger than" in str(error)) if error is not None else (result.exit_code == 1)
    assert sum(entry.sent for entry in service.requests(place)) < 200 << 20


def test_an_absurd_length_is_refused(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.faults.add(Fault("body", B02, None, headers={"Content-Length": "9" * 30}))
    result = run_download(configure(), auth)
    assert "the service announces" in result.failed[0].error
    service.faults.clear()
    service.faults.add(Fault("body", SEARCH, None, headers={"Content-Length": str(1 << 60)}))
    with pytest.raises(ServiceError, match="more than"):
        run_download(configure(), auth)


ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">'
    b'<!ENTITY f SYSTEM "file:///etc/passwd">]><x><dataObjectSection><dataObject><byteStream size="1">'
    b'<fileLocation href="./&b;&f;"/></byteStream></dataObject></dataObjectSection></x>'
)


def test_xml_with_entities_is_refused(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    held = next(p for p in service.products.values() if p.name == L1C)
    held.overrides["manifest.safe"] = ENTITIES
    result = run_download(configure(nodes="manifest"), auth)
    assert "document types and entities are refused" in result.failed[0].error


def test_nothing_secret_is_ever_written_or_said(
    service: Service,
    configure: Callable[..., PipelineConfig],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(10)
    auth = password_auth(service.tokens.username, service.tokens.password)
    said = [repr(auth), repr(auth.credentials())]
    service.faults.add(Fault("truncate", B02, 2, at=100), Fault("status", "MTD_TL", None, status=500))
    run_download(configure(), auth)
    service.faults.clear()
    service.faults.add(Fault("status", B02, None, status=401, body=b'{"code":"DAT-ZIP-609"}'))
    with pytest.raises(S2PipeError) as caught:
        run_download(configure(overwrite=True), auth)
    import traceback

    said += ["".join(traceback.format_exception(caught.value)), caplog.text]
    said += [entry.path for entry in service.log]
    said += [path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    text = "\n".join(said)
    for secret in (
        service.tokens.username,
        service.tokens.password,
        "correct+horse",
        *service.tokens.handed_out,
    ):
        assert secret not in text
