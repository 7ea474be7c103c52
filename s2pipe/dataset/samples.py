"""The samples that Step 2 wrote: its index and their ``meta.json``, as later steps read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.documents import read_json
from s2pipe.config.schema import STEP2_INDEX, validate_document
from s2pipe.dataset.journal import has_entries
from s2pipe.dataset.label_meaning import LabelMeaning
from s2pipe.dataset.proof import FileRecord
from s2pipe.dataset.sample_choice import chosen_entries
from s2pipe.dataset.sample_proof import check_entry, files_to_read, refuse_changed
from s2pipe.dataset.sample_records import AppliedBrdf, AppliedNormalization, SampleRaster, SharedValues
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step2_index import load_entries, stored_samples
from s2pipe.errors import Fault, ManifestError, MissingInputError
from s2pipe.raster.grid import Grid, TargetGrid, Window
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.runtime.paths import InsidePath, seen_from

if TYPE_CHECKING:
    from s2pipe.dataset.scene_choice import SceneChoice


@dataclass(frozen=True)
class Labels:
    """What the values of ``y.tif``, or of one of its bands, are."""

    dtype: str
    """NumPy name of the pixel type."""
    meaning: LabelMeaning
    """Ignore index, names, colours, and which labels are clouds."""
    found: tuple[int, ...]
    """Labels of this sample's pixels, ignore_index among them where it occurs."""
    mapping: Mapping[int, int] | None
    """Class of the source -> label; None where labels are the classes."""
    name: str | None = None
    """Name of the band where ``y.tif`` has named ones; None where it is one raster."""

    @property
    def ignore_index(self) -> int | None:
        """Label of pixels that have none; None for quantities, where NaN marks them."""
        return self.meaning.ignore_index

    @property
    def kind(self) -> str:
        """``classes`` or ``regression``."""
        return "classes" if self.ignore_index is not None else "regression"

    @property
    def no_value(self) -> float:
        """Value of pixels that have none."""
        return math.nan if self.ignore_index is None else self.ignore_index


def labels_document(bands: Sequence[Labels]) -> dict[str, Any] | None:
    """Return the JSON form of the bands of ``y.tif``, as ``shards.json`` has it; None without labels."""
    if not bands:
        return None
    described = [{"kind": band.kind, **band.meaning.to_document()} for band in bands]
    if bands[0].name is None:
        return {"dtype": bands[0].dtype, **described[0]}
    named = [{"name": band.name, **about} for band, about in zip(bands, described, strict=True)]
    return {"dtype": bands[0].dtype, "channels": named}


NO_QUALITY = 255
"""Value of pixels of ``q.tif`` that have none."""


@dataclass(frozen=True)
class Quality:
    """``q.tif``: what patches are screened by, whatever the labels are."""

    path: Path
    """The raster: classes, then cloud probability in percent; both uint8 with 255 where there is none."""
    meaning: LabelMeaning
    """Names, colours and conditions of its classes."""
    has_cloud_probability: bool
    """False: the products have no cloud probability, and its band is 255 everywhere."""


@dataclass(frozen=True)
class Sample(InNotebooks):
    """One sample of Step 2."""

    key: SceneKey
    """Tile and sensing start."""
    target: TargetGrid
    """Grid of ``x.tif`` and ``y.tif``, and where an area of interest cut it out of the grid of its tile."""
    x_path: Path
    """``x.tif``."""
    y_path: Path | None
    """``y.tif``; None without labels."""
    angles_path: Path | None
    """Angle raster; None without angles."""
    x_bands: tuple[str, ...]
    """Bands and mask channels of ``x.tif``."""
    angle_bands: tuple[str, ...]
    """Channels of the angle raster."""
    label_bands: tuple[Labels, ...]
    """Meaning of the bands of ``y.tif``; none without labels."""
    quality: Quality | None
    """``q.tif``; None where it was not made."""
    rasters: Mapping[str, SampleRaster]
    """Records of the rasters by kind: ``x``, ``y``, ``angles``, ``quality``, ``stack``."""
    unit: str
    """Unit of the bands before normalization."""
    normalization: AppliedNormalization
    """How the bands were normalized."""
    brdf: AppliedBrdf | None
    """How reflectance was brought to a view from nadir; None for reflectance as the satellite saw it."""
    attribution: str
    """Whom users of the data have to name."""
    fingerprint: str
    """Identifies everything that the rasters depend on."""
    root: Path
    """Output directory of Step 2."""
    files: tuple[FileRecord, ...]
    """Size and SHA-256 of the files that later steps read."""

    @property
    def grid(self) -> Grid:
        """Grid of ``x.tif`` and ``y.tif``."""
        return self.target.grid

    @property
    def name(self) -> str:
        """``T33UWQ_20251210T100319Z``: unique in an index, without dots."""
        return self.key.compact

    @property
    def labels(self) -> Labels | None:
        """Meaning of the first band of ``y.tif``, which patches are scored by; None without labels."""
        return self.label_bands[0] if self.label_bands else None

    def _shown(self) -> dict[str, Any]:
        about = ("key", "x_path", "x_bands", "unit", "angle_bands", "attribution")
        rows, columns = self.grid.shape_yx
        labels = [band.meaning.source for band in self.label_bands]
        shape = f"{rows} x {columns} pixels of {self.grid.pixel_size[0]:g}"
        return {**{name: getattr(self, name) for name in about}, "shape": shape, "labels": labels}

    @property
    def mask_channels(self) -> tuple[int, ...]:
        """Positions of the mask channels in ``x.tif``."""
        return tuple(i for i, name in enumerate(self.x_bands) if name == "valid" or name.startswith("valid_"))


