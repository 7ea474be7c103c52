"""The package by itself: what it imports, where it caches, and the example that embeds it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import s2kernels

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = Path(s2kernels.__file__).parent
KERNELS = Path(__file__).resolve().parents[2] / "kernels"

USE = textwrap.dedent(
    """
    import numpy as np
    from s2kernels import Radiometry, reflectance
    dn = np.full((1, 2, 2), 5000, np.float32)
    out = np.empty_like(dn)
    reflectance(dn, Radiometry([-1000], [10000]), out)
    assert (out == np.float32(0.4)).all()
    """
)


def run(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_import_is_light_and_compiles_nothing(kernel_environment: Callable[..., dict[str, str]]) -> None:
    code = "import sys, s2kernels; print('numba' in sys.modules, 'osgeo' in sys.modules)"
    result = run(code, kernel_environment())
    assert result.stdout.split() == ["False", "False"], result.stderr


def test_works_without_gdal_and_s2pipe(kernel_environment: Callable[..., dict[str, str]]) -> None:
    block = "import sys; sys.modules['osgeo'] = None; sys.modules['s2pipe'] = None\n"
    result = run(block + USE + "import s2kernels.reference\n", kernel_environment())
    assert result.returncode == 0, result.stderr


def test_only_numba_and_numpy_are_imported() -> None:
    imported = set()
    for path in PACKAGE.glob("*.py"):
        imported |= set(re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.MULTILINE))
    third_party = imported - set(sys.stdlib_module_names) - {"s2kernels", "__future__"}
    assert third_party == {"numba", "numpy"}


def copied_package(tmp_path: Path) -> Path:
    target = tmp_path / "copy"
    shutil.copytree(PACKAGE, target / "s2kernels", ignore=shutil.ignore_patterns("__pycache__"))
    return target


def test_compiled_kernels_are_cached_on_disk(
    tmp_path: Path, kernel_environment: Callable[..., dict[str, str]]
) -> None:
    cache = tmp_path / "cache"
    code_path = copied_package(tmp_path)
    result = run(USE, kernel_environment(PYTHONPATH=str(code_path), NUMBA_CACHE_DIR=str(cache)))
    assert result.returncode == 0, result.stderr
    assert len(list(cache.rglob("*.nbc"))) == 1


def test_works_where_no_cache_can_be_written(
    tmp_path: Path, kernel_environment: Callable[..., dict[str, str]]
) -> None:
    # Plain files stand where directories would have to be made: that stops even root.
    code_path = copied_package(tmp_path)
    (code_path / "s2kernels" / "__pycache__").write_text("")
    wall = tmp_path / "wall"
    wall.write_text("")
    environment = kernel_environment(
        PYTHONPATH=str(code_path),
        PYTHONDONTWRITEBYTECODE="1",
        HOME=str(wall),
        XDG_CACHE_HOME=str(wall),
        LOCALAPPDATA=str(wall),
    )
    environment.pop("NUMBA_CACHE_DIR", None)
    result = run(USE, environment)
    assert result.returncode == 0, result.stderr
    assert not list(tmp_path.rglob("*.nbc"))


@pytest.mark.skipif(not KERNELS.is_dir(), reason="the example is part of the repository, not of the package")
def test_example_runs_without_gdal_and_s2pipe(
    kernel_environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    code = (
        "import sys, runpy; sys.modules['osgeo'] = None; sys.modules['s2pipe'] = None\n"
        f"runpy.run_path({str(KERNELS / 'examples' / 'embed_numpy_tiles.py')!r}, run_name='__main__')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=kernel_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "mean -0.00" in result.stdout or "mean 0.00" in result.stdout


@pytest.mark.skipif(not KERNELS.is_dir(), reason="the README is part of the repository, not of the package")
def test_readme_code_runs(kernel_environment: Callable[..., dict[str, str]]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (KERNELS / "README.md").read_text(), re.DOTALL)
    assert blocks
    result = run("\n".join(blocks), kernel_environment())
    assert result.returncode == 0, result.stderr
