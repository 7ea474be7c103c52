"""Tables of a run: a row per scene, a column per role that any scene has."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

from s2pipe.download.cfg import ManifestConfig, PipelineConfig
from s2pipe.download.pipeline import run_download

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s2pipe.download.auth import Auth


def tables(out: Path, suffix: str) -> list[Path]:
    return sorted((out / "meta/step1/runs").glob(f"*/table.{suffix}"))


def test_rows_are_scenes_and_cells_say_where_files_are(
    auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path
) -> None:
    manifest = ManifestConfig(write_csv=True)
    run_download(configure(manifest=manifest, dry_run=True), auth)
    (planned,) = tables(tmp_path / "out", "csv")
    data = planned.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")  # spreadsheets take it for UTF-8 by this
    (row,) = csv.DictReader(data.decode("utf-8-sig").splitlines())
    assert (row["tile_id"], row["status"]) == ("T33UWQ", "planned")
    assert row["l1c.band.B02"] == "planned"
    planned.unlink()
    run_download(configure(manifest=manifest), auth)
    (done,) = tables(tmp_path / "out", "csv")
    (row,) = csv.DictReader(done.read_text("utf-8-sig").splitlines())
    assert row["status"] == "done"
    assert row["error"] == ""
    for role in ("l1c.band.B02", "l1c.band.B8A"):
        assert (tmp_path / "out" / row[role]).is_file()
    assert "l1c.band.B03" not in row


def test_a_workbook_holds_the_same_rows(
    auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    run_download(configure(manifest=ManifestConfig(write_csv=True, write_xlsx=True), dry_run=True), auth)
    (text,), (book,) = tables(tmp_path / "out", "csv"), tables(tmp_path / "out", "xlsx")
    found = [[str(cell or "") for cell in row] for row in openpyxl.load_workbook(book)["scenes"].values]
    wanted = list(csv.reader(text.read_text("utf-8-sig").splitlines()))
    assert [row[:6] for row in found] == [row[:6] for row in wanted]
    assert [len(row) for row in found] == [len(row) for row in wanted]


def test_no_table_is_written_unless_it_is_wanted(
    auth: Auth, configure: Callable[..., PipelineConfig], tmp_path: Path
) -> None:
    run_download(configure(manifest=ManifestConfig(write_csv=False, write_xlsx=False), dry_run=True), auth)
    assert tables(tmp_path / "out", "*") == []