def load_samples(path: Path, limit: int | None = None, only: SceneChoice | None = None) -> list[Sample]:
    """Load a Step-2 index and the ``meta.json`` of its samples.

    Parameters
    ----------
    path : Path
        The index. Below ``<root>/meta/step2`` the root is that of the path; elsewhere it is the document's
        ``output.out_dir``.
    limit : int, optional
        Take only this many samples, in the order of tile and time.
    only : SceneChoice, optional
        Take only those of these tiles, days and scenes; its share of a job array does not count.

    Returns
    -------
    list of Sample
        In the order of tile and time.

    Raises
    ------
    ManifestError
        The index or a ``meta.json`` is missing or invalid.
    MissingInputError
        There is no sample, or a file is not on disk; every gap is listed.
    """
    root, entries = _open_index(path)
    shared = SharedValues()
    samples = [
        load_sample(InsidePath(root, entry["meta_path"]).path, root, entry, (path, shared))
        for entry in chosen_entries(path, entries, only, limit)
    ]
    gaps = [
        f"{sample.name}: {item} is not on disk"
        for sample in samples
        for item in (
            *(sample.x_path, sample.y_path, sample.angles_path),
            None if sample.quality is None else sample.quality.path,
        )
        if item is not None and not item.is_file()
    ]
    if gaps:
        msg = f"{path}: rasters are missing:"
        raise MissingInputError(msg, gaps, "Run `s2pipe preprocess` again.")
    return samples


def load_targets(path: Path, only: SceneChoice | None = None) -> list[tuple[SceneKey, TargetGrid]]:
    """Load keys and grids of the samples of a Step-2 index, from their ``meta.json`` where the index does not say them.

    Parameters
    ----------
    path : Path
        The index, as for :func:`load_samples`.
    only : SceneChoice, optional
        Take only those of these tiles, days and scenes.

    Returns
    -------
    list of (SceneKey, TargetGrid)
        In the order of tile and time.

    Raises
    ------
    ManifestError
        The index or a ``meta.json`` is missing or invalid.
    MissingInputError
        There is no sample.
    """
    root, entries = _open_index(path)
    shared = SharedValues()
    found = []
    for entry in chosen_entries(path, entries, only):
        if "grid" in entry:
            found.append((SceneKey.from_document(entry["key"]), _target(entry, shared)))
        else:
            meta_path = InsidePath(root, entry["meta_path"]).path
            sample = load_sample(meta_path, root, entry, (path, shared))
            found.append((sample.key, sample.target))
    return found


def _open_index(path: Path) -> tuple[Path, Sequence[Mapping[str, Any]]]:
    """Return the root of an index and its entries, in their order; those of a large one are read when they are used."""
    entries: Sequence[Mapping[str, Any]]
    if has_entries(path) and path.parent.name == "step2":  # of runs that go on, or were killed
        root = path.absolute().parents[2]
        entries = load_entries(root)
    elif (stored := stored_samples(path)) is not None:
        head, entries = stored
        root = _root_of(path, (head.get("output") or {}).get("out_dir"))
    else:
        document = _read(path, "no such file; run `s2pipe preprocess` first, or correct index_json")
        if isinstance(document, dict) and document.get("schema") != STEP2_INDEX:
            found = document.get("schema", "no schema")
            raise ManifestError(str(path), [Fault("schema", f"expected {STEP2_INDEX}, got {found}")])
        validate_document(document, "step2_index", str(path))
        root = _root_of(path, (document.get("output") or {}).get("out_dir"))
        refuse_changed(path, document)
        entries = sorted(document["samples"], key=lambda entry: SceneKey.from_document(entry["key"]))
    if not entries:
        msg = f"{path}: the index lists no sample"
        raise MissingInputError(msg, [], "Run `s2pipe preprocess` first.")
    return root, entries


