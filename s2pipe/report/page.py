"""The page: sections into the template, with the hashes that allow its own style and script and nothing else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from s2pipe.report.ground_map import ground_map
from s2pipe.report.markup import Html, el, escaped, joined
from s2pipe.report.scenes import (
    classes_section,
    samples_section,
    sources_section,
    timeline_section,
    viewer_data,
    viewer_section,
)
from s2pipe.report.sections import (
    configuration_section,
    histograms_section,
    patches_section,
    problems_section,
    runs_section,
    versions_section,
)
from s2pipe.runtime.progress import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s2pipe.report.contact import Picture
    from s2pipe.report.model import Contents
    from s2pipe.report.quicklooks import Quicklook
    from s2pipe.report.tables import Links

_STEPS = {1: "Step 1 (download, index)", 2: "Step 2 (preprocess)", 3: "Step 3 (patches)"}


def page(
    contents: Contents, looks: Sequence[Quicklook], sheets: Sequence[Sequence[Picture]], links: Links
) -> str:
    """Make the whole page.

    Parameters
    ----------
    contents : Contents
        What the dataset holds.
    looks : sequence of Quicklook
        Pictures of its samples, in their order.
    sheets : sequence of sequences of Picture
        Contact sheets of its sets of patches, in their order.
    links : Links
        Addresses of files.
    """
    sections = list(_sections(contents, looks, sheets, links))
    style, script = (_template(name) for name in ("page.css", "page.js"))
    navigation = el("ul", *(el("li", el("a", title, href=f"#{name}")) for name, title, _ in sections))
    content = joined(
        el("section", el("h2", title, id=f"{name}-title"), body, id=name, aria_labelledby=f"{name}-title")
        for name, title, body in sections
    )
    return Template(_template("page.html")).substitute(
        title=escaped(f"Dataset report: {contents.root.absolute().name}"),
        facts=_facts(contents),
        navigation=navigation,
        content=content,
        footer=_footer(contents),
        data=viewer_data(contents, looks),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _template(name: str) -> str:
    return (files("s2pipe.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _sections(
    contents: Contents, looks: Sequence[Quicklook], sheets: Sequence[Sequence[Picture]], links: Links
) -> Iterator[tuple[str, str, Html]]:
    """Yield identifier, title and content of each section of which there is something."""
    patches = joined(
        patches_section(found, pictures, links)
        for found, pictures in zip(contents.patches, sheets, strict=True)
    )
    for name, title, body in (
        ("map", "Map", ground_map(contents)),
        ("quicklooks", "Quicklooks", viewer_section(contents, looks)),
        ("samples", "Samples", samples_section(contents, looks, links)),
        ("histograms", "Histograms", histograms_section(contents, looks, links)),
        ("classes", "Classes and valid cover", classes_section(contents)),
        ("patches", "Patches", patches or None),
        ("scenes", "Scenes", sources_section(contents)),
        ("timeline", "Timeline", _timeline(contents, links)),
        ("problems", "Failures and gaps", problems_section(contents, links)),
        ("versions", "Versions", versions_section(contents)),
        ("configuration", "Configuration", configuration_section(contents)),
    ):
        if body is not None:
            yield f"section-{name}", title, body


def _timeline(contents: Contents, links: Links) -> Html | None:
    parts = [part for part in (timeline_section(contents), runs_section(contents, links)) if part is not None]
    return joined(parts) if parts else None


def _facts(contents: Contents) -> Html:
    kept = sum(
        int(found.shards.get("kept") or 0)
        for found in contents.patches
        if _is_count(found.shards.get("kept"))
    )
    bad = sum(problem.kind in ("missing", "damaged", "failed") for problem in contents.problems)
    tiles = {key.tile_id for key in contents.keys}
    days = sorted(key.sensing_start_utc[:10] for key in contents.keys)
    facts: list[tuple[str, str]] = []
    if contents.sources:
        facts.append((str(len(contents.sources)), "scenes"))
    if contents.samples:
        facts.append((str(len(contents.samples)), "samples"))
        facts.append((size_text(sum(sample.nbytes for sample in contents.samples)), "in samples"))
    if tiles:
        facts.append((str(len(tiles)), "tiles"))
    if days:
        facts.append((days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}", "sensed"))
    if any(found.shards for found in contents.patches):
        facts.append((str(kept), "patches"))
    entries = [el("li", el("b", value), what) for value, what in facts]
    entries.append(el("li", el("b", str(bad)), "failures and gaps", class_="bad" if bad else None))
    absent = [name for step, name in _STEPS.items() if step not in contents.steps]
    note = el("p", f"There is nothing here of {', '.join(absent)}.", class_="note") if absent else None
    return joined(
        [el("ul", *entries, class_="facts"), note] if note else [el("ul", *entries, class_="facts")]
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _footer(contents: Contents) -> Html:
    times = [sample.created_utc for sample in contents.samples] + [run.time_utc for run in contents.runs]
    latest = max(times, default="")
    state = f"The last thing recorded is of {latest}. " if latest else ""
    return el("p", f"{state}Made by s2pipe report. Links lead to the files of the dataset.")
