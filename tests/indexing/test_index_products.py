"""Indexing products that are on disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from s2pipe.cli import main
from s2pipe.dataset.step1_index import index_path, load_index
from s2pipe.dataset.verification import Verification
from s2pipe.errors import ChecksumError, MetadataError, PathEscapeError, ProductError
from s2pipe.indexing.links import conflict, link
from s2pipe.indexing.run import index_products, verify_index
from s2pipe.sentinel2.safe import ProductName
from tests.paths import SHARED_DATA

DATA = SHARED_DATA
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real products are not in {DATA}")

L1C = "S2B_MSIL1C_20251210T100319_N0511_R122_T33UWQ_20251212T162649"
L2A = "S2B_MSIL2A_20251210T100319_N0511_R122_T33UWQ_20251212T171501"


def make_product(parent: Path, name: str = L1C, *, folder: str | None = None, seed: bytes = b"") -> Path:
    """Write a SAFE directory of a few small files with their manifest."""
    product = ProductName.parse(name)
    granule = f"GRANULE/{product.level}_{product.tile_id}_A045678_20251210T100316"
    stem = f"{product.tile_id}_20251210T100319"
    roots = {"L1C": "Level-1C_User_Product", "L2A": "Level-2A_User_Product"}
    metadata = (
        f'<n1:{roots[product.level]} xmlns:n1="urn:x"><n1:General_Info><Product_Info>'
        f"<PRODUCT_URI>{product.safe_name}</PRODUCT_URI></Product_Info></n1:General_Info>"
        "<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>16.5</Cloud_Coverage_Assessment>"
        f"</n1:Quality_Indicators_Info></n1:{roots[product.level]}>"
    )
    files = {f"MTD_MSI{product.level}.xml": metadata.encode(), f"{granule}/MTD_TL.xml": b"<tile/>" + seed}
    if product.level == "L1C":
        for band in ("B02", "B8A"):
            files[f"{granule}/IMG_DATA/{stem}_{band}.jp2"] = f"{name} {band}".encode() + seed
        files[f"{granule}/QI_DATA/MSK_DETFOO_B02.jp2"] = b"footprint"
    else:
        files[f"{granule}/IMG_DATA/R20m/{stem}_SCL_20m.jp2"] = b"classes"
    root = parent / (folder or product.safe_name)
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    # Real manifests mix the case of their checksums.
    objects = "".join(
        f'<dataObject><byteStream size="{len(content)}"><fileLocation href="./{path}"/>'
        f'<checksum checksumName="SHA3-256">{_hex(content, upper=n % 2 == 1)}</checksum></byteStream></dataObject>'
        for n, (path, content) in enumerate(files.items())
    )
    (root / "manifest.safe").write_text(
        f"<x:XFDU xmlns:x='y'><dataObjectSection>{objects}</dataObjectSection></x:XFDU>"
    )
    return root


def _hex(content: bytes, *, upper: bool) -> str:
    digest = hashlib.sha3_256(content).hexdigest()
    return digest.upper() if upper else digest


def zip_product(product: Path, archive: Path, *, prefix: str | None = None) -> Path:
    """Pack a SAFE directory; the prefix is that of its members."""
    top = f"{product.name}/" if prefix is None else prefix
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(path for path in product.rglob("*") if path.is_file()):
            packed.write(file, top + file.relative_to(product).as_posix())
    return archive


def tree(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*")) if root.exists() else []


def test_a_pair_becomes_one_scene_of_links(tmp_path: Path) -> None:
    l1c, l2a = make_product(tmp_path, L1C), make_product(tmp_path, L2A)
    result = index_products([l1c, l2a], tmp_path / "out", verify=True)
    assert (result.changed, result.warnings, result.passed_over, result.verification) == (
        True,
        (),
        (),
        Verification(by_checksum=8),
    )
    (scene,) = load_index(result.index_path).scenes
    assert (scene.key.tile_id, scene.key.sensing_start_utc) == ("T33UWQ", "2025-12-10T10:03:19Z")
    assert (scene.l1c.product_name, scene.l1c.baseline, scene.l1c.rel_orbit) == (
        f"{L1C}.SAFE",
        "N0511",
        "R122",
    )
    assert (scene.l1c.product_id, scene.l1c.cloud_cover, scene.l2a.product_name) == (
        None,
        16.5,
        f"{L2A}.SAFE",
    )
    assert [asset.role for asset in scene.assets] == [
        "l1c.band.B02",
        "l1c.band.B8A",
        "l1c.product_metadata",
        "l1c.tile_metadata",
        "l1c.manifest",
        "l1c.detector_footprint.B02",
        "l2a.scl_20m",
        "l2a.product_metadata",
        "l2a.tile_metadata",
        "l2a.manifest",
    ]
    b02 = scene.asset("l1c.band.B02")
    place = "raw/L1C/tile=T33UWQ/sensing=20251210T100319Z/files"
    assert (b02.path, scene.files_l1c.root_dir) == (f"{place}/T33UWQ_20251210T100319_B02.jp2", place)
    assert (b02.planned, b02.present, b02.checksum.algorithm) == (False, True, "SHA3-256")
    link = result.index.file(b02).path
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == (l1c / b02.product_path).resolve()
    assert link.stat().st_size == b02.size
    assert verify_index(result.index).by_checksum == 8


def test_indexing_again_changes_nothing(tmp_path: Path) -> None:
    make_product(tmp_path / "products", L1C)
    first = index_products([tmp_path / "products"], tmp_path / "out")
    before = first.index_path.read_bytes(), first.index_path.stat().st_mtime_ns, tree(tmp_path / "out")
    again = index_products([tmp_path / "products"], tmp_path / "out", verify=True)
    assert not again.changed
    assert (
        first.index_path.read_bytes(),
        first.index_path.stat().st_mtime_ns,
        tree(tmp_path / "out"),
    ) == before


def test_an_index_is_extended(tmp_path: Path) -> None:
    index_products([make_product(tmp_path, L1C)], tmp_path / "out")
    other = L1C.replace("T33UWQ", "T33UXQ")
    result = index_products([make_product(tmp_path, L2A), make_product(tmp_path, other)], tmp_path / "out")
    first, second = result.index.scenes
    assert (first.key.tile_id, second.key.tile_id) == ("T33UWQ", "T33UXQ")
    assert first.l1c is not None
    assert first.l2a is not None
    assert second.l2a is None


@pytest.mark.parametrize("prefix", [None, ""])
def test_a_zip_is_linked_whole(tmp_path: Path, prefix: str) -> None:
    product = make_product(tmp_path, L1C)
    archive = zip_product(product, tmp_path / "download.zip", prefix=prefix)
    result = index_products([archive], tmp_path / "out", verify=True)
    assert (result.verified_files, result.warnings) == (5, ())
    (scene,) = result.index.scenes
    b02 = scene.asset("l1c.band.B02")
    assert b02.path == f"raw/L1C/tile=T33UWQ/sensing=20251210T100319Z/files/{L1C}.zip"
    assert b02.member == (product.name + "/" if prefix is None else "") + b02.product_path
    assert result.index.file(b02).read() == (product / b02.product_path).read_bytes()
    assert all(result.index.file(asset).is_available() for asset in scene.assets)
    assert len([name for name in tree(tmp_path / "out" / "raw") if name.endswith(".zip")]) == 1
    assert verify_index(result.index).by_checksum == 5


def test_absent_files_are_planned(tmp_path: Path) -> None:
    product = make_product(tmp_path, L1C)
    (image,) = product.rglob("T*_B02.jp2")
    image.unlink()
    result = index_products([product], tmp_path / "out", verify=True)
    b02 = result.index.scenes[0].asset("l1c.band.B02")
    assert (b02.planned, b02.present, b02.checksum.algorithm) == (True, False, "SHA3-256")
    assert not result.index.file(b02).is_available()
    assert re.search(r"1 file\(s\) of manifest.safe are absent: l1c.band.B02", result.warnings[0])


def test_a_product_without_manifest_is_taken_from_the_tree(tmp_path: Path) -> None:
    product = make_product(tmp_path, L1C)
    (product / "manifest.safe").unlink()
    result = index_products([product], tmp_path / "out")
    b02 = result.index.scenes[0].asset("l1c.band.B02")
    assert (b02.size, b02.checksum, b02.present) == (len(L1C) + 4, None, True)
    assert "has no manifest.safe" in result.warnings[0]


def test_verification_lists_every_difference_and_writes_nothing(tmp_path: Path) -> None:
    product = make_product(tmp_path, L1C)
    (first,) = product.rglob("T*_B02.jp2")
    (second,) = product.rglob("T*_B8A.jp2")
    first.write_bytes(first.read_bytes()[:-1] + b"X")
    second.write_bytes(b"short")
    archive = zip_product(make_product(tmp_path / "other", L2A), tmp_path / "l2a.zip")
    for given in ([product, archive], [zip_product(product, tmp_path / "l1c.zip"), archive]):
        with pytest.raises(ChecksumError) as error:
            index_products(given, tmp_path / "out", verify=True)
        assert "2 file(s) differ" in str(error.value)
        assert re.search(r"_B02\.jp2: expected SHA3-256 [0-9a-f]{64}, got", str(error.value))
        assert re.search(r"_B8A\.jp2: expected \d+ bytes, got 5", str(error.value))
    assert not (tmp_path / "out").exists()
    result = index_products([product], tmp_path / "out")
    assert "has 5 bytes, but manifest.safe says" in result.warnings[0]
    with pytest.raises(ChecksumError, match="2 file"):
        verify_index(result.index)


def test_what_cannot_be_verified_is_counted_and_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    product = make_product(tmp_path, L1C)
    manifest = product / "manifest.safe"
    text = manifest.read_text()
    assert text.count("SHA3-256") >= 3
    manifest.write_text(text.replace("SHA3-256", "CRC-9", 1))
    arguments = ["index", str(product), "--out", str(tmp_path / "out"), "--verify", "--json", "-q"]
    assert main(arguments) == 1
    verified = json.loads(capsys.readouterr().out)["verified"]
    assert (verified["by_checksum"], verified["by_size"], verified["unverified"]) == (4, 1, 0)
    assert "unknown checksum algorithm 'CRC-9'" in verified["notes"][0]
    manifest.write_text(text)
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["verified"]["by_checksum"] == 5
    manifest.unlink()
    assert main(arguments) == 1
    assert json.loads(capsys.readouterr().out)["verified"]["unverified"] == 5


def test_the_size_on_disk_is_recorded_not_a_stale_one(tmp_path: Path) -> None:
    product = make_product(tmp_path, L1C)
    manifest = product / "manifest.safe"
    size = next(product.rglob("T*_B02.jp2")).stat().st_size
    manifest.write_text(manifest.read_text().replace(f'size="{size}"', f'size="{size + 7}"'))
    result = index_products([product], tmp_path / "out")
    assert result.index.scenes[0].asset("l1c.band.B02").size == size
    assert f"has {size} bytes, but manifest.safe says {size + 7}" in "".join(result.warnings)
    with pytest.raises(ChecksumError, match=f"expected {size + 7} bytes, got {size}"):
        index_products([product], tmp_path / "out2", verify=True)


def test_a_dataset_moves_with_its_products(tmp_path: Path) -> None:
    make_product(tmp_path / "here", L1C)
    zip_product(make_product(tmp_path / "other", L2A), tmp_path / "here/l2a.zip")
    (tmp_path / "way").symlink_to(tmp_path / "here")  # the way to the products goes through a link
    index_products([tmp_path / "way"], tmp_path / "way/data")
    (tmp_path / "here").rename(tmp_path / "there")
    moved = load_index(index_path(tmp_path / "there/data"))
    assert verify_index(moved).by_checksum == 8
    assert not index_products([tmp_path / "there"], tmp_path / "there/data").changed


def test_verifying_an_index_finds_lost_files(tmp_path: Path) -> None:
    product = make_product(tmp_path, L1C)
    archive = zip_product(make_product(tmp_path, L2A), tmp_path / "l2a.zip")
    result = index_products([product, archive], tmp_path / "out")
    archive.unlink()
    shutil.rmtree(product / "GRANULE")
    with pytest.raises(ChecksumError, match=r"8 file\(s\)") as error:
        verify_index(result.index)
    assert "_SCL_20m.jp2" in str(error.value)
    assert "_B02.jp2" in str(error.value)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (L1C.replace("N0511", "N0510"), "superseded"),
        (L1C.replace("N0511", "N9999"), "third party"),
        (L1C.replace("20251212T162649", "20251212T162648"), "superseded"),
    ],
)
def test_the_newest_of_several_products_counts(tmp_path: Path, other: str, reason: str) -> None:
    make_product(tmp_path / "products", L1C)
    make_product(tmp_path / "products", other)
    result = index_products([tmp_path / "products"], tmp_path / "out")
    assert result.index.scenes[0].l1c.product_name == f"{L1C}.SAFE"
    (passed,) = result.passed_over
    assert passed.path.name == f"{other}.SAFE"
    assert reason in passed.reason


def test_a_directory_is_preferred_to_its_zip_and_counts_once(tmp_path: Path) -> None:
    product = make_product(tmp_path, L1C)
    archive = zip_product(product, tmp_path / f"{L1C}.zip")
    result = index_products([archive, product, product / "MTD_MSIL1C.xml", tmp_path], tmp_path / "out")
    assert result.index.scenes[0].asset("l1c.band.B02").member is None
    assert [passed.path for passed in result.passed_over] == [archive]
    assert "same product" in result.passed_over[0].reason


def test_only_links_of_the_scene_are_taken_away(tmp_path: Path) -> None:
    old, new = make_product(tmp_path, L1C.replace("N0511", "N0510")), make_product(tmp_path, L1C)
    out, outside = tmp_path / "out", tmp_path / "outside"
    index_products([old], out)
    outside.mkdir()
    (out / "mine").symlink_to(outside)
    (out / "elsewhere").symlink_to(outside)
    (outside / "link").symlink_to(old)
    document = json.loads(index_path(out).read_text())
    document.pop("document_sha256", None)
    items = document["scenes"][0]["files_l1c"]["items"]
    for item, path in zip(items, ("mine", "elsewhere/link", "../outside/link"), strict=False):
        item["path"] = path
    index_path(out).write_text(json.dumps(document))
    assert any("replaces" in warning for warning in index_products([new], out).warnings)
    assert (out / "mine").is_symlink()
    assert (outside / "link").is_symlink()


def test_nothing_is_linked_into_directories_elsewhere(tmp_path: Path) -> None:
    product, out, outside = make_product(tmp_path, L1C), tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    out.mkdir()
    for name in ("raw", "meta"):
        (out / name).symlink_to(outside)
        with pytest.raises(PathEscapeError, match="leads out of"):
            index_products([product], out)
        (out / name).unlink()
    assert not list(outside.iterdir())


def test_another_product_replaces_links_but_never_real_files(tmp_path: Path) -> None:
    old = make_product(tmp_path, L1C.replace("N0511", "N0510"))
    (old / "GRANULE" / "x").mkdir()
    new = make_product(tmp_path, L1C)
    for lost in new.rglob("MSK_DETFOO*"):
        lost.unlink()
    (new / "manifest.safe").unlink()
    out = tmp_path / "out"
    index_products([old], out)
    result = index_products([new], out)
    (scene,) = result.index.scenes
    assert "replaces" in result.warnings[-1]
    assert scene.asset("l1c.detector_footprint.B02") is None
    assert not [name for name in tree(out) if "DETFOO" in name]
    b02 = result.index.file(scene.asset("l1c.band.B02")).path
    assert b02.resolve().is_relative_to(new)
    b02.unlink()
    b02.write_bytes(b"downloaded")
    before = tree(out), index_path(out).read_bytes()
    with pytest.raises(ProductError, match=r"in the way(.|\n)*_B02\.jp2: holds another file"):
        index_products([old], out)
    assert (tree(out), index_path(out).read_bytes(), b02.read_bytes()) == (*before, b"downloaded")


def test_where_links_are_impossible_files_are_copied(tmp_path: Path) -> None:
    def refuse(_source: Path, _target: Path) -> None:
        msg = "no privilege"
        raise OSError(msg)

    source = tmp_path / "source"
    source.write_bytes(b"data")
    hard, copy = tmp_path / "hard", tmp_path / "copy"
    link(source, hard, kinds=(refuse, os.link, refuse))
    link(source, copy, kinds=(refuse, refuse, shutil.copy2))
    assert hard.samefile(source)
    assert not copy.samefile(source)
    assert copy.read_bytes() == b"data"
    assert conflict(source, hard) is None
    assert conflict(source, copy) is None
    with pytest.raises(OSError, match="privilege"):
        link(source, tmp_path / "none", kinds=(refuse,))
    assert not (tmp_path / "none").exists()


def test_copies_of_the_same_content_stay(tmp_path: Path) -> None:
    product = make_product(tmp_path, L1C)
    result = index_products([product], tmp_path / "out")
    for asset in result.index.scenes[0].assets:
        place = result.index.file(asset).path
        content = place.read_bytes()
        place.unlink()
        place.write_bytes(content)
    assert not index_products([product], tmp_path / "out").changed
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_a_renamed_product_is_known_by_its_metadata(tmp_path: Path) -> None:
    product = make_product(tmp_path, L1C, folder="my favourite tile")
    archive = zip_product(make_product(tmp_path, L2A), tmp_path / "b.zip", prefix="renamed/")
    result = index_products([product, archive], tmp_path / "out")
    assert (result.index.scenes[0].l1c.product_name, len(result.index.scenes)) == (f"{L1C}.SAFE", 1)
    misnamed = make_product(tmp_path, L1C, folder=L1C.replace("T33UWQ", "T33UXQ"))
    assert "was renamed" in index_products([misnamed], tmp_path / "out2").warnings[0]


def test_a_product_without_metadata_is_known_by_its_name(tmp_path: Path) -> None:
    product = make_product(tmp_path, L1C)
    (product / "MTD_MSIL1C.xml").unlink()
    result = index_products([product], tmp_path / "out")
    assert result.index.scenes[0].l1c.cloud_cover is None
    assert "identified by its name" in result.warnings[0]
    with pytest.raises(ProductError, match="cannot be identified"):
        index_products([product.rename(tmp_path / "nameless")], tmp_path / "out")


OLD = "S2A_OPER_PRD_MSIL1C_PDMC_20160101T000000_R051_V20160101T105441_20160101T105441"
OLD_METADATA = "S2A_OPER_MTD_SAFL1C_PDMC_20160101T000000_R051_V20160101T105441_20160101T105441.xml"


def test_wrong_paths_are_all_reported_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no archive")
    good = make_product(tmp_path / "good", L1C)
    with pytest.raises(ProductError) as error:
        index_products([tmp_path / "absent", tmp_path / "a\0b", good], tmp_path / "out")
    assert "absent: no such file" in str(error.value)
    assert "b: no such file" in str(error.value)
    with pytest.raises(ProductError, match=r"text\.zip: is not a readable zip(.|\n)*empty: is not a product"):
        index_products([tmp_path / "text.zip", tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(ProductError, match="no product was named"):
        index_products([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _old_product(parent: Path) -> Path:
    product = parent / f"{OLD}.SAFE"
    for number in (1, 2):
        (
            product / "GRANULE" / f"S2A_OPER_MSI_L1C_TL_EPA__20160101T000000_A00000{number}_T33UWQ_N02.01"
        ).mkdir(parents=True)
    (product / OLD_METADATA).write_text("<x/>")
    (product / "manifest.safe").write_text("<x/>")
    return product


def _unusable(parent: Path) -> dict[str, str]:
    """Fill a directory with what cannot be indexed; return a part of the message by name."""
    zip_product(_old_product(parent), parent / f"{OLD}.zip")
    renamed = shutil.copytree(_old_product(parent / "x"), parent / "renamed.SAFE")
    shutil.rmtree(parent / "x")
    (parent / "S2A_OPER_PRD_MSIL1C_PDMC_20150101T000000_R051_V20150101T105441.SAFE").mkdir()
    radar = parent / "S1A_IW_GRDH_1SDV_20250101T000000_20250101T000025_000000_000000_0000.SAFE"
    radar.mkdir()
    (radar / "manifest.safe").write_text("<x/>")
    zip_product(radar, parent / "radar.zip")
    (parent / "S3A_OL_1_EFR____20250101T000000.SEN3").mkdir()
    (parent / f"{L2A}.tar").write_bytes(b"tar")
    (parent / f"{L2A}.SAFE").mkdir()
    (parent / f"{L2A}.zip").write_bytes(b"PK half")
    (parent / "empty.zip").touch()
    with zipfile.ZipFile(parent / "photos.zip", "w") as photos:
        photos.writestr("a.jpg", "x")
    broken = make_product(parent, L2A.replace("T33UWQ", "T33UXQ"))
    (broken / "MTD_MSIL2A.xml").write_bytes(b"<?xml version='1.0' encoding='shift_jis'?><a/>")
    orphan = parent / "loop.SAFE"
    orphan.symlink_to(orphan)
    old = "not supported: multi-granule SAFE of before December 2016"
    return {
        f"{OLD}.SAFE": old,
        f"{OLD}.zip": old,
        renamed.name: old,
        "S2A_OPER_PRD_MSIL1C_PDMC_20150101T000000_R051_V20150101T105441.SAFE": old,
        radar.name: "not supported: a product of Sentinel-1",
        "radar.zip": "not supported: a product of Sentinel-1",
        "S3A_OL_1_EFR____20250101T000000.SEN3": "not supported: a product of Sentinel-3",
        f"{L2A}.tar": "is not a readable zip archive",
        f"{L2A}.SAFE": "is not a product",
        f"{L2A}.zip": "is not a readable zip archive",
        "empty.zip": "is not a readable zip archive",
        "photos.zip": "the archive holds no product",
        broken.name: "is in an encoding that cannot be read",
        orphan.name: "",
    }


def test_an_archive_of_all_sorts_is_indexed_as_far_as_it_can_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "archive"
    make_product(archive, L1C)
    make_product(archive, L1C.replace("N0511", "N0510"))
    (archive / "notes.txt").touch()
    (archive / "notes").mkdir()
    expected = _unusable(archive)
    out = tmp_path / "out"
    assert main(["index", str(archive), "--out", str(out), "--json"]) == 1
    written = capsys.readouterr()
    (scene,) = load_index(index_path(out)).scenes
    assert scene.l1c.product_name == f"{L1C}.SAFE"
    passed = {Path(item["path"]).name: item for item in json.loads(written.out)["passed_over"]}
    assert passed.pop(f"{L1C.replace('N0511', 'N0510')}.SAFE")["is_usable"]
    assert sorted(passed) == sorted(expected)
    lines = written.err.rstrip().splitlines()
    assert lines[-len(expected) - 1] == f"{len(expected)} cannot be used and were passed over:"
    for name, reason in expected.items():
        assert reason in passed[name]["reason"], name
        assert not passed[name]["is_usable"]
        assert any(name in line and reason in line for line in lines[-len(expected) :]), name


def test_given_products_that_cannot_be_used_are_passed_over_too(tmp_path: Path) -> None:
    good, bad = make_product(tmp_path, L1C), tmp_path / "bad.zip"
    bad.write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    result = index_products([bad, good, tmp_path / "empty"], tmp_path / "out")
    assert [item.path for item in result.unusable] == [bad, tmp_path / "empty"]
    assert len(result.index.scenes) == 1


def test_an_older_product_stands_in_for_a_newer_that_is_damaged(tmp_path: Path) -> None:
    make_product(tmp_path / "in", L1C.replace("N0511", "N0510"))
    newer = make_product(tmp_path / "in", L1C)
    (newer / "manifest.safe").write_bytes(b"\xff\xfe<")
    result = index_products([tmp_path / "in"], tmp_path / "out")
    assert [item.path for item in result.unusable] == [newer]
    assert result.index.scenes[0].l1c.baseline == "N0510"


def test_file_names_that_are_no_text_fail_their_product_alone(tmp_path: Path) -> None:
    good, bad = make_product(tmp_path, L1C), make_product(tmp_path, L2A)
    (granule,) = (bad / "GRANULE").iterdir()
    try:
        granule.rename(granule.with_name(os.fsdecode(os.fsencode(granule.name) + b"\xff")))
    except OSError:
        pytest.skip("the file system takes Unicode names only")
    result = index_products([good, bad], tmp_path / "out")
    assert [item.path for item in result.unusable] == [bad]
    assert "is no Unicode text" in result.unusable[0].reason


def test_broken_metadata_is_named(tmp_path: Path) -> None:
    product = make_product(tmp_path, L1C)
    (product / "MTD_MSIL1C.xml").write_bytes(b'{"code": "DAT-ZIP-609"}')
    with pytest.raises(MetadataError, match=r"MTD_MSIL1C\.xml: not well-formed"):
        index_products([product], tmp_path / "out")
    (product / "MTD_MSIL1C.xml").unlink()
    (product / "manifest.safe").write_bytes(
        b'<x><dataObjectSection><dataObject><byteStream size="1"><fileLocation href="../../x"/>'
        b"</byteStream></dataObject></dataObjectSection></x>"
    )
    with pytest.raises(PathEscapeError, match="leaves the product"):
        index_products([product], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_granules_are_refused(tmp_path: Path) -> None:
    product = make_product(tmp_path, L1C)
    (granule,) = (product / "GRANULE").iterdir()
    shutil.copytree(granule, granule.with_name("L1C_T33UWQ_A045679_20251210T100316"))
    with pytest.raises(ProductError, match="two files have the role"):
        index_products([product], tmp_path / "out")


def hostile_zip(path: Path, change: Any) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{L1C}.SAFE/manifest.safe", "<x/>")
        change(archive)
    return path


def _link_member(archive: zipfile.ZipFile) -> None:
    member = zipfile.ZipInfo(f"{L1C}.SAFE/link")
    member.external_attr = 0o120777 << 16
    archive.writestr(member, "/etc/passwd")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a: a.writestr("../evil", "x"), PathEscapeError, "leaves the archive"),
        (lambda a: a.writestr("/etc/evil", "x"), PathEscapeError, "leaves the archive"),
        (_link_member, ProductError, "symbolic link"),
        (lambda a: a.writestr(f"{L1C}.SAFE/manifest.safe", "<y/>"), ProductError, "twice"),
        (lambda a: a.writestr(f"{L2A}.SAFE/manifest.safe", "<y/>"), ProductError, "holds 2 products"),
    ],
)
def test_hostile_archives_are_refused(tmp_path: Path, change: Any, error: Any, message: str) -> None:
    archive = hostile_zip(tmp_path / "a.zip", change)
    with pytest.raises(error, match=message):
        index_products([archive], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_encrypted_archives_are_refused(tmp_path: Path) -> None:
    archive = hostile_zip(tmp_path / "a.zip", lambda _archive: None)
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(ProductError, match="encrypted"):
        index_products([archive], tmp_path / "out")


@needs_data
def test_the_real_products(tmp_path: Path) -> None:
    result = index_products([DATA / "metadata", DATA / "real"], tmp_path / "out", verify=True)
    assert [str(scene.key) for scene in result.index.scenes] == [
        "T01WCP/2023-06-25T23:46:21Z",
        "T31TDH/2018-01-01T10:54:41Z",
        "T32TNM/2017-02-26T10:20:21Z",
        "T46RER/2021-09-08T04:27:01Z",
    ]
    l2a, incomplete, footprints, _ = result.index.scenes
    assert l2a.l1c is None
    assert l2a.l2a.geofootprint["type"] == "MultiPolygon"
    assert (len(incomplete.assets), incomplete.asset("l1c.manifest")) == (3, None)
    assert incomplete.asset("l1c.band.B01").size == 2488555
    assert (
        len([a for a in footprints.assets if a.role.startswith("l1c.detector_footprint") and a.present]) == 13
    )
    assert result.verified_files == verify_index(result.index).by_checksum == 19
    assert len(result.warnings) == 4
