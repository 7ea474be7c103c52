"""Transfers against a service that fails in every way known: what arrives is right, or is reported."""

from __future__ import annotations

import json
import re
import shutil
import threading
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.dataset.step1_index import Index, load_index
from s2pipe.download.auth import Auth, password_auth
from s2pipe.download.cfg import RetryConfig
from s2pipe.download.files.fetch import FetchOptions, FetchTask, fetch
from s2pipe.download.pipeline import run_download
from s2pipe.download.service.retry import Backoff
from s2pipe.errors import AuthError, DiskFullError, PathEscapeError, S2PipeError
from s2pipe.runtime.hashing import hash_file
from s2pipe.runtime.locks import locked
from s2pipe.testing import Fault, Service, StoredProduct
from s2pipe.testing.fake import L1C, make_safe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s2pipe.download.cfg import PipelineConfig

B02 = "T33UWQ_20251210T100319_B02.jp2"
PLACE = "raw/L1C/tile=T33UWQ/sensing=20251210T100319Z/files"


def assert_right(index: Index) -> int:
    """Every present file matches its checksum and every other is absent; nothing unfinished is left."""
    count = 0
    for scene in index.scenes:
        for asset in scene.assets:
            path = index.file(asset).path
            if asset.present:
                assert path.stat().st_size == asset.size
                assert (
                    asset.checksum is None
                    or hash_file(path, asset.checksum.algorithm) == asset.checksum.value
                )
                count += 1
            else:
                assert not path.exists()
    return count


def parts(root: Path) -> list[Path]:
    return sorted(root.rglob("*.part"))


