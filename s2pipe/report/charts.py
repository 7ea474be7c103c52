"""Charts as SVG: histograms before and after normalization, bars of shares, the timeline."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from s2pipe.report.markup import Html, el, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.report.model import BandHistogram

_WIDTH, _HEIGHT = 460, 150
_LEFT, _BOTTOM, _TOP = 8, 22, 16
_BINS = 160
_KEPT_MASS = (0.0005, 0.9995)
_TICKS = 5


def before_chart(band: BandHistogram, unit: str) -> Html | None:
    """Draw a band's values before normalization with marks where they are clipped; None without a pixel."""
    counts = np.asarray(band.counts, np.float64)
    if counts.sum() <= 0:
        return None
    low, high = _range(band.edges, counts)
    marks = [
        (value, name)
        for value, name in ((band.low, "clip low"), (band.high, "clip high"))
        if value is not None
    ]
    for value, _ in marks:
        low, high = min(low, value), max(high, value)
    margin = 0.03 * (high - low) or 1e-6
    limits = (low - margin, high + margin)
    binned = _rebinned((band.edges[:-1] + band.edges[1:]) / 2, counts, limits)
    words = ", ".join(f"{name} at {value:.4g}" for value, name in marks) or "not clipped"
    label = (
        f"Histogram of {band.name} before normalization, {limits[0]:.3g} to {limits[1]:.3g} {unit}; {words}"
    )
    return _chart(binned, limits, marks, label)


def after_chart(band: BandHistogram) -> Html | None:
    """Draw the same values as (clip(v) - mean) / std makes them; None where that is not known."""
    if band.mean is None or not band.std:
        return None
    centres = (band.edges[:-1] + band.edges[1:]) / 2
    clipped = np.clip(
        centres, -np.inf if band.low is None else band.low, np.inf if band.high is None else band.high
    )
    values = (clipped - band.mean) / band.std
    counts = np.asarray(band.counts, np.float64)
    occupied = values[counts > 0]
    if not occupied.size:
        return None
    low, high = float(occupied.min()), float(occupied.max())
    margin = 0.03 * (high - low) or 1e-6
    limits = (low - margin, high + margin)
    marks = [(0.0, "mean")] if limits[0] < 0 < limits[1] else []
    label = f"Histogram of {band.name} after normalization, {low:.3g} to {high:.3g} standard deviations"
    return _chart(_rebinned(values, counts, limits), limits, marks, label)


def value_chart(name: str, values: np.ndarray, what: str) -> Html | None:
    """Draw values that were read from rasters; None without any."""
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    low, high = (float(value) for value in np.percentile(known, (0.05, 99.95)))
    margin = 0.03 * (high - low) or 1e-6
    limits = (low - margin, high + margin)
    counts = np.histogram(known, _BINS, limits)[0].astype(np.float64)
    return _chart(counts, limits, [], f"Histogram of {name} {what}, {low:.3g} to {high:.3g}")


