"""Rules of ``stats.json`` that its JSON Schema cannot express."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from s2pipe.errors import Fault
from s2pipe.preprocess.cfg import MAX_BINS, bin_count
from s2pipe.sentinel2.channels import Channel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VALUES_BY_BAND = ("clip_low_by_band", "clip_high_by_band", "mean_by_band", "std_by_band")
"""What statistics are applied with."""
_COUNTS_BY_BAND = ("pixel_count_by_band", "underflow_count_by_band", "overflow_count_by_band")


def content_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return what makes statistics unusable or impossible although they fit their schema.

    Parameters
    ----------
    document : mapping
        Content of ``stats.json`` that fits its schema.
    """
    faults = [*_setting_faults(document), *_scene_faults(document)]
    bands = document["bands"]
    for name in (*VALUES_BY_BAND, *_COUNTS_BY_BAND):
        unknown = set(document.get(name, ())).difference(bands)
        faults += [Fault(f"{name}.{band}", "is none of bands") for band in sorted(unknown)]
    for number, band in enumerate(bands):
        try:
            Channel.parse(band)
        except ValueError as error:
            faults.append(Fault(f"bands[{number}]", str(error)))
        faults += [fault for name in VALUES_BY_BAND for fault in _value_faults(document, name, band)]
        faults += [*_order_faults(document, band), *_count_faults(document, band)]
    return faults


def _setting_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    if document.get("moments_after_clipping") is False:
        yield Fault(
            "moments_after_clipping", "expected true: mean and std must be those of the clipped values"
        )
    low, high = document["hist_range"]
    if not low < high:
        yield Fault("hist_range", f"expected [low, high] with low < high, got [{low}, {high}]")
    elif bin_count((low, high), document["hist_bin_width"]) is None:
        message = f"expected a whole number of bins in hist_range [{low}, {high}], at most {MAX_BINS}"
        yield Fault("hist_bin_width", f"{message}, got width {document['hist_bin_width']}")
    clip = document["clip_percentiles"]
    if clip is not None and not clip[0] < clip[1]:
        yield Fault("clip_percentiles", f"expected [low, high] with low < high, got {clip}")
    if document.get("max_pixels_per_scene") is None and document.get("sampling") is not None:
        message = f"expected null, since max_pixels_per_scene is null, got {document['sampling']!r}"
        yield Fault("sampling", message)


def _scene_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    if "scenes" not in document:
        return
    scenes = document["scenes"]
    counted = document.get("scenes_processed", len(scenes))
    if counted != len(scenes):
        yield Fault("scenes_processed", f"expected {len(scenes)}, the number of scenes, got {counted}")
    times = Counter((scene["key"]["tile_id"], scene["key"]["sensing_start_utc"]) for scene in scenes)
    for (tile, sensing), count in times.items():
        if count > 1:
            yield Fault(
                "scenes", f"{tile}/{sensing} is listed {count} times; its pixels would count as often"
            )


def _value_faults(document: Mapping[str, Any], name: str, band: str) -> Iterator[Fault]:
    path = f"{name}.{band}"
    if band not in document[name]:
        yield Fault(path, "is missing")
        return
    value = document[name][band]
    clips = document["clip_percentiles"] is not None
    if value is None:
        if clips:
            yield Fault(path, "expected a number, since clip_percentiles is not null, got null")
        return
    if name.startswith("clip_") and not clips:
        yield Fault(path, f"expected null, since clip_percentiles is null, got {value}")
    with np.errstate(over="ignore", under="ignore"):
        stored = np.float32(value)
    if not np.isfinite(stored):
        yield Fault(path, f"expected a number that float32 can hold, got {value}")
    elif name == "std_by_band" and not stored > 0:
        yield Fault(path, f"expected a number that is greater than 0 in float32, got {value}")


def _order_faults(document: Mapping[str, Any], band: str) -> Iterator[Fault]:
    """Faults of clip values and mean of one band against each other and against the range."""
    low, high, mean, _ = (document[name].get(band) for name in VALUES_BY_BAND)
    if low is not None and high is not None and not low <= high:
        yield Fault(f"clip_high_by_band.{band}", f"expected at least clip_low_by_band, {low}, got {high}")
        return
    first, last = document["hist_range"]
    for name, value in zip(VALUES_BY_BAND, (low, high, mean), strict=False):
        if value is not None and not first <= value <= last:
            yield Fault(
                f"{name}.{band}", f"expected a value within hist_range [{first}, {last}], got {value}"
            )
            return
    if low is not None and high is not None and mean is not None and not low <= mean <= high:
        message = f"expected a mean of the values from clip_low_by_band, {low}, to clip_high_by_band, {high}"
        yield Fault(f"mean_by_band.{band}", f"{message}, got {mean}")


def _count_faults(document: Mapping[str, Any], band: str) -> Iterator[Fault]:
    stated = [name for name in _COUNTS_BY_BAND if name in document]
    missing = [name for name in stated if band not in document[name]]
    yield from (Fault(f"{name}.{band}", "is missing") for name in missing)
    if missing or "pixel_count_by_band" not in stated:
        return
    pixels = document["pixel_count_by_band"][band]
    beyond = sum(document[name][band] for name in stated if name != "pixel_count_by_band")
    if beyond > pixels:
        message = f"expected at least the {beyond} pixels that are under or over hist_range, got {pixels}"
        yield Fault(f"pixel_count_by_band.{band}", message)
