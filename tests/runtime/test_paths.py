"""Paths inside a root: no text leads out, and nothing is written or deleted through a link that does."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s2pipe.errors import PathEscapeError
from s2pipe.runtime.paths import InsidePath, is_safe_relative, path_fault

HOSTILE = {
    "parent": "../x",
    "parent inside": "a/../../x",
    "parent, back slash": "a\\..\\x",
    "absolute": "/etc/passwd",
    "drive": "C:/x",
    "drive, relative": "C:x",
    "drive inside": "a/C:x",
    "stream": "a/x.tif:hidden",
    "UNC": "\\\\server\\share\\x",
    "device path": "\\\\?\\C:\\x",
    "root of the drive": "\\x",
    "GDAL's file systems": "/vsicurl/http://localhost/x.tif",
    "NUL": "a\0b",
    "newline": "a\nb",
    "delete": "a\x7fb",
    "device": "a/NUL",
    "device with extension": "con.tif",
    "device with superscript": "COM¹",
    "dots and blanks": "a/.. /x",
    "three dots": ".../x",
    "final dot": "x.",
    "final blank": "x ",
    "overlong name": "x" * 256,
    "overlong path": "/".join(["x" * 100] * 11),
    "lone surrogate": "a\udc80b",
    "empty": "",
}


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE)
def test_hostile_paths_are_refused(path: str, tmp_path: Path) -> None:
    assert not is_safe_relative(path)
    with pytest.raises(PathEscapeError, match="expected a relative path below"):
        InsidePath(tmp_path, path)


@pytest.mark.parametrize("path", [None, 5, ["a"], {"a": 1}, b"a"])
def test_what_is_no_text_is_refused(path: object, tmp_path: Path) -> None:
    assert path_fault(path) == "is not a path"
    with pytest.raises(PathEscapeError):
        InsidePath(tmp_path, path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "relative"),
    [
        ("raw/L1C/tile=T33UWQ/sensing=20251210T100319Z/files/T33UWQ_B02.jp2",) * 2,
        ("./GRANULE//a.jp2", "GRANULE/a.jp2"),
        ("AUX_DATA/x..y/.hidden/größe.xml",) * 2,
        ("x" * 255,) * 2,
    ],
)
def test_usual_paths_are_taken(path: str, relative: str, tmp_path: Path) -> None:
    inside = InsidePath(tmp_path, path)
    assert (inside.relative, inside.path) == (relative, tmp_path / relative)


def test_the_root_itself_is_no_file_in_it(tmp_path: Path) -> None:
    for path in (".", "./", "./."):
        with pytest.raises(PathEscapeError, match="names no file"):
            InsidePath(tmp_path, path)


@given(st.text(alphabet="ab./\\:~ \x00\udc80", max_size=12) | st.text(max_size=20))
def test_no_text_leads_out(path: str) -> None:
    root = Path("/root/of/dataset")
    try:
        inside = InsidePath(root, path)
    except PathEscapeError:
        return
    assert root in inside.path.resolve().parents
    windows = PureWindowsPath("C:/root") / inside.relative
    assert windows.parts[:2] == ("C:\\", "root")
    assert ".." not in windows.parts
    assert InsidePath(root, inside.relative) == inside
    assert str(PurePosixPath(inside.relative)) == inside.relative


def test_links_are_read_but_nothing_is_deleted_through_them(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for directory in (root / "real", outside):
        directory.mkdir(parents=True)
    (outside / "file").write_text("keep me")
    (root / "out").symlink_to(outside)
    (root / "within").symlink_to("real")
    (root / "link").symlink_to(outside / "file")
    (root / "real" / "file").write_text("mine")
    assert InsidePath(root, "out/file").is_file(7)
    with pytest.raises(PathEscapeError, match="leads out of"):
        InsidePath(root, "out/file").unlink()
    with pytest.raises(PathEscapeError, match="leads out of"):
        InsidePath(root, "out/new").owned()
    InsidePath(root, "link").unlink()
    InsidePath(root, "within/file").unlink()
    InsidePath(root, "real").unlink()  # a directory is none of a file's business
    assert (outside / "file").read_text() == "keep me"
    assert not (root / "link").is_symlink()
    assert sorted(path.name for path in root.iterdir()) == ["out", "real", "within"]
    assert not list((root / "real").iterdir())


def test_a_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to("disk")
    inside = InsidePath(tmp_path / "root", "file")
    inside.owned().write_text("x")
    assert inside.is_file(1)
    assert not inside.is_file(2)
    inside.unlink()
    assert not list((tmp_path / "disk").iterdir())


_NAMES = st.text(st.sampled_from("aAnNxXcCoO0u1lL=-_. :/\\\n¹"), min_size=1, max_size=12)


@given(path=st.one_of(_NAMES, st.lists(_NAMES, min_size=1, max_size=4).map("/".join)))
@example("con")
@example("a/NUL.tif")
@example("a/com1")
@example("a..b/.c")
@example("processed/tile=T33UWQ/sensing=2025-12-10T100319Z/x.tif")
def test_what_is_accepted_at_once_has_no_fault(path: str) -> None:
    if path_fault(path) is None:
        assert path_fault(f"./{path}") is None  # of the same names, but looked at one by one