def load_sample(
    meta_path: Path,
    root: Path,
    entry: Mapping[str, Any],
    among: tuple[Path, SharedValues] | None = None,
) -> Sample:
    """Load one sample from its ``meta.json`` and its entry in an index (or the ``paths`` of the former).

    Parameters
    ----------
    meta_path : Path
        The ``meta.json``.
    root : Path
        Output directory of Step 2.
    entry : mapping
        Names of its files.
    among : (Path, SharedValues), optional
        The index that the entry is of, which has to be of this sample, and the values of its other samples.
    """
    meta = _read(meta_path, "no such file; run `s2pipe preprocess` again")
    validate_document(meta, "sample_meta", str(meta_path))
    refuse_changed(meta_path, meta)
    if among is not None:
        check_entry(among[0], entry, meta_path, meta)
    try:
        return _sample(meta, root, entry, SharedValues() if among is None else among[1])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        fault = Fault(
            "", f"does not fit the index ({type(error).__name__}: {error}); run `s2pipe preprocess` again"
        )
        raise ManifestError(str(meta_path), [fault]) from error


def _sample(meta: Mapping[str, Any], root: Path, entry: Mapping[str, Any], shared: SharedValues) -> Sample:
    rasters = {
        kind: shared.raster(SampleRaster.from_document(asset)) for kind, asset in meta["assets"].items()
    }
    y_path, angles_path, quality_path = (entry.get(f"{kind}_path") for kind in ("y", "angles", "quality"))
    labels, quality = () if y_path is None else _labels(meta), None
    if quality_path is not None:
        found = _quality(meta, InsidePath(root, quality_path).path)
        quality = replace(found, meaning=shared.alike("quality", found.meaning))
    return Sample(
        key=SceneKey.from_document(meta["key"]),
        target=_target(meta, shared),
        x_path=InsidePath(root, entry["x_path"]).path,
        y_path=None if y_path is None else InsidePath(root, y_path).path,
        angles_path=None if angles_path is None else InsidePath(root, angles_path).path,
        x_bands=rasters["x"].band_names,
        angle_bands=() if angles_path is None else rasters["angles"].band_names,
        label_bands=tuple(
            replace(
                band, meaning=shared.alike(f"labels {place}", band.meaning), found=shared.keep(band.found)
            )
            for place, band in enumerate(labels)
        ),
        quality=quality,
        rasters=rasters,
        unit=shared.keep(meta["radiometry"]["unit"]),
        normalization=shared.alike(
            "normalization", AppliedNormalization.from_document(meta["normalization"])
        ),
        brdf=shared.keep(AppliedBrdf.from_document(meta.get("brdf"))),
        attribution=shared.keep(meta["attribution"]),
        fingerprint=meta["fingerprint"],
        root=root,
        files=files_to_read(meta),
    )


def _target(meta: Mapping[str, Any], shared: SharedValues) -> TargetGrid:
    """Grid of a sample, from its ``meta.json`` or its entry in the index."""
    area = meta.get("area")
    if area is None:
        return shared.target(Grid.from_document(meta["grid"]))
    return shared.target(Grid.from_document(area["reference_grid"]), Window(**area["window"]))


def _labels(meta: Mapping[str, Any]) -> tuple[Labels, ...]:
    labels, config, dtype = meta["labels"], meta["config"].get("labels", {}), meta["assets"]["y"]["dtype"]
    if labels.get("targets") is None:
        return (_band(labels, config, dtype),)
    return tuple(
        _band(target, stated, dtype)
        for target, stated in zip(labels["targets"], config["targets"], strict=True)
    )


def _band(labels: Mapping[str, Any], config: Mapping[str, Any], dtype: str) -> Labels:
    stats = labels["stats"] or {}
    mapping, meaning = config.get("mapping"), labels.get("meaning")
    if meaning is None:  # written by a version that did not record it
        ignored = stats.get("ignore_index", config.get("ignore_index", 255))
        meaning = {"source": labels["backend"] or "", "ignore_index": ignored}
    return Labels(
        dtype=dtype,
        meaning=LabelMeaning.from_document(meaning),
        found=tuple(sorted(map(int, stats.get("counts", {})))),
        mapping=None if mapping is None else {int(value): int(label) for value, label in mapping.items()},
        name=labels.get("name"),
    )


def _quality(meta: Mapping[str, Any], path: Path) -> Quality:
    document = meta["quality"]
    meaning = LabelMeaning.from_document(document["classes"])
    return Quality(path, meaning, document["cloud_probability"] is not None)


def _read(path: Path, missing: str) -> Any:
    try:
        return read_json(path)
    except FileNotFoundError:
        message = missing.replace("no such file", f"no such file{seen_from(path)}", 1)
    except (OSError, ValueError) as error:
        message = f"cannot be read as JSON: {error}"
    raise ManifestError(str(path), [Fault("", message)])


def _root_of(path: Path, out_dir: str | None) -> Path:
    """Root of the dataset: the directory that holds ``meta/step2`` wins over what the document says."""
    absolute = path.absolute()
    if absolute.parent.name == "step2" and absolute.parent.parent.name == "meta":
        return absolute.parent.parent.parent
    if not out_dir:
        raise ManifestError(
            str(path),
            [
                Fault(
                    "output.out_dir",
                    "is needed: the file is not in <root>/meta/step2, so the root is unknown",
                )
            ],
        )
    return Path(out_dir).absolute()
