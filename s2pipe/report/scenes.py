"""The sections of scenes: their table, quicklooks, classes, and the valid cover."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from s2pipe.report.charts import dot, share_bar, timeline
from s2pipe.report.colours import class_colour, class_name
from s2pipe.report.markup import Html, clean, el, joined
from s2pipe.report.tables import Cell, Links, nbytes, percent, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from s2pipe.dataset.label_meaning import LabelMeaning
    from s2pipe.report.model import Contents, SampleFacts, Target
    from s2pipe.report.quicklooks import Quicklook

_SHOWN_CLASSES = 64


def sample_name(sample: SampleFacts, root: Path) -> str:
    """Name of a sample in the report: with its directory where that is another than the report's."""
    where = sample.root.relative_to(root).as_posix() if sample.root.is_relative_to(root) else str(sample.root)
    more = "" if len(sample.scenes) == 1 else f" (mosaic of {len(sample.scenes)} scenes)"
    return f"{'' if where == '.' else f'{where}: '}{sample.key}{more}"


def samples_section(contents: Contents, looks: Sequence[Quicklook], links: Links) -> Html | None:
    """Make the table of samples; None without any."""
    if not contents.samples:
        return None
    clouds = {scene.key.identity: scene.cloud_cover for scene in contents.sources}
    rows = [
        [
            sample_name(sample, contents.root),
            el("img", data_look=place, alt="", width=48, height=48) if looks[place].layers else "",
            Cell(sample.key.sensing_start_utc[:10], sample.key.sensing_start_utc),
            percent(_cloud(sample, clouds)),
            percent(_valid_share(sample)),
            "normalised" if sample.is_normalized else sample.unit.replace("_", " "),
            nbytes(sample.nbytes),
            links.files([*sample.rasters.values(), sample.meta_path]),
        ]
        for place, sample in enumerate(contents.samples)
    ]
    columns = ["Sample", "", "Sensed", "#Cloud", "#Valid", "Values", "#Size", "Files"]
    return joined([_filter("samples"), table("Samples of Step 2", columns, rows, "samples")])


def _filter(name: str) -> Html:
    return el(
        "p",
        el("label", "Show rows that contain ", el("input", type="search", data_filter=name)),
        el("span", data_count=name, role="status"),
        class_="script-only",
    )


def _cloud(sample: SampleFacts, clouds: Mapping[tuple[str, str], float | None]) -> float | None:
    """Cloud cover of the product of a sample; of mosaics no product says it."""
    cover = clouds.get(sample.key.identity) if len(sample.scenes) == 1 else None
    return None if cover is None else cover / 100


def _valid_share(sample: SampleFacts) -> float | None:
    return min(sample.valid.values()) if sample.valid else None


def sources_section(contents: Contents) -> Html | None:
    """Make the table of scenes of Step-1 indexes; None without any."""
    if not contents.sources:
        return None
    done = contents.done
    rows = [
        [
            str(scene.key),
            Cell(scene.key.sensing_start_utc[:10], scene.key.sensing_start_utc),
            percent(None if scene.cloud_cover is None else scene.cloud_cover / 100),
            joined(el("span", name, class_="file") for name in scene.products),
            scene.files_present,
            scene.files_planned,
            "yes" if scene.key.identity in done else "no",
        ]
        for scene in contents.sources
    ]
    columns = ["Scene", "Sensed", "#Cloud", "Products", "#Files", "#Absent files", "Sample"]
    return joined([_filter("sources"), table("Scenes of the Step-1 index", columns, rows, "sources")])


def timeline_section(contents: Contents) -> Html | None:
    """Draw scenes over time; None where no time is known."""
    failed = {problem.what for problem in contents.problems if problem.kind == "failed"}
    done = contents.done
    clouds = {scene.key.identity: scene.cloud_cover for scene in contents.sources}
    keys = {key.identity: key for key in contents.keys}
    points = [
        (
            key.sensing_start_utc,
            clouds.get(identity),
            state,
            f"{key}: {state}"
            if clouds.get(identity) is None
            else f"{key}: {state}, {clouds[identity]:.1f} % cloud",
        )
        for identity, key in sorted(keys.items())
        for state in ["done" if identity in done else "failed" if str(key) in failed else "indexed"]
    ]
    drawn = timeline(points)
    if drawn is None:
        return None
    states = [state for state in ("done", "indexed", "failed") if any(point[2] == state for point in points)]
    names = {"done": "sample", "indexed": "in the Step-1 index alone", "failed": "failed"}
    entries = [el("span", dot(state), f" {names[state]}") for state in states]
    note = "Height: cloud cover; where that is unknown, 0 %."
    return joined([drawn, el("p", *entries, el("span", note), class_="legend")])


