"""The floors of the house: docs/architecture.md says them, the imports keep to them, and packages stay light."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

HEAVY = (
    "osgeo",
    "numba",
    "pandas",
    "numpy",
    "requests",
    "jsonschema",
    "tqdm",
    "yaml",
    "matplotlib",
    "shapely",
    "pyproj",
)


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architecture_tool", ROOT / "tools" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


TOOL = _tool()
STOREYS = TOOL.read_plan()
MODULES = TOOL.modules_of(ROOT / "s2pipe")
GRAPH = TOOL.import_graph(ROOT / "s2pipe")


def test_the_plan_has_tables_for_the_house_and_every_step() -> None:
    folders = [storey.folder for storey in STOREYS]
    assert folders[0] == ""
    assert {"preprocess", "download", "patches", "indexing"} <= set(folders)
    assert all(len(storey.floors) > 1 for storey in STOREYS)


def test_imports_keep_to_the_plan() -> None:
    assert TOOL.breaches(STOREYS, GRAPH) == []


def test_every_room_of_the_plan_exists() -> None:
    assert TOOL.empty_rooms(STOREYS, GRAPH) == []


PLAN_TEXT = """
## The floors

| floor | rooms | what they hold |
| --- | --- | --- |
| F2 | `run` | x |
| F1 | `a/`, `b/`, `c/pure` | x |
| F0 | `c/` | x |

## Inside `a/`

| floor | rooms | what they hold |
| --- | --- | --- |
| top | `one` | x |
| low | `two` | x |
"""


def _storeys(tmp_path: Path) -> tuple[object, ...]:
    path = tmp_path / "plan.md"
    path.write_text(PLAN_TEXT, encoding="utf-8")
    storeys: tuple[object, ...] = TOOL.read_plan(path)
    return storeys


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ({"run": {"a.one", "c.x"}, "a.one": {"a.two", "c.x"}, "a.two": set(), "c.x": set()}, []),
        ({"a.one": {"b.x"}, "b.x": set()}, ["s2pipe.a.one (F1) imports s2pipe.b.x (F1)"]),
        ({"c.x": {"c.pure"}, "c.pure": set()}, ["s2pipe.c.x (F0) imports s2pipe.c.pure (F1)"]),
        ({"a.two": {"a.one"}, "a.one": set()}, ["s2pipe.a.two (low) imports s2pipe.a.one (top)"]),
        ({"d": set()}, ["s2pipe.d is on no floor of the house"]),
        ({"a.three": set()}, ["s2pipe.a.three is on no floor of a"]),
    ],
)
def test_a_breach_of_the_plan_is_seen(tmp_path: Path, graph: dict[str, set[str]], words: list[str]) -> None:
    found = TOOL.breaches(_storeys(tmp_path), graph)
    assert len(found) == len(words)
    assert all(text.startswith(word) for text, word in zip(found, words, strict=True))


def test_rooms_without_a_module_are_seen(tmp_path: Path) -> None:
    assert TOOL.empty_rooms(
        _storeys(tmp_path), {"run": set(), "a.one": set(), "c.pure": set(), "c.x": set()}
    ) == [
        "b",
        "a.two",
    ]


def test_imports_in_functions_count_but_not_for_circles() -> None:
    source = "import one\nif TYPE_CHECKING:\n    import two\ndef f():\n    from three import four\n"
    statements = dict(TOOL.import_statements(ast.parse(source)))
    assert statements == {"one": True, "two": False, "three": False, "three.four": False}


def test_no_circle_when_modules_are_imported() -> None:
    graph: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {
            n.removeprefix("s2pipe").lstrip(".")
            for n, now in TOOL.import_statements(tree)
            if now and "s2pipe" in n
        }
        graph[name] = {other for other in own if other in MODULES and other != name}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"circular imports: {' -> '.join((*way, name))}"
        if name not in done:
            for other in graph[name]:
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert len(done) == len(MODULES)


def _top_level_names(path: Path) -> set[str]:
    return {
        name.split(".")[0] for name, _ in TOOL.import_statements(ast.parse(path.read_text(encoding="utf-8")))
    }


@pytest.mark.parametrize(
    ("library", "home"),
    [("osgeo", "raster."), ("requests", "download.service."), ("torch", "torch"), ("matplotlib", "demo.")],
)
def test_a_library_has_one_home(library: str, home: str) -> None:
    users = {name for name, path in MODULES.items() if library in _top_level_names(path)}
    assert users, f"nothing imports {library}: the check has lost its object"
    assert all(name.startswith(home) for name in users), users


def test_kernels_know_nothing_of_s2pipe_or_gdal() -> None:
    files = sorted((ROOT / "kernels" / "s2kernels").rglob("*.py"))
    assert len(files) > 5
    for path in files:
        assert not _top_level_names(path) & {"s2pipe", "osgeo"}, path


PACKAGES = sorted(name for name in MODULES if name and (ROOT / "s2pipe" / name).is_dir())


@pytest.mark.parametrize("package", ["s2pipe", *(f"s2pipe.{name}" for name in PACKAGES)])
def test_packages_are_light(package: str) -> None:
    code = f"import sys, {package}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == []


def test_the_plan_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    storey = STOREYS[0]
    TOOL.draw(tmp_path / "plan.svg", storey, GRAPH, dict.fromkeys(MODULES, 10))
    text = (tmp_path / "plan.svg").read_text(encoding="utf-8")
    assert text.count("<path") > 2 * sum(len(rooms) for _, rooms in storey.floors)
