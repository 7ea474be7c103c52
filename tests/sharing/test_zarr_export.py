"""Export of cubes: what is refused before zarr is needed; `make test-clients` reads the cubes."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from s2pipe.cli import main
from s2pipe.errors import UsageError
from s2pipe.sharing.zarr_export import ZarrOptions, export_zarr

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ZarrOptions(chunk_px=0), "--chunk-px: expected 16 to 65536 pixels, got 0"),
        (ZarrOptions(chunk_px=512, shard_px=700), "expected a multiple of --chunk-px .512., got 700"),
    ],
)
def test_options_of_no_use_are_refused(options: ZarrOptions, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        export_zarr(tmp_path, tmp_path / "to", options)


def test_the_directory_for_cubes_has_to_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "zarr", str(tmp_path)]) == 2
    assert "--to DIR is needed" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("zarr") is not None, reason="zarr is installed")
def test_what_is_not_installed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "zarr", str(tmp_path), "--to", str(tmp_path / "to")]) != 0
    assert "pip install 's2pipe[zarr]'" in capsys.readouterr().err
    assert not (tmp_path / "to").exists()
