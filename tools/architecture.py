"""The plan of the house: reads it from docs/architecture.md, holds it against the imports, and draws it.

``docs/architecture.md`` holds one table for the whole package and one for the inside of each larger room. Each row is
a floor; each name in backticks is a room: a module (``errors``) or a folder (``raster/``). The longest name that fits
decides where a module stands. An import must stay in its room or lead to a lower row.

    python tools/architecture.py            # check the plan; exit code 1 and a list where the code breaks it
    python tools/architecture.py --draw     # draw docs/img/architecture*.svg anew
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
PLAN = ROOT / "docs" / "architecture.md"
_HEADING = re.compile(r"^#+ (?:The floors|Inside `(?P<folder>[\w/]+)/`)\s*$")
_ROW = re.compile(r"^\| (?P<floor>[^|]*) \| (?P<rooms>[^|]*) \| (?P<holds>[^|]*) \|$")


@dataclass(frozen=True)
class Storey:
    """One table of the plan: the whole house, or the inside of one room."""

    folder: str
    """Folder below ``s2pipe/`` that the table divides, with dots; empty for the whole package."""
    floors: tuple[tuple[str, tuple[str, ...]], ...]
    """Label and rooms of each row, from the top; rooms are dotted names relative to ``s2pipe``."""

    def place(self, module: str) -> tuple[int, str] | None:
        """Return the row (0 at the top) and the room of a module; None when no name fits."""
        fits = [
            (len(room), row, room)
            for row, (_, rooms) in enumerate(self.floors)
            for room in rooms
            if module == room or module.startswith(f"{room}.")
        ]
        if not fits:
            return None
        _, row, room = max(fits)
        return row, room

    def covers(self, module: str) -> bool:
        """Tell whether the table speaks of a module; the package's own face is on no floor."""
        if not self.folder:
            return module != ""
        return module.startswith(f"{self.folder}.")


def read_plan(path: Path = PLAN) -> tuple[Storey, ...]:
    """Read the tables of floors from the documentation."""
    storeys: list[tuple[str, list[tuple[str, tuple[str, ...]]]]] = []
    inside = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = _HEADING.match(line)
            inside = heading is not None
            if heading is not None:
                storeys.append(((heading["folder"] or "").replace("/", "."), []))
        elif inside and (row := _ROW.match(line)) and "`" in row["rooms"]:
            folder, floors = storeys[-1]
            names = re.findall(r"`([^`]+)`", row["rooms"])
            prefix = f"{folder}." if folder else ""
            floors.append((row["floor"].strip(), tuple(prefix + _dotted(name) for name in names)))
    return tuple(Storey(folder, tuple(floors)) for folder, floors in storeys)


def _dotted(name: str) -> str:
    return name.rstrip("/").replace("/", ".")


