"""The text of a dataset's ``README.md``: front matter in YAML, as dataset hubs read it, and a card in Markdown."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from s2pipe import __version__
from s2pipe.runtime.progress import size_text
from s2pipe.sharing.bands import COMMON_NAMES, spectral_band
from s2pipe.sharing.licence import OTHER, license_urls

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from s2pipe.sharing.contents import Contents, LabelBand, PatchSet

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


def readme_text(contents: Contents, name: str, license_id: str) -> str:
    """Return the whole card.

    Parameters
    ----------
    contents : Contents
        The dataset.
    name : str
        Its name.
    license_id : str
        SPDX identifier, or ``other``.
    """
    import yaml

    front = yaml.safe_dump(
        front_matter(contents, name, license_id), sort_keys=False, allow_unicode=True, width=1000
    )
    sections = [
        [f"# {_plain(name)}", "", *_introduction(contents)],
        *(_splits(patches) for patches in contents.sets),
        _bands(contents),
        *(_labels(contents, band, number) for number, band in enumerate(contents.labels)),
        _loading(contents),
        _sources(contents),
        _terms(contents, license_id),
    ]
    body = "\n\n".join("\n".join(section).rstrip() for section in sections)
    return f"---\n{front}---\n\n{body}\n"


def front_matter(contents: Contents, name: str, license_id: str) -> dict[str, Any]:
    """Return what hubs read: licence, task, size, and where the files of each split are."""
    count = sum(split["samples"] for patches in contents.sets for split in patches.splits.values())
    count = count or len(contents.scenes)
    tasks = ["image-segmentation"] if any(band.kind == "classes" for band in contents.labels) else []
    front: dict[str, Any] = {"pretty_name": name, "license": license_id.lower()}
    if license_id.lower() == OTHER:
        front |= {"license_name": "copernicus-sentinel-data", "license_link": "LICENSE"}
    if tasks:
        front["task_categories"] = tasks
    front |= {
        "tags": ["sentinel-2", "copernicus", "earth-observation", "remote-sensing", "geospatial"],
        "size_categories": [next((text for limit, text in _SIZES if count < limit), "10M<n<100M")],
    }
    if contents.sets:
        front["tags"].append("webdataset")
        front["configs"] = [_hub_config(patches) for patches in contents.sets]
        front["dataset_info"] = [_hub_info(patches) for patches in contents.sets]
    return front


def _hub_config(patches: PatchSet) -> dict[str, Any]:
    files = [{"split": name, "path": patches.file(f"{name}/shard-*.tar")} for name in patches.splits]
    return {"config_name": patches.name, "data_files": files}


def _hub_info(patches: PatchSet) -> dict[str, Any]:
    splits = [
        {"name": name, "num_bytes": split["bytes"], "num_examples": split["samples"]}
        for name, split in patches.splits.items()
    ]
    return {"config_name": patches.name, "splits": splits}


def _introduction(contents: Contents) -> list[str]:
    first = contents.first
    pixel = " × ".join(f"{side:g}" for side in first["pixel_size_m"])
    lines = [
        f"Sentinel-2 data of {contents.period}, on pixels of {pixel} m, made with s2pipe {__version__}.",
        "",
    ]
    rows = []
    if contents.scenes:
        size = sum(record.size for scene in contents.scenes for record in scene.sample.files)
        rows.append(["`processed/`", f"{len(contents.scenes)} sample(s): whole rasters", size_text(size)])
        rows.append(["`meta/step2/index.json`", "list of the samples, with checksums", ""])
    for patches in contents.sets:
        count = sum(split["samples"] for split in patches.splits.values())
        size = sum(split["bytes"] for split in patches.splits.values())
        side = patches.document["patch_size"]
        what = f"{count} patches of {side} × {side} pixels, WebDataset shards"
        rows.append([f"`{patches.file('shards.json')}`", what, size_text(size)])
    return [*lines, *_table(["files", "content", "size"], rows)]


def _splits(patches: PatchSet) -> list[str]:
    rows = [
        [f"`{name}`", str(split["samples"]), str(split["shards"]), size_text(split["bytes"])]
        for name, split in patches.document["splits"].items()
    ]
    rules = patches.rules
    how = {
        "cell": f"by cells of ground of {rules.get('cell_m')} m",
        "tile": "by tile",
        "time": "by time",
        "random": "patch by patch",
        "file": "by a table of the dataset's makers",
    }.get(str(rules.get("by")), "by the rules in `split.json`")
    if rules.get("by") == "cell":
        how += ": no ground is in two splits"
    title = "## Splits" if patches.name == "patches" else f"## Splits of {patches.name}"
    return [title, "", f"Split {how}.", "", *_table(["split", "patches", "shards", "size"], rows)]


def _bands(contents: Contents) -> list[str]:
    first = contents.first
    normalization = first["normalization"]
    means, stds = normalization.get("mean_by_band") or {}, normalization.get("std_by_band") or {}
    rows = []
    for name in first["bands"]:
        band = spectral_band(name)
        what = (
            "1 where valid, else 0"
            if band is None
            else f"{COMMON_NAMES[band.name]}, {band.wavelength_nm:g} nm"
        )
        row = [f"`{name}`", what]
        rows.append([*row, _number(means.get(name)), _number(stds.get(name))] if means else row)
    columns = ["band", "what", *(["mean", "standard deviation"] if means else [])]
    values = f"Values are in {first['unit'].replace('_', ' ')}"
    values += (
        ": `value * standard deviation + mean` is the reflectance, within the clip values." if means else "."
    )
    lines = [
        "## Bands",
        "",
        f"{values} A band's value is 0 where it has no data.",
        "",
        *_table(columns, rows),
    ]
    if first.get("angle_bands"):
        lines += ["", f"Angles: {', '.join(f'`{name}`' for name in first['angle_bands'])}."]
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _labels(contents: Contents, band: LabelBand, number: int) -> list[str]:
    title = "## Labels" if band.name is None else f"## Labels: {_plain(band.name)}"
    source = f"From {_plain(band.source)}." if band.source else ""
    if band.kind != "classes":
        return [title, "", f"{source} Measurements; NaN where there is none.".strip()]
    counts = _pixels(contents, number)
    total = sum(counts.values())
    known = {*band.names, *counts} - {band.ignore_index}
    rows = [
        [
            str(value),
            _plain(band.names.get(value, "")),
            f"`{band.colors[value]}`" if value in band.colors else "",
            str(counts.get(value, 0)),
            f"{100.0 * counts.get(value, 0) / total:.2f} %" if total else "",
        ]
        for value in sorted(value for value in known if value is not None)
    ]
    ignored = f"{band.ignore_index} is no label and must be left out of losses and scores."
    return [
        title,
        "",
        f"{source} {ignored}".strip(),
        "",
        *_table(["value", "name", "colour", "pixels", "share"], rows),
    ]


def _pixels(contents: Contents, number: int) -> Counter[int]:
    """Pixels by label: of all patches of the first set, else of all samples."""
    counts: Counter[int] = Counter()
    if contents.sets:
        if number == 0:  # shards count the first band
            for split in contents.sets[0].splits.values():
                counts.update({int(value): n for value, n in (split.get("class_histogram") or {}).items()})
        return counts
    for scene in contents.scenes:
        labels = scene.meta["labels"]
        part = (labels.get("targets") or [labels])[number]
        found = (part.get("stats") or {}).get("counts") or {}
        ignored = contents.labels[number].ignore_index
        counts.update({int(value): n for value, n in found.items() if int(value) != ignored})
    return counts


def _loading(contents: Contents) -> list[str]:
    lines = ["## Loading", ""]
    for patches in contents.sets:
        split = next(iter(patches.splits), "train")
        path = patches.file("shards.json")
        lines += [
            "```python",
            "from s2pipe.torch import PatchDataset",
            "",
            f'dataset = PatchDataset("{path}", "{split}")   # items with x, y and what is known of them',
            "```",
            "",
        ]
    if contents.scenes:
        path = contents.scenes[0].meta_file.path
        lines += [
            "```python",
            "import s2pipe",
            "",
            f'scene = s2pipe.open_scene("{path}")   # xarray',
            "```",
            "",
        ]
    return [*lines, "`s2pipe verify .` compares every file with its checksum."]


def _sources(contents: Contents) -> list[str]:
    days: dict[str, list[str]] = {}
    for tile, day in contents.keys:
        days.setdefault(tile, []).append(day)
    rows = [
        [tile, str(len(found)), found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"]
        for tile, found in days.items()
    ]
    lines = ["## Source data", "", *_table(["tile", "scenes", "dates"], rows)]
    versions = sorted(
        {f"{name} {version}" for scene in contents.scenes for name, version in scene.versions.items()}
    )
    if versions:
        lines += ["", f"Samples were made with {', '.join(versions)}."]
    prints = sorted(patches.document["fingerprint"] for patches in contents.sets)
    if prints:
        lines += ["", f"Fingerprint of the patches: {', '.join(f'`{one}`' for one in prints)}."]
    return lines


def _terms(contents: Contents, license_id: str) -> list[str]:
    own = "the terms of its sources" if license_id.lower() == OTHER else license_id
    links = ", ".join(f"<{url}>" for url in license_urls(contents, license_id))
    lines = ["## Licence and attribution", "", f"Licence: {own} ({links}); see [LICENSE](LICENSE).", ""]
    quoted = "\n>\n".join(f"> {_plain(line)}" for line in contents.attribution)
    return [*lines, "State, where you publish the data or what was made of them:", "", quoted]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    shown = " ".join(text.split())
    for sign in ("\\", "|", "<", "`", "*", "_", "[", "]", "#"):
        shown = shown.replace(sign, f"\\{sign}")
    return shown
