"""The floors of the house: docs/architecture.md says them, the imports keep to them, and packages stay light."""

from __future__ import annotations

import ast
import importlib.util
import re
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
    assert {
        "cli",
        "config",
        "dataset",
        "ground",
        "raster",
        "runtime",
        "sentinel2",
        "synthetic",
        "testing",
    } <= set(folders)
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


def test_imports_in_functions_count() -> None:
    source = "import one\nif TYPE_CHECKING:\n    import two\ndef f():\n    from three import four\n"
    statements = dict(TOOL.import_statements(ast.parse(source)))
    assert statements == {"one": True, "two": False, "three": False, "three.four": False}


def test_no_module_imports_itself_in_a_circle() -> None:
    """Not inside a room either, nor in functions or for type checkers: each module can be read after those below."""
    assert TOOL.circle(GRAPH) == []


@pytest.mark.parametrize(
    ("graph", "ring"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
        ({"a": set(), "x.b": {"x.c"}, "x.c": {"x.d"}, "x.d": {"x.b"}}, ["x.b", "x.c", "x.d", "x.b"]),
    ],
)
def test_a_circle_is_seen(graph: dict[str, set[str]], ring: list[str]) -> None:
    assert TOOL.circle(graph) == ring


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


# GDAL has one owner: `s2pipe.raster`. Importing `osgeo` elsewhere is one way around it; another is a public function of
# `raster` that hands out GDAL's module, a dataset or a band.

GDAL_MODULES = ("osgeo", "gdal", "osr", "ogr")
UNTYPED = ("Any", "object", "ModuleType")


def _trees() -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def _gdal_imports(name: str, tree: ast.Module) -> list[str]:
    """Imports of a module outside raster that reach GDAL: ``osgeo``, or what raster keeps to itself."""
    if name == "raster" or name.startswith("raster."):
        return []
    imported = [found for found, _ in TOOL.import_statements(tree)]
    return [
        f"{name} imports {found}"
        for found in imported
        if found.split(".")[0] == "osgeo" or (found.startswith("s2pipe.raster.") and "._" in found)
    ]


def _reexports(name: str, tree: ast.Module, raster: dict[str, ast.Module]) -> list[str]:
    """Names that a module outside raster imports from a module of raster which does not define them."""
    if name.startswith("raster"):
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("s2pipe.raster."):
            source = (node.module or "").removeprefix("s2pipe.")
            defined = _defined(raster[source])
            found += [
                f"{name} imports {alias.name} through {source}"
                for alias in node.names
                if alias.name not in defined
            ]
    return found


def _defined(tree: ast.Module) -> set[str]:
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def _leaks(name: str, tree: ast.Module) -> list[str]:
    """Public names of a public module of raster whose annotation lets a GDAL object through."""
    if any(part.startswith("_") for part in name.split(".")):
        return []
    found = []
    for node, where in _public_nodes(tree, name):
        if isinstance(node, ast.FunctionDef):
            if node.returns is None or _lets_gdal_through(node.returns):
                found.append(
                    f"{where} returns {'anything' if node.returns is None else ast.unparse(node.returns)}"
                )
        elif _lets_gdal_through(node.annotation):
            found.append(f"{where} is {ast.unparse(node.annotation)}")
    return found


def _public_nodes(
    tree: ast.Module | ast.ClassDef, where: str
) -> list[tuple[ast.FunctionDef | ast.AnnAssign, str]]:
    """Public functions, methods, and annotated constants, fields and attributes."""
    found: list[tuple[ast.FunctionDef | ast.AnnAssign, str]] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found += _public_nodes(node, f"{where}.{node.name}")
        elif isinstance(node, ast.FunctionDef):
            if not node.name.startswith("_"):
                found.append((node, f"{where}.{node.name}"))
            for inner in ast.walk(node):
                if isinstance(inner, ast.AnnAssign) and _public_target(inner.target, ast.Attribute):
                    found.append((inner, f"{where}.{ast.unparse(inner.target)}"))
                elif isinstance(inner, ast.Assign) and _public_target(inner.targets[0], ast.Attribute):
                    unknown = ast.AnnAssign(inner.targets[0], ast.Name("Any"), inner.value, 0)
                    found.append((unknown, f"{where}.{ast.unparse(inner.targets[0])}"))
        elif isinstance(node, ast.AnnAssign) and _public_target(node.target, ast.Name):
            found.append((node, f"{where}.{ast.unparse(node.target)}"))
    return found