def modules_of(package: Path) -> dict[str, Path]:
    """Return the modules of a package: dotted name relative to it (a folder's ``__init__`` as the folder) -> file."""
    return {
        ".".join(path.relative_to(package).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
        for path in sorted(package.rglob("*.py"))
    }


def imports_of(path: Path, package: str, known: Mapping[str, Path]) -> set[str]:
    """Return the package's own modules that a file imports, wherever the statement stands."""
    found = set()
    for name, _ in import_statements(ast.parse(path.read_text(encoding="utf-8"))):
        if name == package or name.startswith(f"{package}."):
            found.add(name.removeprefix(package).lstrip("."))
    return {name for name in found if name in known}


def import_statements(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Yield every dotted name that a module imports, and whether that happens when it is itself imported."""
    at_import = set(map(id, _run_at_import(tree.body)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in at_import
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, id(node) in at_import
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in at_import


def _run_at_import(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported: not those of functions, nor those for type checkers only."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _run_at_import(node.orelse)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                yield from _run_at_import(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                yield from _run_at_import(handler.body)


def breaches(storeys: Sequence[Storey], graph: Mapping[str, set[str]]) -> list[str]:
    """List where the imports break the plan: modules on no floor, and arrows that do not lead down."""
    found = []
    for storey in storeys:
        for module in sorted(filter(storey.covers, graph)):
            here = storey.place(module)
            if here is None:
                found.append(
                    f"s2pipe.{module} is on no floor of {storey.folder or 'the house'}; give it a place"
                )
                continue
            for other in sorted(filter(storey.covers, graph[module])):
                there = storey.place(other)
                if there is not None and there[1] != here[1] and there[0] <= here[0]:
                    labels = storey.floors[here[0]][0], storey.floors[there[0]][0]
                    found.append(
                        f"s2pipe.{module} ({labels[0]}) imports s2pipe.{other} ({labels[1]}): not below it"
                    )
    return found


def empty_rooms(storeys: Sequence[Storey], graph: Mapping[str, set[str]]) -> list[str]:
    """List rooms of the plan in which no module stands."""
    return [
        room
        for storey in storeys
        for _, rooms in storey.floors
        for room in rooms
        if not any((place := storey.place(module)) and place[1] == room for module in graph)
    ]


def import_graph(package: Path) -> dict[str, set[str]]:
    """Return module -> modules of the same package that it imports."""
    modules = modules_of(package)
    return {name: imports_of(path, package.name, modules) - {name} for name, path in modules.items()}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle, the first one again at the end; empty without one."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        found: list[str] = []
        if name not in done:
            for other in sorted(graph[name]):
                found = found or visit(other, [*way, name])
            done.add(name)
        return found

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def room_graph(storey: Storey, graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return room -> rooms that it imports, for one table."""
    rooms: dict[str, set[str]] = {room: set() for _, names in storey.floors for room in names}
    for module, others in graph.items():
        here = storey.place(module) if storey.covers(module) else None
        for other in others:
            there = storey.place(other) if storey.covers(other) else None
            if here and there and here[1] != there[1]:
                rooms[here[1]].add(there[1])
    return rooms


def without_shortcuts(rooms: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Leave out every arrow that a longer way makes superfluous: what is left shows the order."""

    def reach(room: str) -> set[str]:
        found: set[str] = set()
        ways = list(rooms[room])
        while ways:
            if (way := ways.pop()) not in found:
                found.add(way)
                ways += rooms[way]
        return found

    return {
        room: {other for other in others if not any(other in reach(third) for third in others - {other})}
        for room, others in rooms.items()
    }


def draw(path: Path, storey: Storey, graph: Mapping[str, set[str]], lines: Mapping[str, int]) -> None:
    """Draw one table as floors of rooms, as wide as the lines that they hold, with the arrows that give the order."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "s2pipe", "svg.fonttype": "path", "font.family": "DejaVu Sans"})
    boxes = _boxes(storey, lines)
    right, top = max(box.right for box in boxes.values()), max(box.y for box in boxes.values())
    figure, axes = plt.subplots(figsize=(0.78 * right + 2.2, 0.8 * top + 1.1))
    for room, others in without_shortcuts(room_graph(storey, graph)).items():
        for other in others:
            _draw_arrow(axes, boxes[room], boxes[other])
    for box in boxes.values():
        _draw_box(axes, box)
    for row, (label, _) in enumerate(storey.floors):
        y = _STEP * (len(storey.floors) - 1 - row) + _HEIGHT / 2
        axes.text(-0.3, y, label, fontsize=9, color="#556677", va="center", ha="right")
    axes.set_xlim(-2.9, right + 0.1)
    axes.set_ylim(-0.2, top + _HEIGHT + 0.2)
    axes.axis("off")
    figure.patch.set_facecolor("white")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


_STEP, _HEIGHT, _GAP = 1.3, 0.66, 0.4
_COLOURS = ("#dbe9f6", "#e1f0de", "#fdf0d0", "#f9e0db", "#ebe2f3", "#e2eef0", "#f1e9da", "#e8e8e8")


@dataclass(frozen=True)
class _Box:
    name: str
    lines: int
    x: float
    y: float
    width: float
    colour: str

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def _boxes(storey: Storey, lines: Mapping[str, int]) -> dict[str, _Box]:
    """Place every room: rows from the top, each row centred; one colour for all rows of one floor (F1, F2, ...)."""
    prefix = f"{storey.folder}." if storey.folder else ""
    counts = {room: 0 for _, rooms in storey.floors for room in rooms}
    for module, count in lines.items():
        if storey.covers(module) and (place := storey.place(module)):
            counts[place[1]] += count
    widths = {
        room: max(0.9, 0.125 * len(room.removeprefix(prefix)) + 0.3, count / 1500)
        for room, count in counts.items()
    }
    kinds = list(dict.fromkeys(label.split()[0] for label, _ in storey.floors))
    broadest = max(sum(widths[room] + _GAP for room in rooms) for _, rooms in storey.floors)
    boxes = {}
    for row, (label, rooms) in enumerate(storey.floors):
        x = (broadest - sum(widths[room] + _GAP for room in rooms)) / 2
        colour = _COLOURS[kinds.index(label.split()[0]) % len(_COLOURS)]
        for room in rooms:
            name = room.removeprefix(prefix).replace(".", "/")
            y = _STEP * (len(storey.floors) - 1 - row)
            boxes[room] = _Box(name, counts[room], x, y, widths[room], colour)
            x += widths[room] + _GAP
    return boxes


def _draw_box(axes: Any, box: _Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0.02,rounding_size=0.09"
    axes.add_patch(
        FancyBboxPatch(
            (box.x, box.y), box.width, _HEIGHT, boxstyle=style, facecolor=box.colour, edgecolor="#445566"
        )
    )
    axes.text(box.middle, box.y + 0.42, box.name, ha="center", va="center", fontsize=9.5)
    axes.text(
        box.middle, box.y + 0.16, f"{box.lines} lines", ha="center", va="center", fontsize=7, color="#556677"
    )


def _draw_arrow(axes: Any, above: _Box, below: _Box) -> None:
    from matplotlib.patches import FancyArrowPatch

    # Arrows leave and arrive towards each other, so that those of one room do not lie on one line.
    start = min(max(below.middle, above.x + 0.15), above.right - 0.15)
    end = min(max(above.middle, below.x + 0.15), below.right - 0.15)
    axes.add_patch(
        FancyArrowPatch(
            ((start + above.middle) / 2, above.y - 0.03),
            ((end + below.middle) / 2, below.y + _HEIGHT + 0.03),
            arrowstyle="-|>",
            mutation_scale=9,
            linewidth=0.9,
            color="#8a99aa",
            connectionstyle="arc3,rad=0.05",
            zorder=0,
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Check the plan, or draw it."""
    parser = argparse.ArgumentParser(
        description="Hold the plan of the house against the imports, or draw it."
    )
    parser.add_argument("--draw", action="store_true", help="draw docs/img/architecture*.svg")
    options: Any = parser.parse_args(argv)
    storeys, graph = read_plan(), import_graph(ROOT / "s2pipe")
    if options.draw:
        lines = {
            module: path.read_text(encoding="utf-8").count("\n")
            for module, path in modules_of(ROOT / "s2pipe").items()
        }
        for storey in storeys:
            name = "-".join(["architecture", *storey.folder.split(".")]).rstrip("-")
            draw(ROOT / "docs" / "img" / f"{name}.svg", storey, graph, lines)
        return 0
    found = [
        *breaches(storeys, graph),
        *(f"{room}: no module stands there" for room in empty_rooms(storeys, graph)),
        *([f"circle: {' -> '.join(ring)}"] if (ring := circle(graph)) else []),
    ]
    print("\n".join(found) or "the imports keep to the plan")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
