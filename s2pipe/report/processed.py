"""Step 2: samples as their ``meta.json`` describe them, runs, and statistics with their histograms."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.dataset.label_meaning import COLOR, LabelMeaning
from s2pipe.errors import PathEscapeError, RasterError, S2PipeError
from s2pipe.ground.projection import utm_epsg, utm_to_lonlat
from s2pipe.preprocess.stats.histogram import bin_edges, load_histogram
from s2pipe.report.model import BandHistogram, Problem, Ring, Run, SampleFacts, Statistics, Target
from s2pipe.report.places import journal_entries, read_part
from s2pipe.report.sources import key_of
from s2pipe.report.values import counts, items, mapping, number, text
from s2pipe.runtime.limits import MAX_INDEX_BYTES, read_limited
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.report.model import Contents
    from s2pipe.sentinel2.channels import Channel

_SIDE_POINTS = 4
"""Points on each side of a sample's outline: sides bend in longitude and latitude."""
_MOST_LON, _MOST_LAT = 540.0, 90.0
_SHOWN = ("x", "y", "quality", "angles", "source", "stack")


def add_samples(contents: Contents, root: Path) -> None:
    """Add the samples of a root, whether its index lists them or not, and its runs."""
    contents.steps.add(2)
    index = root / "meta" / "step2" / "index.json"
    done = {path.relative_to(root).as_posix() for path in root.glob("processed/tile=*/sensing=*/meta.json")}
    # Pass 1 writes histograms alone, and runs that go on write journals: there need not be an index.
    pending = journal_entries(index, contents.problems)
    is_expected = index.exists() or (done and not pending)
    document = read_part(index, "Step-2 index", contents.problems) if is_expected else {}
    entries = [*items(document.get("samples")), *(entry.get("sample") for entry in pending)]
    listed = {text(mapping(entry).get("meta_path")) for entry in entries} - {""}
    for name in sorted(done | listed):
        try:
            path = InsidePath(root, name).path
        except PathEscapeError as error:
            contents.problems.append(Problem("damaged", index, "Step-2 index", str(error)))
            continue
        _add_sample(contents, root, path)
        if document and name not in listed:
            reason = "is on disk, and the index does not list it; run `s2pipe preprocess` again"
            contents.problems.append(Problem("missing", path, "entry in the Step-2 index", reason))
    written = {str(sample.key): sample.created_utc for sample in contents.samples if sample.root == root}
    for path in sorted((root / "meta" / "step2" / "runs").glob("run=*.jsonl")):
        _add_run(contents, path, written)


def _add_sample(contents: Contents, root: Path, path: Path) -> None:
    meta = read_part(path, "sample", contents.problems)
    if not meta:
        return
    key = key_of(meta.get("key"))
    if key is None:
        contents.problems.append(Problem("damaged", path, "sample", "has no key of tile and sensing start"))
        return
    rasters = {}
    for kind in _SHOWN:
        name = mapping(meta.get("paths")).get(kind)
        if name is None:
            continue
        try:
            raster = InsidePath(root, name)
        except PathEscapeError as error:
            contents.problems.append(Problem("damaged", path, str(key), str(error)))
            continue
        if raster.is_file():
            rasters[kind] = raster.path
        else:
            reason = "is not on disk; run `s2pipe preprocess` again"
            contents.problems.append(Problem("missing", raster.path, str(key), reason))
    quality = mapping(meta.get("quality")).get("classes")
    normalization = mapping(meta.get("normalization"))
    contents.samples.append(
        SampleFacts(
            root=root,
            key=key,
            scenes=_scenes_of(meta, key),
            meta_path=path,
            rasters=rasters,
            bands={
                kind: tuple(map(text, items(mapping(asset).get("band_names"))))
                for kind, asset in mapping(meta.get("assets")).items()
            },
            outline=_outline(mapping(meta.get("grid"))),
            unit=text(mapping(meta.get("radiometry")).get("unit")),
            normalization=normalization,
            valid={
                name: share
                for name, given in mapping(meta.get("valid_coverage")).items()
                if (share := number(given)) is not None
            },
            targets=_targets(mapping(meta.get("labels"))),
            quality=meaning_of(quality) if quality else None,
            config=mapping(meta.get("config")),
            versions={name: text(value) for name, value in mapping(meta.get("versions")).items()},
            attribution=text(meta.get("attribution")),
            created_utc=text(meta.get("created_utc")),
            nbytes=sum(int(number(mapping(file).get("size")) or 0) for file in items(meta.get("files"))),
        )
    )


def _scenes_of(meta: Mapping[str, Any], key: SceneKey) -> tuple[SceneKey, ...]:
    """Return the scenes that a sample is made of; a mosaic lists them."""
    sources = items(mapping(meta.get("mosaic")).get("sources"))
    found = (key_of(mapping(source).get("key")) for source in sources)
    return tuple(dict.fromkeys([key, *(one for one in found if one is not None)]))