def test_a_scene_arrives_with_few_requests(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    result = run_download(configure(), auth)
    assert (result.exit_code, len(result.done), len(result.pairs)) == (0, 1, 1)
    index = load_index(result.manifest_path)
    assert assert_right(index) == 7
    assert [asset.role for asset in index.scenes[0].assets] == [
        "l1c.band.B02",
        "l1c.band.B8A",
        "l1c.product_metadata",
        "l1c.tile_metadata",
        "l1c.manifest",
        "l2a.scl_20m",
        "l2a.manifest",
    ]
    assert index.scenes[0].l1c.product_id
    assert index.query["tile_id"] == "33UWQ"
    # Two requests fewer than allowed: manifest.safe is not fetched twice, and nothing is listed.
    assert len(service.requests("download/")) == 7
    assert (service.tokens.logins, service.tokens.refreshes) == (1, 0)
    assert parts(result.manifest_path.parents[2]) == []


def test_a_second_run_fetches_nothing_and_a_wider_selection_only_what_is_new(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    from s2pipe.download.cfg import SelectionConfig

    run_download(configure(), auth)
    seen = len(service.requests("download/"))
    again = run_download(configure(), auth)
    assert (len(again.up_to_date), len(again.done)) == (1, 0)
    assert len(service.requests("download/")) == seen
    assert service.tokens.logins == 1
    wider = SelectionConfig(l1c_bands=("B03",), l1c_detector_footprint=False, l2a_aot_20m=True)
    result = run_download(configure(selection=wider), auth)
    new = {entry.path.split("Nodes(")[-1] for entry in service.requests("download/")[seen:]}
    assert len(new) == 4  # B03, AOT, and the L2A metadata that the first run left out
    assert assert_right(load_index(result.manifest_path)) == 11


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("mode", ["auto", "manifest", "walk"])
def test_files_are_found_out_in_each_way(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], mode: str, cache: Any
) -> None:
    result = run_download(configure(nodes=mode, cache=cache), auth)
    assert result.exit_code == 0
    index = load_index(result.manifest_path)
    assert assert_right(index) == 7
    # Without a manifest nothing states checksums: s2pipe computes its own while the bytes come.
    assert all(asset.checksum is not None for scene in index.scenes for asset in scene.assets)
    assert bool(service.requests("/Nodes"))
    assert (mode == "walk") == any(entry.path.endswith("/Nodes") for entry in service.requests("download/"))
    if mode != "walk":
        assert len(service.requests("download/")) <= 7 + 2 * 2


def test_a_damaged_manifest_is_replaced_by_walking(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.faults.add(Fault("body", f"Nodes({L1C})/Nodes(manifest.safe)", 1, body=b"<xfdu><cut"))
    result = run_download(configure(), auth)
    assert result.exit_code == 0
    assert assert_right(load_index(result.manifest_path)) == 7


@pytest.mark.parametrize(
    "fault",
    [
        Fault("truncate", B02, 2, at=1000),
        Fault("reset", B02, 2, at=1000),
        Fault("status", B02, 2, status=429),
        Fault("status", B02, 2, status=429, headers={"Retry-After": "0"}),
        Fault("status", B02, 2, status=429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        Fault(
            "status",
            B02,
            1,
            status=429,
            body=b'{"code":"DAT-ZIP-100","message":"Max session number exceeded"}',
        ),
        Fault("status", B02, 3, status=500, body=b"<html>Internal Server Error</html>"),
        Fault("status", B02, 3, status=503),
        Fault("status", B02, 1, status=502, headers={"Retry-After": "nonsense"}),
        Fault("expire", B02, 1),
        Fault("corrupt", B02, 1, at=2000),
        Fault("short_length", B02, 1),
        Fault("hang", B02, 1, seconds=2.5),
        Fault("longer", B02, 1),
        Fault("body", B02, 1, body=b'{"code":"DAT-ZIP-1","message":"an error that says 200"}'),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.headers.get('Retry-After', '')}",
)
def test_one_file_survives(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], fault: Any
) -> None:
    service.faults.add(fault)
    result = run_download(configure(read_timeout_s=2.0), auth)
    assert result.exit_code == 0, result.failed
    assert assert_right(load_index(result.manifest_path)) == 7
    assert parts(result.manifest_path.parents[2]) == []


def test_an_unfinished_file_is_resumed_where_it_ended(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.faults.add(Fault("truncate", B02, 1, at=1000))
    run_download(configure(), auth)
    first, second = [entry for entry in service.requests(B02) if entry.method == "GET"]
    assert (first.range, first.sent, second.range, second.status) == (None, 1000, "bytes=1000-", 206)


def test_without_ranges_it_starts_again(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.supports_ranges = False
    service.faults.add(Fault("truncate", B02, 1, at=1000))
    result = run_download(configure(), auth)
    assert result.exit_code == 0
    assert [entry.status for entry in service.requests(B02)] == [200, 200]


def test_another_range_than_asked_for_is_not_used(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.faults.add(Fault("truncate", B02, 1, at=1000), Fault("wrong_range", B02, 1))
    result = run_download(configure(), auth)
    assert result.exit_code == 0
    assert assert_right(load_index(result.manifest_path)) == 7


def test_a_range_that_the_service_does_not_have_starts_the_file_again(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.faults.add(Fault("truncate", B02, 1, at=1000), Fault("status", B02, 1, status=416))
    result = run_download(configure(), auth)
    assert result.exit_code == 0
    assert [entry.range for entry in service.requests(B02)] == [None, "bytes=1000-", None]


def test_a_wrong_checksum_is_fetched_once_more_then_put_aside_and_reported(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.faults.add(Fault("corrupt", B02, None, at=2000))
    result = run_download(configure(), auth)
    assert result.exit_code == 1
    assert "arrived twice with wrong content" in result.failed[0].error
    assert len(service.requests(B02)) == 2
    index = load_index(result.manifest_path)
    assert assert_right(index) == 6
    assert not index.scenes[0].asset("l1c.band.B02").present
    (kept,) = (result.manifest_path.parent / "quarantine").rglob(B02)
    assert kept.stat().st_size == index.scenes[0].asset("l1c.band.B02").size
    service.faults.clear()
    seen = len(service.requests("download/"))
    again = run_download(configure(), auth)
    assert again.exit_code == 0
    assert len(service.requests("download/")) == seen + 1
    assert assert_right(load_index(result.manifest_path)) == 7


@pytest.mark.parametrize("change", ["checksum", "size", "path", "role"])
def test_a_kept_manifest_that_is_not_what_is_served_is_fetched_again(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], change: str
) -> None:
    first = run_download(configure(), auth)
    root = first.manifest_path.parents[2]
    kept = root / "meta/step1/products" / f"{L1C.removesuffix('.SAFE')}.manifest.safe"
    right = kept.read_bytes()
    asset = load_index(first.manifest_path).scenes[0].asset("l1c.band.B02")
    before, after = {
        "checksum": (asset.checksum.value, "0" * len(asset.checksum.value)),
        "size": (f'size="{asset.size}"', f'size="{asset.size + 1}"'),
        "path": (asset.product_path, asset.product_path.replace("T33UWQ_2", "T33UWQ_1")),
        "role": (asset.product_path, asset.product_path.replace("_B02", "X_B02")),
    }[change]
    wrong = re.sub(re.escape(before.encode()), after.encode(), right, flags=re.IGNORECASE)
    assert wrong != right
    kept.write_bytes(wrong)
    shutil.rmtree(root / "raw")
    first.manifest_path.unlink()
    seen = len(service.requests("Nodes(manifest.safe)"))
    again = run_download(configure(), auth)
    assert again.exit_code == 0
    assert kept.read_bytes() == right
    assert len(service.requests("Nodes(manifest.safe)")) == seen + 1
    assert assert_right(load_index(again.manifest_path)) == 7
    assert (root / PLACE / "manifest.safe").read_bytes() == right
    assert list((root / "meta/step1/quarantine").rglob("*.jp2")) == []


def test_a_fresh_manifest_is_not_fetched_again(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.faults.add(Fault("corrupt", B02, None, at=2000))
    for manifests in (2, 3, 4):  # those of L1C and L2A, then that of L1C once a run
        assert run_download(configure(), auth).exit_code == 1
        assert len(service.requests("Nodes(manifest.safe)")) == manifests


def test_the_next_run_sweeps_what_killed_ones_left(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path
) -> None:
    planned = run_download(configure(dry_run=True), auth)
    root = tmp_path / "out"
    files = root / PLACE
    steps = root / "meta/step1"
    names = (
        *(files / f"{B02}.0123456789ab.part", files / ".manifest.abcd_123.safe"),
        *(steps / ".index.abcd_123.json", steps / "products/.x.manifest.abcd_123.safe"),
        *(steps / "runs/killed/.manifest.abcd_123.json", steps / "runs/killed/.table.abcd_123.csv"),
    )
    kept = [files / f"{B02}.part", files / "notes.txt", steps / ".mine"]
    for path in (*names, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert run_download(configure(), auth).exit_code == 0
    assert [path for path in names if path.exists()] == []
    assert all(path.exists() for path in kept)
    assert assert_right(load_index(planned.manifest_path)) == 7
    late = files / f"{B02}.0123456789ab.part"
    late.write_bytes(b"half")
    with locked(steps / "locks/T33UWQ_20251210T100319Z.lock"):
        assert run_download(configure(), auth).exit_code == 0
        assert late.exists()
    assert run_download(configure(), auth).exit_code == 0
    assert not late.exists()


def test_an_unfinished_file_of_another_selection_stays(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.faults.add(Fault("truncate", B02, None, at=1000))
    failed = run_download(configure(), auth)
    (part,) = parts(failed.manifest_path.parents[2])
    narrow = replace(configure().selection, l1c_bands=("B8A",))
    assert run_download(configure(selection=narrow), auth).exit_code == 0
    held = part.stat().st_size
    service.faults.clear()
    assert run_download(configure(), auth).exit_code == 0
    assert service.requests(B02)[-1].range == f"bytes={held}-"


def test_one_failed_scene_leaves_the_others_complete(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path
) -> None:
    from s2pipe.testing import stored

    other = L1C.replace("20251210T1", "20251215T1")
    service.add(
        *(stored(make_safe(tmp_path / "held", name)) for name in (other, other.replace("MSIL1C", "MSIL2A")))
    )
    service.faults.add(Fault("status", B02, None, status=500))
    result = run_download(configure(), auth)
    assert result.exit_code == 1
    assert ([str(key) for key in result.done], len(result.failed)) == (["T33UWQ/2025-12-15T10:03:19Z"], 1)
    assert "given up after 4 attempt(s): the service failed (500)" in result.failed[0].error
    assert assert_right(load_index(result.manifest_path)) == 13
    document = json.loads(result.run_manifest_path.read_text())
    assert document["status"] == "failed"
    assert sorted(s["status"] for s in document["scenes"]) == [
        "done",
        "failed",
    ]


def test_a_product_deleted_since_the_search_fails_its_scene(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.products[next(key for key, p in service.products.items() if p.name == L1C)].root = None
    result = run_download(configure(), auth)
    assert "deleted or replaced since the search" in result.failed[0].error
    assert result.exit_code == 1


def test_a_token_that_ends_again_and_again_is_renewed_by_one_worker(
    pair: list[StoredProduct], configure: Callable[..., PipelineConfig], service: Service, auth: Auth
) -> None:
    service.tokens.life_s = 0.25
    service.rate, service.piece = 20_000, 512
    result = run_download(configure(), auth)
    assert result.exit_code == 0
    assert service.tokens.logins == 1
    assert service.tokens.refreshes >= 1
    used = {entry.authorization for entry in service.requests("$value")}
    assert len(used) <= 1 + service.tokens.refreshes


def test_a_lost_session_is_opened_anew(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    run_download(configure(), auth)
    service.tokens.close_sessions()
    result = run_download(configure(overwrite=True), auth)
    assert result.exit_code == 0
    assert service.tokens.logins == 2


def test_a_wrong_password_is_tried_once_and_ends_the_run(
    service: Service, configure: Callable[..., PipelineConfig]
) -> None:
    with pytest.raises(AuthError, match="refused user name or password") as caught:
        run_download(configure(), password_auth(service.tokens.username, "battery staple"))
    assert "battery" not in str(caught.value)
    assert len(service.requests("token")) == 1
    assert not service.requests("$value")


def test_a_second_factor_is_needed_and_sent(
    service: Service, configure: Callable[..., PipelineConfig]
) -> None:
    service.tokens.totp = "123456"
    with pytest.raises(AuthError, match="CDSE_TOTP"):
        run_download(configure(), password_auth(service.tokens.username, service.tokens.password))
    result = run_download(
        configure(), password_auth(service.tokens.username, service.tokens.password, "123456")
    )
    assert result.exit_code == 0


def test_a_wrong_audience_ends_the_run_at_once(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    body = b'{"code":"DAT-ZIP-609","message":"Token audience not allowed"}'
    service.faults.add(Fault("status", B02, None, status=401, body=body))
    with pytest.raises(AuthError, match="DAT-ZIP-609"):
        run_download(configure(), auth)
    assert len(service.requests(B02)) == 1
    index = load_index(configure().download.out_dir / "meta/step1/index.json")
    assert_right(index)


def test_no_more_than_four_connections_at_a_time(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    from s2pipe.download.cfg import SelectionConfig

    service.rate, service.piece = 200_000, 1024
    result = run_download(configure(selection=SelectionConfig()), auth)
    assert result.exit_code == 0
    assert 3 <= service.most_at_once <= 4


def test_a_full_disk_is_a_clear_error_and_keeps_what_is_there(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    make_safe(tmp_path / "held", L1C, size=200_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # Python ignores the signal
    try:
        with pytest.raises(DiskFullError, match="the disk is full"):
            run_download(configure(concurrency=1), auth)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    index = tmp_path / "out/meta/step1/index.json"
    assert not index.exists() or assert_right(load_index(index)) < 7
    assert [part.stat().st_size for part in parts(tmp_path / "out")] == [100_000]
    result = run_download(configure(), auth)
    assert result.exit_code == 0
    assert assert_right(load_index(result.manifest_path)) == 7


def test_two_runs_at_once_share_the_work(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.rate, service.piece = 100_000, 1024
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(run_download(configure(), auth))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.exit_code for result in results] == [0, 0]
    assert assert_right(load_index(results[0].manifest_path)) == 7
    # Two runs know nothing of each other's connections, so the service may complain of too many.
    assert [entry.status for entry in service.requests(B02) if entry.status != 429] == [200]


@pytest.mark.parametrize("algorithm", ["MD5", "SHA3-256"])
def test_checksums_of_every_age_are_checked(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path, algorithm: str
) -> None:
    root = make_safe(tmp_path / "held", L1C, algorithm=algorithm)
    assert root.exists()
    result = run_download(configure(), auth)
    b02 = load_index(result.manifest_path).scenes[0].asset("l1c.band.B02")
    assert (b02.checksum.algorithm, b02.checksum.value) == (
        algorithm,
        hash_file(result.manifest_path.parents[2] / b02.path, algorithm),
    )


def test_verify_finds_sets_aside_and_replaces_a_damaged_file(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    result = run_download(configure(), auth)
    root = result.manifest_path.parents[2]
    good = (root / PLACE / B02).read_bytes()
    (root / PLACE / B02).write_bytes(good[:-1] + b"?")
    assert run_download(configure(), auth).exit_code == 0  # size and index agree: nothing is noticed
    dry = run_download(configure(verify=True, dry_run=True), auth)
    assert dry.exit_code == 1
    assert dry.damaged == [f"{PLACE}/{B02}"]
    assert (root / PLACE / B02).exists()
    seen = len(service.requests("download/"))
    fixed = run_download(configure(verify=True), auth)
    assert fixed.exit_code == 0
    assert len(service.requests("download/")) == seen + 1
    assert (root / PLACE / B02).read_bytes() == good
    assert list((root / "meta/step1/quarantine").rglob(B02))


def test_files_of_others_are_neither_moved_nor_removed(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    result = run_download(configure(), auth)
    root = result.manifest_path.parents[2]
    mine = [root / "notes.txt", root / PLACE / f"{B02}.mine.part"]
    for path in mine:
        path.write_bytes(b"mine")
    document = json.loads(result.manifest_path.read_text())
    document.pop("document_sha256", None)
    asset = next(
        item for item in document["scenes"][0]["files_l1c"]["items"] if item["role"] == "l1c.band.B02"
    )
    asset |= {"path": "notes.txt"}
    result.manifest_path.write_text(json.dumps(document))
    again = run_download(configure(verify=True, overwrite=True), auth)
    assert again.damaged == ["notes.txt"]
    assert all(path.read_bytes() == b"mine" for path in mine)


def test_nothing_is_fetched_through_links(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path
) -> None:
    result = run_download(configure(), auth)
    root, outside = result.manifest_path.parents[2], tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"mine")
    good = (root / PLACE / B02).read_bytes()
    (root / PLACE / B02).unlink()
    (root / PLACE / B02).symlink_to(outside / "kept")  # a link in a file's place is replaced
    assert run_download(configure(), auth).exit_code == 0
    assert (root / PLACE / B02).read_bytes() == good
    assert not (root / PLACE / B02).is_symlink()
    shutil.rmtree(root / PLACE)
    (root / PLACE).symlink_to(outside)
    refused = run_download(configure(overwrite=True), auth)
    assert refused.exit_code == 1
    assert "leads out of" in refused.failed[0].error
    shutil.rmtree(root / "raw")
    (root / "raw").symlink_to(outside)
    with pytest.raises(PathEscapeError, match="leads out of"):
        run_download(configure(), auth)
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("kept", b"mine")]


def test_an_unfinished_file_is_no_link(tmp_path: Path) -> None:
    task = FetchTask("a", "http://localhost/a", tmp_path / "a", tmp_path / "q", 4, None, 4)
    (tmp_path / "mine").write_bytes(b"mine alone")
    task.part.symlink_to(tmp_path / "mine")
    backoff = Backoff(RetryConfig(), threading.Event())
    options = FetchOptions(lambda *_: nullcontext(), lambda: backoff, 10, False, lambda _: None)
    with pytest.raises(S2PipeError, match="cannot be written"):
        fetch(task, options)
    assert (tmp_path / "mine").read_bytes() == b"mine alone"


def test_a_file_that_vanished_is_fetched_again(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    result = run_download(configure(), auth)
    path = result.manifest_path.parents[2] / PLACE / B02
    path.unlink()
    assert len(run_download(configure(), auth).done) == 1
    assert path.exists()


def test_a_size_that_no_disk_holds_stops_before_anything_is_fetched(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    held = next(p for p in service.products.values() if p.name == L1C)
    text = (held.root / "manifest.safe").read_bytes()
    held.overrides["manifest.safe"] = text.replace(b'size="4108"', b'size="900000000000"')
    with pytest.raises(DiskFullError, match="nothing was fetched: make room"):
        run_download(configure(), auth)
    assert not service.requests(B02)


def test_newer_products_replace_older_ones(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path
) -> None:
    from s2pipe.testing import stored

    run_download(configure(), auth)
    newer = L1C.replace("N0511", "N0512")
    service.add(stored(make_safe(tmp_path / "held", newer, seed=1)))
    dry = run_download(configure(dry_run=True), auth)
    assert load_index(dry.manifest_path).scenes[0].l1c.product_name == L1C  # a dry run forgets no files
    result = run_download(configure(), auth)
    (scene,) = load_index(result.manifest_path).scenes
    assert scene.l1c.product_name == newer
    assert assert_right(load_index(result.manifest_path)) == 7
    assert (L1C, f"is superseded by {newer}") in result.passed_over


def test_the_service_tells_wrong_passwords(service: Service) -> None:
    import requests

    url = service.url("identity") + "/auth/realms/CDSE/protocol/openid-connect/token"
    answer = requests.post(
        url, data={"client_id": "cdse-public", "grant_type": "password", "username": "x"}, timeout=5
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_grant")


def test_every_role_can_be_selected(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    from s2pipe.download.cfg import SelectionConfig
    from s2pipe.sentinel2.bands import BAND_NAMES

    everything = SelectionConfig(
        l1c_quality=True,
        l1c_classification=True,
        l2a_aot_20m=True,
        l2a_wvp_20m=True,
        l2a_bands=("B04_10m", "B04_20m", "B8A_20m"),
        l2a_cloud_probability_20m=True,
        l2a_snow_probability_20m=True,
    )
    result = run_download(configure(selection=everything), auth)
    roles = {asset.role for asset in result.scenes[0].assets}
    assert result.exit_code == 0
    assert len(roles) == 3 * len(BAND_NAMES) + 4 + 11
    all_rasters = SelectionConfig(l2a_bands=("B01_60m",))
    failed = run_download(configure(selection=all_rasters), auth)
    assert "has no file for l2a.band.B01_60m" in failed.failed[0].error


def test_l1c_alone_asks_for_no_l2a(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    from s2pipe.download.cfg import SelectionConfig

    result = run_download(configure(selection=SelectionConfig(l1c_bands=("B02",), l2a=False)), auth)
    assert result.exit_code == 0
    assert result.scenes[0].l2a is None
    assert not any("S2MSI2A" in entry.path for entry in service.requests("catalogue"))


def test_an_interrupted_run_says_so_and_keeps_what_it_has(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    import os
    import signal
    import time

    service.rate, service.piece = 5_000, 256
    # A shell that runs the tests in the background has them ignore interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt() -> None:
        while not service.requests(B02):
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_download(configure(concurrency=2), auth)
    finally:
        signal.signal(signal.SIGINT, before)
    root = configure().download.out_dir
    (path,) = (root / "meta/step1/runs").glob("*/manifest.json")
    assert json.loads(path.read_text())["status"] == "interrupted"
    assert_right(load_index(root / "meta/step1/index.json"))
    service.rate = None
    assert run_download(configure(), auth).exit_code == 0


def test_a_directory_that_cannot_be_written_is_a_clear_error(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path
) -> None:
    from s2pipe.errors import S2PipeError

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(S2PipeError, match="cannot be written"):
        run_download(configure(out_dir=tmp_path / "file"), auth)


def test_a_dry_run_without_listings_knows_the_size_of_the_whole_product(
    service: Service, auth: Auth, configure: Callable[..., PipelineConfig]
) -> None:
    service.faults.add(Fault("status", "/Nodes", None, status=403))
    result = run_download(configure(dry_run=True, nodes="walk"), auth)
    assert result.totals["bytes_are_upper_bound"]
    assert result.up_to_date == []
    assert result.totals["bytes_to_fetch"] == sum(p.row["ContentLength"] for p in service.products.values())
    document = json.loads(result.run_manifest_path.read_text())
    assert (document["status"], document["scenes"][0]["status"]) == ("planned", "planned")
    assert not service.requests("identity/")
    assert not service.requests("$value")
