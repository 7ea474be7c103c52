"""The picture of the table: cost against size, a line a row, with its target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_TARGET_SIZE = 100_000


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Draw measured seconds against scenes; hollow marks are the targets."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(item["row"] for item in found))
    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    colours = plt.get_cmap("tab20")
    for number, name in enumerate(names):
        points = [item for item in found if item["row"] == name and "error" not in item]
        if not points:
            continue
        colour = colours(number % 20)
        sizes, seconds = zip(*((item["size"], max(item["seconds"], 1e-5)) for item in points), strict=True)
        axes.plot(sizes, seconds, marker="o", color=colour, label=name)
        axes.plot([_TARGET_SIZE], [points[0]["target_s"]], marker="_", markersize=18, color=colour)
    axes.set(xscale="log", yscale="log", xlabel="scenes", ylabel="seconds (bars: targets at 100,000 scenes)")
    axes.grid(visible=True, which="major", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