def _public_target(target: ast.expr, kind: type[ast.Name | ast.Attribute]) -> bool:
    """Tell whether an assignment is to a public name or to a public attribute of ``self``."""
    return isinstance(target, kind) and not ast.unparse(target).split(".")[-1].startswith("_")


def _lets_gdal_through(annotation: ast.expr) -> bool:
    names = set(
        re.findall(r"\w+", ast.unparse(annotation))
    )  # of the text, which shows quoted annotations too
    return bool(names & {*GDAL_MODULES, *UNTYPED, "Dataset", "Band", "Driver", "SpatialReference"})


def test_nothing_outside_raster_reaches_gdal() -> None:
    trees = _trees()
    raster = {name: tree for name, tree in trees.items() if name.startswith("raster.")}
    assert sum(name.startswith("raster._") for name in raster) == 1, "the private module of raster is gone"
    found = [text for name, tree in trees.items() for text in _gdal_imports(name, tree)]
    found += [text for name, tree in trees.items() for text in _reexports(name, tree, raster)]
    assert found == []


def _api_names() -> frozenset[str]:
    """Names of GDAL's functions, classes and methods, which all begin with a capital."""
    from osgeo import gdal, osr

    kinds = (gdal, gdal.Dataset, gdal.Band, gdal.Driver, osr.SpatialReference, osr.CoordinateTransformation)
    names = {name for kind in kinds for name in dir(kind) if name[0].isupper() and not name.isupper()}
    return frozenset(names - {"Error", "BytesIO", "Dataset"})  # those of other libraries, too


MAY_LOAD = {
    "preprocess.labels.backends",
    "config.schema",
    "config.steps",
    "cli.commands",
    "patches.geoparquet",
}
"""Modules that load what a user or a table names."""


def _gdal_uses(name: str, tree: ast.Module, api: frozenset[str]) -> list[str]:
    """Uses of GDAL in a module outside raster that no import statement shows."""
    if name == "raster" or name.startswith("raster."):
        return []
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        is_use = False
        if isinstance(node, ast.Name):
            is_use = node.id in GDAL_MODULES
        elif isinstance(node, ast.Attribute):
            is_use = node.attr in {*GDAL_MODULES, "_gdal", *api} or ast.unparse(node) == "sys.modules"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            is_use = re.match(r"(osgeo|_gdal|s2pipe\.raster\._)", node.value) is not None
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in LOADERS:
            is_use = name not in MAY_LOAD and not isinstance(node.args[0], ast.Constant)
        if is_use:
            found.append(f"{name}, line {getattr(node, 'lineno', 0)}: {ast.unparse(node)}")
    return found


LOADERS = {"import_module", "__import__", "exec", "eval"}
"""Ways to a module that no import statement shows; a name written beside them is checked as a text."""


def test_nothing_outside_raster_uses_gdal_by_other_ways() -> None:
    api = _api_names()
    assert {"Open", "GetRasterBand", "SetConfigOption", "ImportFromEPSG"} <= api
    assert [use for name, tree in _trees().items() for use in _gdal_uses(name, tree, api)] == []


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("from s2pipe.raster import reader\nreader.gdal.Open('a')", True),
        ("from s2pipe.raster import reader\nreader._gdal", True),
        ("def f(dataset):\n    return dataset.GetRasterBand(1)", True),
        ("import importlib\nimportlib.import_module('os' + 'geo')", True),
        ("import sys\nsys.modules['a']", True),
        ("__import__(x)", True),
        ("name = 'osgeo.gdal'", True),
        ("getattr(reader, '_gdal')", True),
        ('"""osgeo is not used here."""\nx = path.Element', False),
    ],
)
def test_a_use_of_gdal_without_its_import_is_seen(source: str, uses: bool) -> None:
    assert bool(_gdal_uses("cli.x", ast.parse(source), _api_names())) is uses
    assert _gdal_uses("raster.x", ast.parse(source), _api_names()) == []


