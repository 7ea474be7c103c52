"""Tables of a run for people: a row per scene, a column per role, as CSV and XLSX."""

from __future__ import annotations

import csv
import importlib.util
import io
from typing import TYPE_CHECKING, Any

from s2pipe.errors import DependencyError
from s2pipe.runtime.files import atomic_path, write_bytes_atomic
from s2pipe.sentinel2 import roles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from s2pipe.download.cfg import ManifestConfig
    from s2pipe.download.files.transfer import SceneJob

_COLUMNS = (
    "tile_id",
    "sensing_start_utc",
    "status",
    "l1c_product",
    "l2a_product",
    "baseline",
    "rel_orbit",
    "cloud_cover",
    "coverage_ratio",
    "error",
)


def check_tables(config: ManifestConfig) -> None:
    """Raise a DependencyError when a table is wanted that cannot be written."""
    if config.write_xlsx and importlib.util.find_spec("openpyxl") is None:
        msg = "manifest.write_xlsx needs the package openpyxl: pip install 's2pipe[tables]', or use write_csv"
        raise DependencyError(msg)


def write_tables(directory: Path, jobs: Sequence[SceneJob], config: ManifestConfig) -> list[Path]:
    """Write ``table.csv`` and ``table.xlsx``, as configured; return their paths."""
    written: list[Path] = []
    if not (config.write_csv or config.write_xlsx):
        return written
    rows = _rows(jobs)
    if config.write_csv:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        written.append(directory / "table.csv")
        write_bytes_atomic(written[-1], text.getvalue().encode("utf-8-sig"))
    if config.write_xlsx:
        from openpyxl import Workbook

        book = Workbook(write_only=True)
        sheet = book.create_sheet("scenes")
        sheet.freeze_panes = "C2"
        for row in rows:
            sheet.append(row)
        written.append(directory / "table.xlsx")
        with atomic_path(written[-1]) as temporary:
            book.save(temporary)
    return written


def _rows(jobs: Sequence[SceneJob]) -> list[list[Any]]:
    """Header and rows; a role's cell is the file's path when it is there, else ``planned`` or empty."""
    scenes = [(job, job.scene()) for job in jobs]
    used = {asset.role for _, scene in scenes for asset in scene.assets}
    names = [role for role in roles.ALL_ROLES if role in used]
    rows: list[list[Any]] = [[*_COLUMNS, *names]]
    for job, scene in scenes:
        l1c, l2a = scene.l1c, scene.l2a
        cells = {asset.role: asset.path if asset.present else "planned" for asset in scene.assets}
        fixed = [
            scene.key.tile_id,
            scene.key.sensing_start_utc,
            job.status,
            l1c and l1c.product_name,
            l2a and l2a.product_name,
            l1c and l1c.baseline,
            l1c and l1c.rel_orbit,
            l1c and l1c.cloud_cover,
            l1c and l1c.coverage_ratio,
            job.error,
        ]
        rows.append([*fixed, *(cells.get(name) for name in names)])
    return rows