def viewer_section(contents: Contents, looks: Sequence[Quicklook]) -> Html | None:
    """Make the viewer of quicklooks, which the page's script brings to life; None without a picture."""
    if not any(look.layers for look in looks):
        return None
    options = [
        el("option", sample_name(sample, contents.root), value=place)
        for place, sample in enumerate(contents.samples)
        if looks[place].layers
    ]
    first = next(look for look in looks if look.layers)
    figures = [
        el(
            "figure",
            el("img", src=layer.data, alt=f"{layer.title}: {layer.note}"),
            el("figcaption", el("b", layer.title), " ", layer.note),
        )
        for layer in first.layers
    ]
    choices = el(
        "div",
        el("label", "Scene ", el("select", *options, id="scene")),
        el("button", "Previous", type="button", id="previous"),
        el("button", "Next", type="button", id="next"),
        el("label", "Left ", el("select", id="left")),
        el("label", "Right ", el("select", id="right")),
        class_="controls",
    )
    compare = el(
        "div",
        el("img", id="under", alt=""),
        el("img", id="over", alt=""),
        el("span", id="divider", aria_hidden="true"),
        el(
            "input",
            type="range",
            id="slider",
            min=0,
            max=100,
            value=50,
            aria_label="Share of the left picture",
        ),
        class_="compare",
    )
    return joined(
        [
            el("div", choices, compare, class_="script-only"),
            el("div", *figures, class_="layers", id="layers", aria_live="polite"),
            _class_legend(contents.samples),
        ]
    )


def viewer_data(contents: Contents, looks: Sequence[Quicklook]) -> str:
    """Pictures of all samples as JSON that may stand inside a script element."""
    scenes = [
        {
            "name": clean(sample_name(sample, contents.root)),
            "large": look.is_large,
            "layers": [{key: clean(value) for key, value in vars(layer).items()} for layer in look.layers],
        }
        for sample, look in zip(contents.samples, looks, strict=True)
    ]
    data: Any = json.dumps({"scenes": scenes}, ensure_ascii=True, separators=(",", ":"))
    return str(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _class_legend(samples: Sequence[SampleFacts]) -> Html | None:
    """Explain the colours of labels, each class once."""
    found: dict[tuple[str, str], None] = {}
    for sample in samples:
        for target in sample.targets:
            for value in _values(target):
                found[class_name(value, target.meaning), class_colour(value, target.meaning)] = None
    if not found:
        return None
    swatches = [
        el("span", swatch(colour), f" {name}")
        for name, colour in sorted(found, key=_by_number)[:_SHOWN_CLASSES]
    ]
    return el("p", *swatches, class_="legend", aria_label="Colours of the labels")


def _by_number(entry: tuple[str, str]) -> tuple[int, str]:
    digits = [part for part in entry[0].split() if part.isdecimal()]
    return (int(digits[0]) if digits else 0, entry[0])


def swatch(colour: str) -> Html:
    """Draw a small square of a colour."""
    box = el("rect", width=14, height=14, fill=colour)
    return el("svg", box, class_="swatch", viewBox="0 0 14 14", aria_hidden="true")


def _values(target: Target) -> list[int]:
    return [
        int(value) for value in target.counts if value.isascii() and value.isdecimal() and len(value) <= 5
    ]


def _bar(target: Target) -> Html:
    return class_bar({value: target.counts[str(value)] for value in _values(target)}, target.meaning)


def class_bar(counts: dict[int, int], meaning: LabelMeaning) -> Html:
    """Draw the shares of classes."""
    total = sum(counts.values())
    if not total:
        return el("span", "none")
    return share_bar(
        [
            (class_name(value, meaning), count / total, class_colour(value, meaning))
            for value, count in sorted(counts.items())
            if count
        ]
    )


def classes_section(contents: Contents) -> Html | None:
    """Make tables of classes and of the valid cover by scene; None without labels and masks."""
    parts: list[Html] = []
    names = list(dict.fromkeys(target.name for sample in contents.samples for target in sample.targets))
    for name in names:
        rows = list(_class_rows(contents, name))
        if rows:
            values = sorted({value for _, target in rows for value in _values(target)})[:_SHOWN_CLASSES]
            meaning = rows[0][1].meaning
            for _, target in rows[1:]:
                meaning = meaning.with_legend_of(target.meaning)
            columns = ["Sample", "Balance", *(f"#{class_name(value, meaning)}" for value in values)]
            body = [[sample, _bar(target), *_shares(target, values)] for sample, target in rows]
            caption = f"Classes of {name} by sample" if name else "Classes by sample"
            parts.append(table(caption, columns, body))
    channels = list(dict.fromkeys(name for sample in contents.samples for name in sample.valid))
    if channels:
        body = [
            [sample_name(sample, contents.root), *(percent(sample.valid.get(name)) for name in channels)]
            for sample in contents.samples
        ]
        parts.append(table("Valid cover by sample", ["Sample", *(f"#{name}" for name in channels)], body))
    return joined(parts) if parts else None


def _class_rows(contents: Contents, name: str) -> Iterable[tuple[str, Target]]:
    for sample in contents.samples:
        for target in sample.targets:
            if target.name == name and target.counts:
                yield sample_name(sample, contents.root), target


def _shares(target: Target, values: Sequence[int]) -> list[Cell]:
    total = sum(target.counts.values()) or 1
    return [percent(target.counts.get(str(value), 0) / total) for value in values]