def test_no_module_outside_raster_holds_an_object_of_gdal() -> None:
    code = (
        "import importlib, sys\n"
        "import osgeo.gdal, osgeo.osr\n"
        "from s2pipe.errors import S2PipeError\n"
        f"for name in {sorted(n for n in MODULES if not n.startswith('raster') and '__main__' not in n)!r}:\n"
        "    try:\n"
        "        module = importlib.import_module(('s2pipe.' + name).rstrip('.'))\n"
        "    except (ImportError, S2PipeError):\n"
        "        continue\n"
        "    for key, value in vars(module).items():\n"
        "        owner = getattr(value, '__module__', None) or getattr(value, '__name__', '')\n"
        "        if str(owner).split('.')[0] == 'osgeo':\n"
        "            print(name, key)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == ""


def test_no_public_name_of_raster_hands_out_gdal() -> None:
    raster = {name: tree for name, tree in _trees().items() if name.startswith("raster.")}
    assert sum(len(_public_nodes(tree, name)) for name, tree in raster.items()) > 40
    assert [text for name, tree in raster.items() for text in _leaks(name, tree)] == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from s2pipe.raster.reader import RasterReader", []),
        ("from osgeo import gdal", ["osgeo", "osgeo.gdal"]),
        ("def f():\n    import osgeo.gdal as g", ["osgeo.gdal"]),
        (
            "from s2pipe.raster._gdal import gdal_module",
            ["s2pipe.raster._gdal", "s2pipe.raster._gdal.gdal_module"],
        ),
        ("from s2pipe.raster.reader import _open", ["s2pipe.raster.reader._open"]),
        ("from s2pipe.raster import _gdal", ["s2pipe.raster._gdal"]),
    ],
)
def test_an_import_that_reaches_gdal_is_seen(source: str, expected: list[str]) -> None:
    assert _gdal_imports("cli.x", ast.parse(source)) == [f"cli.x imports {name}" for name in expected]
    assert _gdal_imports("raster.x", ast.parse(source)) == []


def test_an_import_through_a_public_module_of_raster_is_seen() -> None:
    raster = {
        "raster.reader": ast.parse("from s2pipe.raster._gdal import gdal_module\ndef read() -> None: ...")
    }
    user = ast.parse("from s2pipe.raster.reader import gdal_module, read")
    assert _reexports("cli.x", user, raster) == ["cli.x imports gdal_module through raster.reader"]


@pytest.mark.parametrize(
    ("source", "leaks"),
    [
        ("def version() -> str: ...", False),
        ("def opened(path: Any) -> tuple[int, float] | None: ...", False),
        ("def module() -> ModuleType: ...", True),
        ("def opened(path: str) -> gdal.Dataset: ...", True),
        ("def opened(path: str) -> 'gdal.Dataset': ...", True),
        ("def opened(path: str) -> list[Any]: ...", True),
        ("def opened(path: str): ...", True),
        ("def _opened(path: str) -> Any: ...", False),
        ("class Reader:\n    def band(self) -> Any: ...", True),
        ("class Reader:\n    band: Any", True),
        ("class Reader:\n    def __init__(self) -> None:\n        self.band: Any = 1", True),
        ("class Reader:\n    def __init__(self) -> None:\n        self.band = 1", True),
        ("class Reader:\n    def __init__(self) -> None:\n        self._band: Any = 1", False),
        ("DRIVER: Any = 1", True),
    ],
)
def test_a_name_that_hands_out_gdal_is_seen(source: str, leaks: bool) -> None:
    assert bool(_leaks("raster.x", ast.parse(source))) is leaks
    assert _leaks("raster._x", ast.parse(source)) == []