def _outline(grid: dict[str, Any]) -> Ring:
    transform = [number(value) for value in items(grid.get("geotransform"))]
    shape = [number(value) for value in items(grid.get("shape_yx"))]
    if len(transform) != 6 or len(shape) != 2 or None in (*transform, *shape):
        return []
    x0, dx, _, y0, _, dy = (float(value or 0) for value in transform)
    rows, columns = (float(value or 0) for value in shape)
    share = np.arange(_SIDE_POINTS) / _SIDE_POINTS
    across = np.concatenate([share, np.ones(_SIDE_POINTS), 1 - share, np.zeros(_SIDE_POINTS)])
    down = np.concatenate([np.zeros(_SIDE_POINTS), share, np.ones(_SIDE_POINTS), 1 - share])
    lon, lat = _lonlat(x0 + dx * columns * across, y0 + dy * rows * down, text(grid.get("crs_wkt")))
    if not (np.isfinite(lon).all() and (np.abs(lat) <= _MOST_LAT).all() and (np.abs(lon) <= _MOST_LON).all()):
        return []
    return list(zip(lon.tolist(), lat.tolist(), strict=True))


def _lonlat(x: np.ndarray, y: np.ndarray, crs: str) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of a grid of any projection; infinite where that is none."""
    try:
        return utm_to_lonlat(x, y, utm_epsg(crs))
    except RasterError:
        pass  # a target grid of the user's own
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    try:
        lon, lat = Transformer.from_crs(CRS.from_wkt(crs), 4326, always_xy=True).transform(x, y)
    except ProjError:
        return np.full_like(x, np.inf), np.full_like(y, np.inf)
    return np.asarray(lon, np.float64), np.asarray(lat, np.float64)


def _targets(labels: dict[str, Any]) -> tuple[Target, ...]:
    described = [mapping(target) for target in items(labels.get("targets"))]
    if not described:
        described = [labels] if labels.get("stats") else []
    return tuple(
        Target(
            name=text(target.get("name")),
            meaning=meaning_of(target.get("meaning")),
            counts=counts(mapping(target.get("stats")).get("counts")),
            ignored=int(number(mapping(target.get("stats")).get("ignored")) or 0),
        )
        for target in described
    )


def meaning_of(document: object) -> LabelMeaning:
    """Return what classes mean, as far as a document says it; colours that are none are left out."""
    found = mapping(document)
    names = {
        int(value): text(name)
        for value, name in mapping(found.get("class_names")).items()
        if _is_label(value)
    }
    colors = {
        int(value): color
        for value, color in mapping(found.get("class_colors")).items()
        if _is_label(value) and isinstance(color, str) and COLOR.fullmatch(color)
    }
    ignored = number(found.get("ignore_index"))
    return LabelMeaning(text(found.get("source")), None if ignored is None else int(ignored), names, colors)


def _is_label(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) <= 5


def _add_run(contents: Contents, path: Path, done: dict[str, str]) -> None:
    """Add a run; its last line may be cut where it was killed. Samples that are there say what was done since."""
    try:
        lines = read_limited(path, MAX_INDEX_BYTES).decode("utf-8", "replace").splitlines()
    except (OSError, ValueError) as error:
        contents.problems.append(Problem("damaged", path, "run of preprocess", f"cannot be read: {error}"))
        return
    statuses: Counter[str] = Counter()
    run_id, when, seconds = path.stem.removeprefix("run="), "", 0.0
    for row, line in enumerate(lines, 1):
        try:
            entry = mapping(json.loads(line))
        except (ValueError, RecursionError):
            reason = f"line {row} is no JSON; the run was stopped while it wrote, or the file was changed"
            contents.problems.append(Problem("damaged", path, "run of preprocess", reason))
            continue
        status = text(entry.get("status")) or "unknown"
        statuses[status] += 1
        when = text(entry.get("time_utc")) or when
        seconds += number(entry.get("seconds")) or 0.0
        if status in ("failed", "incomplete"):
            what = str(key_of(entry.get("key")) or "a scene")
            reason = text(entry.get("error")) or f"{status}, without a reason"
            kind = "failed" if done.get(what, "") < when else "failed before"
            contents.problems.append(Problem(kind, path, what, reason, when))
    failed = statuses["failed"] + statuses["incomplete"]
    said = f"{failed} of {sum(statuses.values())} scene(s) failed" if failed else "done"
    contents.runs.append(Run("preprocess", run_id, path, when, said, dict(statuses), seconds))


def add_statistics(contents: Contents, path: Path) -> None:
    """Add a ``stats.json`` and the histogram that it names."""
    document = read_part(path, "statistics", contents.problems)
    if not document:
        return
    contents.steps.add(2)
    bands: tuple[BandHistogram, ...] = ()
    name = mapping(document.get("histogram")).get("path")
    if name is not None:
        try:
            bands = _histograms(InsidePath(path.parent, name).path, document)
        except (S2PipeError, OSError) as error:
            contents.problems.append(Problem("damaged", path.parent, "histogram of statistics", str(error)))
    contents.statistics.append(Statistics(path, document, bands))


def _histograms(path: Path, stats: dict[str, Any]) -> tuple[BandHistogram, ...]:
    histogram = load_histogram(path)
    edges = bin_edges(histogram.settings)

    def of_band(key: str, band: Channel) -> float | None:
        return number(mapping(stats.get(key)).get(str(band)))

    return tuple(
        BandHistogram(
            str(band),
            edges,
            histogram.counts[place],
            of_band("clip_low_by_band", band),
            of_band("clip_high_by_band", band),
            of_band("mean_by_band", band),
            of_band("std_by_band", band),
            (int(histogram.underflow[place]), int(histogram.overflow[place])),
        )
        for place, band in enumerate(histogram.settings.bands)
    )
