"""The floors of the house: imports point down only, and packages stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FLOORS: dict[int, tuple[str, ...]] = {
    0: ("errors", "runtime"),
    1: ("raster.grid", "raster.vrt", "sentinel2", "config", "dataset", "ground", "download.cfg", "download.auth",
        "preprocess.cfg", "patches.cfg"),
    2: ("raster", "download.service"),
    3: ("download", "indexing", "preprocess", "patches", "synthetic", "dataset.opening"),
    4: ("download.pipeline", "indexing.run", "preprocess.run", "patches.run", "patches.reshard", "demo", "testing",
        "torch"),
    5: ("cli", "__main__"),
}  # fmt: skip
"""Floor -> modules, or packages with all their modules that no longer name puts elsewhere."""
STEPS = ("download", "indexing", "preprocess", "patches", "report")
HEAVY = ("osgeo", "numba", "pandas", "numpy", "requests", "jsonschema", "tqdm", "yaml", "matplotlib",
         "pyproj", "shapely")  # fmt: skip


def _modules() -> dict[str, Path]:
    paths = (ROOT / "s2pipe").rglob("*.py")
    return {".".join(path.relative_to(ROOT / "s2pipe").with_suffix("").parts): path for path in paths}


def _floor(module: str) -> int:
    names = {name: floor for floor, names in FLOORS.items() for name in names}
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (name := ".".join(parts[:length])) in names:
            return names[name]
    msg = f"s2pipe.{module} is on no floor; give it a place in FLOORS and in docs/architecture.md"
    raise AssertionError(msg)


def _imports(path: Path, *, at_top_only: bool = False) -> set[str]:
    """Modules of s2pipe that a file imports, at the top or anywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_top_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def _own(names: set[str], modules: dict[str, Path]) -> set[str]:
    own = {name.removeprefix("s2pipe.") for name in names if name.startswith("s2pipe.")}
    return {name for name in own if name in modules or f"{name}.__init__" in modules}


MODULES = _modules()


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name != "__init__"))
def test_imports_point_down(module: str) -> None:
    own = module.removesuffix(".__init__")
    floor = _floor(own)
    for name in _own(_imports(MODULES[module]), MODULES):
        assert _floor(name) <= floor, (
            f"s2pipe.{own} (floor {floor}) imports s2pipe.{name} (floor {_floor(name)})"
        )
        mine, other = own.split(".")[0], name.split(".")[0]
        assert not (mine in STEPS and other in STEPS and mine != other), f"step {mine} imports step {other}"


def test_there_is_no_circle() -> None:
    graph = {
        name.removesuffix(".__init__"): _own(_imports(path, at_top_only=True), MODULES)
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"circular imports: {' -> '.join((*way, name))}"
        if name not in done:
            for other in graph.get(name, ()):
                if other != name:
                    visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_raster_modules_know_gdal_and_only_transport_knows_requests(module: str) -> None:
    names = {name.split(".")[0] for name in _imports(MODULES[module])}
    assert "osgeo" not in names or module.startswith("raster.")
    assert "requests" not in names or module == "download.service.transport"


def test_kernels_know_nothing_of_s2pipe_or_gdal() -> None:
    for path in (ROOT / "kernels" / "s2kernels").glob("*.py"):
        assert not {name.split(".")[0] for name in _imports(path)} & {"s2pipe", "osgeo"}


@pytest.mark.parametrize("statement", ["import s2pipe", "import s2pipe.cli", "import s2pipe.preprocess"])
def test_packages_are_light(statement: str) -> None:
    code = f"import sys; {statement}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == []


def test_the_plan_of_the_house_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in set(MODULES) - {"__init__"}:
        parts = name.removesuffix(".__init__").split(".")
        assert parts[-1] in text, f"docs/architecture.md does not mention s2pipe.{name}"
