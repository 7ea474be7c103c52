"""The other sections: histograms, patches, runs and failures, versions and configurations."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe import __version__
from s2pipe.dataset.label_credit import label_lines
from s2pipe.ground.split import SPLITS
from s2pipe.report.charts import after_chart, before_chart, value_chart
from s2pipe.report.colours import class_name
from s2pipe.report.markup import Html, el, joined
from s2pipe.report.processed import meaning_of
from s2pipe.report.scenes import class_bar
from s2pipe.report.tables import Cell, Links, nbytes, percent, table
from s2pipe.report.values import counts, items, mapping, number, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.report.contact import Picture
    from s2pipe.report.model import Contents, PatchSet
    from s2pipe.report.quicklooks import Quicklook

_BY = (
    ("by_tile", "tile"),
    ("by_month", "month"),
    ("by_cloud_cover", "cloud cover"),
)


def histograms_section(contents: Contents, looks: Sequence[Quicklook], links: Links) -> Html | None:
    """Draw values before and after normalization; None without statistics and without a value that was read."""
    parts: list[Html] = []
    for stats in contents.statistics:
        unit = "reflectance" if stats.document.get("to_toa_reflectance") else "DN"
        scenes = number(stats.document.get("scenes_processed")) or 0
        parts.append(el("p", "Statistics of ", f"{scenes:.0f} scene(s): ", links.link(stats.path)))
        for band in stats.bands:
            after = after_chart(band)
            pair = [
                el("figure", before, el("figcaption", f"{band.name} before, {unit}"))
                for before in [before_chart(band, unit)]
                if before is not None
            ]
            if after is not None:
                pair.append(el("figure", after, el("figcaption", f"{band.name} after, standard deviations")))
            parts.append(el("div", *pair, class_="pair"))
        parts.append(_band_table(stats.document))
        if not stats.bands:
            hint = "No histogram was saved beside these statistics (normalize.save_histograms)."
            parts.append(el("p", hint, class_="note"))
    parts += _sampled(contents, looks)
    if parts:
        note = "Heights are square roots of counts, so that tails can be seen beside what piles up at clip values."
        parts.insert(0, el("p", note, class_="note"))
    return joined(parts) if parts else None


def _band_table(document: dict[str, Any]) -> Html:
    keys = (
        "clip_low_by_band",
        "clip_high_by_band",
        "mean_by_band",
        "std_by_band",
        "pixel_count_by_band",
        "underflow_count_by_band",
        "overflow_count_by_band",
    )
    rows = [
        [text(band), *(_value(mapping(document.get(key)).get(text(band))) for key in keys)]
        for band in items(document.get("bands"))
    ]
    columns = ["Band", "#Clip low", "#Clip high", "#Mean", "#Std", "#Pixels", "#Below range", "#Above range"]
    return table("Statistics by band", columns, rows)


def _value(value: object) -> Cell:
    found = number(value)
    if found is None:
        return Cell("none", -1e308)
    return Cell(f"{found:,.0f}" if isinstance(value, int) else f"{found:.5g}", found)


def _sampled(contents: Contents, looks: Sequence[Quicklook]) -> list[Html]:
    """Histograms of what was read for the large quicklooks: values as they are in ``x.tif``."""
    parts = []
    for is_normalized, what in (
        (False, "as written, before normalization"),
        (True, "as written, normalised"),
    ):
        values: dict[str, list[np.ndarray]] = {}
        scenes = 0
        for sample, look in zip(contents.samples, looks, strict=True):
            if sample.is_normalized == is_normalized and look.values:
                scenes += 1
                for band, found in look.values.items():
                    values.setdefault(band, []).append(found)
        charts = [
            el("figure", chart, el("figcaption", f"{band}, {what}"))
            for band, found in values.items()
            for chart in [value_chart(band, np.concatenate(found), what)]
            if chart is not None
        ]
        if charts:
            label = f"Samples of pixels {what}, from {scenes} scene(s)"
            parts.append(el("details", el("summary", label), el("div", *charts, class_="pair")))
    return parts


def patches_section(found: PatchSet, pictures: Sequence[Picture], links: Links) -> Html:
    """Describe one set of patches."""
    parts = [
        el("h3", links.link(found.directory, found.directory.name)),
        None if found.shards else el("p", "There are no shards yet: the split was planned.", class_="note"),
    ]
    if found.summary:
        parts += _kept_and_dropped(found)
    if found.shards:
        parts.append(_splits(found))
    if counted := mapping(found.split.get("counts")):
        keys = ("scenes", "cells", "candidates", "km2")
        planned = [
            [split, *(_value(mapping(row).get(key)) for key in keys)] for split, row in counted.items()
        ]
        title = f"Planned split of the ground, by {text(found.split.get('by'))}"
        parts.append(table(title, ["Split", "#Scenes", "#Cells", "#Candidates", "#km²"], planned))
    if found.reasons:
        reasons = list(dict.fromkeys(reason for row in found.reasons.values() for reason in row))
        rows = [[scene, *(row.get(reason, 0) for reason in reasons)] for scene, row in found.reasons.items()]
        parts.append(
            table("Candidates by scene and reason", ["Scene", *(f"#{name}" for name in reasons)], rows)
        )
    if not found.is_every_patch_drawn:
        parts.append(el("p", "The map shows some of the patches only, evenly spread.", class_="note"))
    if pictures:
        parts.append(_contact_sheet(pictures, links))
    return joined(parts)


def _kept_and_dropped(found: PatchSet) -> list[Html]:
    summary = found.summary
    said = f"{text(summary.get('kept'))} of {text(summary.get('candidates'))} candidates kept"
    rows = [[reason, count] for reason, count in mapping(summary.get("dropped_by_reason")).items()]
    tables = [table("Dropped patches by reason", ["Reason", "#Patches"], _plain(rows))] if rows else []
    for key, what in _BY:
        rows = [
            [name, mapping(row).get("kept"), mapping(row).get("dropped")]
            for name, row in mapping(summary.get(key)).items()
        ]
        if rows:
            title = f"Kept and dropped by {what}"
            tables.append(table(title, [what.capitalize(), "#Kept", "#Dropped"], _plain(rows)))
    return [el("p", el("b", said)), el("div", *tables, class_="pair")]


def _plain(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [[row[0], *(_value(value) for value in row[1:])] for row in rows]


def _splits(found: PatchSet) -> Html:
    """Class balance, valid cover and size of each split."""
    labels = mapping(found.shards.get("labels"))
    channels = [mapping(channel) for channel in items(labels.get("channels"))]
    meaning = meaning_of(channels[0] if channels else labels)
    by_split = {split: mapping(mapping(found.shards.get("splits")).get(split)) for split in SPLITS}
    histograms = {
        split: {
            int(value): count
            for value, count in counts(row.get("class_histogram")).items()
            if value.isdecimal()
        }
        for split, row in by_split.items()
    }
    values = sorted({value for row in histograms.values() for value in row})
    rows = []
    for split, row in by_split.items():
        total = sum(histograms[split].values()) or 1
        rows.append(
            [
                split,
                _value(row.get("samples")),
                _value(row.get("shards")),
                nbytes(int(number(row.get("bytes")) or 0)),
                percent(found.valid_by_split.get(split)),
                class_bar(histograms[split], meaning),
                *(percent(histograms[split].get(value, 0) / total) for value in values),
            ]
        )
    columns = ["Split", "#Items", "#Shards", "#Size", "#Mean valid", "Classes"]
    return table("Splits", [*columns, *(f"#{class_name(value, meaning)}" for value in values)], rows)


def _contact_sheet(pictures: Sequence[Picture], links: Links) -> Html:
    parts: list[Html] = []
    if any(picture.labels for picture in pictures):
        box = el("input", type="checkbox", data_labels=True)
        parts.append(el("p", el("label", box, " Show labels instead of bands"), class_="script-only"))
    for split in SPLITS:
        of_split = [picture for picture in pictures if picture.split == split]
        if of_split:
            parts.append(el("h4", f"{split}: {len(of_split)} patch(es) from the shards"))
            parts.append(el("div", *(_patch(picture, links) for picture in of_split), class_="sheet"))
    return el("div", *parts, class_="contact")


def _patch(picture: Picture, links: Links) -> Html:
    cloud = number(picture.about.get("cloud_fraction"))
    valid = number(picture.about.get("valid_fraction"))
    facts = [f"valid {valid:.0%}"] if valid is not None else []
    facts += [f"cloud {cloud:.0%}"] if cloud is not None and cloud >= 0 else []
    images = [el("img", src=picture.bands, alt=f"Patch {picture.name}", class_="bands")]
    if picture.labels:
        images.append(
            el("img", src=picture.labels, alt=f"Labels of patch {picture.name}", class_="labels", hidden=True)
        )
    shown = el("a", *images, href=links.address(picture.shard), title=picture.name)
    return el("figure", shown, el("figcaption", ", ".join(facts)))


def runs_section(contents: Contents, links: Links) -> Html | None:
    """List the runs that left a record; None without any."""
    if not contents.runs:
        return None
    rows = [
        [
            run.run_id,
            run.step,
            run.time_utc,
            run.status,
            ", ".join(f"{count} {status}" for status, count in run.scenes.items()),
            Cell("" if run.seconds is None else f"{run.seconds:.1f}", run.seconds or 0.0),
            links.link(run.path),
        ]
        for run in sorted(contents.runs, key=lambda run: (run.time_utc, run.run_id))
    ]
    return table("Runs", ["Run", "Step", "Ended", "Result", "Scenes", "#Seconds", "File"], rows)


def problems_section(contents: Contents, links: Links) -> Html:
    """List what is missing, damaged or failed."""
    if not contents.problems:
        return el("p", "Nothing is missing, damaged or failed, as far as documents and pictures tell.")
    rows = []
    for problem in contents.problems:
        first, _, rest = problem.reason.strip().partition("\n")
        reason = el("details", el("summary", first), el("pre", rest)) if rest.strip() else el("span", first)
        there = problem.path is not None and problem.path.exists()
        where = "" if problem.path is None else links.link(problem.path) if there else problem.path.name
        rows.append([problem.what, problem.kind, reason, problem.time_utc, where])
    said = Counter(problem.kind for problem in contents.problems)
    caption = "What is wrong: " + ", ".join(f"{count} {kind}" for kind, count in sorted(said.items()))
    return table(caption, ["What", "Kind", "Reason", "When", "File"], rows, "problems")


def versions_section(contents: Contents) -> Html:
    """List the versions of what made the samples, and of s2pipe that made the page."""
    found: Counter[tuple[tuple[str, str], ...]] = Counter(
        tuple(sorted(sample.versions.items())) for sample in contents.samples
    )
    rows = [
        [", ".join(f"{name} {version}" for name, version in versions) or "not recorded", count]
        for versions, count in found.most_common()
    ]
    parts = [el("p", f"This page was made by s2pipe {__version__}.")]
    if rows:
        parts.insert(0, table("Versions that made the samples", ["Versions", "#Samples"], rows))
    lines = sorted({sample.attribution for sample in contents.samples} - {""})
    lines += label_lines(target.meaning.source for sample in contents.samples for target in sample.targets)
    parts += [el("p", line) for line in lines]
    return joined(parts)


def configuration_section(contents: Contents) -> Html | None:
    """Show every configuration once; None without any."""
    shown: Counter[str] = Counter()
    titles: dict[str, str] = {}
    for sample in contents.samples:
        written = _written(sample.config)
        titles.setdefault(written, f"preprocess, {sample.normalization.get('mode', 'none')}")
        shown[written] += 1
    parts = [
        el("details", el("summary", f"{titles[written]} ({count} sample(s))"), el("pre", written, tabindex=0))
        for written, count in shown.items()
    ]
    others = [*contents.configs]
    others += [
        (f"patches, {found.directory.name}", mapping(found.shards.get("config")))
        for found in contents.patches
    ]
    parts += [
        el("details", el("summary", title), el("pre", _written(config), tabindex=0))
        for title, config in others
        if config
    ]
    return joined(parts) if parts else None


def _written(config: dict[str, Any]) -> str:
    return json.dumps(config, indent=2, ensure_ascii=False)