def _range(edges: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    mass = np.cumsum(counts) / counts.sum()
    first, last = np.searchsorted(mass, _KEPT_MASS)
    return float(edges[first]), float(edges[min(last + 1, len(edges) - 1)])


def _rebinned(values: np.ndarray, counts: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    binned: np.ndarray = np.histogram(values, _BINS, limits, weights=counts)[0]
    return binned


def _chart(
    counts: np.ndarray, limits: tuple[float, float], marks: Sequence[tuple[float, str]], label: str
) -> Html:
    inner = _WIDTH - 2 * _LEFT
    floor = _HEIGHT - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + inner * (value - limits[0]) / (limits[1] - limits[0])

    # The height of a bar is the square root of its count: tails stay visible beside what piles up at clip values.
    heights = np.sqrt(counts / max(counts.max(), 1.0)) * (floor - _TOP)
    steps = [f"M{_LEFT} {floor}"]
    for place, height in enumerate(heights.tolist()):
        right = _LEFT + inner * (place + 1) / len(heights)
        steps.append(f"V{floor - height:.1f}H{right:.1f}")
    steps.append(f"V{floor}Z")
    ticks = [limits[0] + (limits[1] - limits[0]) * place / (_TICKS - 1) for place in range(_TICKS)]
    anchors = ["start", *["middle"] * (_TICKS - 2), "end"]
    return el(
        "svg",
        el("path", d="".join(steps), class_="bars"),
        el("line", x1=_LEFT, x2=_WIDTH - _LEFT, y1=floor, y2=floor, class_="axis"),
        *(
            el("text", f"{value:.3g}", x=f"{x(value):.1f}", y=_HEIGHT - 6, text_anchor=anchor)
            for value, anchor in zip(ticks, anchors, strict=True)
        ),
        *(_mark(x(value), name, value, floor) for value, name in marks),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=label,
        class_="chart",
    )


def _mark(x: float, name: str, value: float, floor: float) -> Html:
    is_right = x > _WIDTH / 2
    return joined(
        [
            el("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=_TOP - 4, y2=floor, class_="mark"),
            el(
                "text",
                f"{name} {value:.4g}",
                x=f"{x + (-4 if is_right else 4):.1f}",
                y=_TOP - 5,
                text_anchor="end" if is_right else "start",
                class_="mark-text",
            ),
        ]
    )


def share_bar(shares: Sequence[tuple[str, float, str]]) -> Html:
    """Draw shares of one whole side by side: name, share and colour of each; the table beside it says the same."""
    parts, left = [], 0.0
    for name, share, colour in shares:
        width = 100 * share
        parts.append(
            el(
                "rect",
                el("title", f"{name}: {share:.1%}"),
                x=f"{left:.3f}",
                y=0,
                width=f"{width:.3f}",
                height=10,
                fill=colour,
            )
        )
        left += width
    return el(
        "svg",
        *parts,
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="share",
    )


def timeline(points: Sequence[tuple[str, float | None, str, str]]) -> Html | None:
    """Draw scenes by date and cloud cover: time, cloud cover in percent, state and name; None without a date."""
    dated = [
        (when, cloud, state, name) for text, cloud, state, name in points if (when := _date(text)) is not None
    ]
    if not dated:
        return None
    width, height, left, bottom = 1000, 200, 44, 28
    first, last = min(point[0] for point in dated), max(point[0] for point in dated)
    span = max(last - first, 86400.0)

    def x(when: float) -> float:
        return left + (width - left - 14) * (0.5 if last == first else (when - first) / span)

    def y(cloud: float | None) -> float:
        share = 0.0 if cloud is None else min(max(cloud, 0.0), 100.0) / 100
        return (height - bottom - 4) - (height - bottom - 16) * share

    dots = [
        el("circle", el("title", name), cx=f"{x(when):.1f}", cy=f"{y(cloud):.1f}", r=4, class_=f"dot {state}")
        for when, cloud, state, name in dated
    ]
    ticks = [first] if last == first else [first + span * place / 5 for place in range(6)]
    labels = [
        el(
            "text",
            datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d"),
            x=f"{x(when):.1f}",
            y=height - 8,
            text_anchor="middle" if 80 < x(when) < width - 80 else "start" if x(when) <= 80 else "end",
        )
        for when in ticks
    ]
    lines = [
        joined(
            [
                el("line", x1=left, x2=width - 8, y1=f"{y(cloud):.1f}", y2=f"{y(cloud):.1f}", class_="grid"),
                el("text", f"{cloud:g} %", x=left - 6, y=f"{y(cloud):.1f}", dy=4, text_anchor="end"),
            ]
        )
        for cloud in (0.0, 50.0, 100.0)
    ]
    return el(
        "svg",
        *lines,
        *labels,
        *dots,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=f"Timeline of {len(dated)} scene(s) by sensing date and cloud cover, as in the tables of scenes",
        class_="timeline",
    )


def dot(state: str) -> Html:
    """Draw the mark of a state, for a legend."""
    circle = el("circle", cx=7, cy=7, r=5, class_=f"dot {state}")
    return el("svg", circle, class_="swatch plain", viewBox="0 0 14 14", aria_hidden="true")


def _date(text: str) -> float | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
