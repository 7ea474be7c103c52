"""Rules of ``shards.json`` and ``summary.json`` that their JSON Schemas cannot express."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from s2pipe.dataset.document_rules import normalization_faults
from s2pipe.errors import Fault
from s2pipe.ground.split import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def shards_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a ``shards.json`` that fits its schema: totals, and shards that are listed twice."""
    faults = [*_kept_faults(document), *_total_faults(document)]
    for path, count in Counter(record["path"] for record in document["shards"]).items():
        if count > 1:
            faults.append(Fault("shards", f"{path} is listed {count} times"))
    if document["group"] == "none" and not faults:
        items = sum(record["count"] for record in document["shards"])
        if items != document["kept"]:
            faults.append(Fault("kept", f"expected {items}, the items of the shards, got {document['kept']}"))
    if document["normalization"]["mode"] == "apply_with_stats":
        bands = [name for name in document["bands"] if name != "valid" and not name.startswith("valid_")]
        faults += normalization_faults(document["normalization"], bands)
    return faults


def _kept_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    if document["kept"] > document["candidates"]:
        yield Fault("kept", f"expected at most candidates, {document['candidates']}, got {document['kept']}")


def _total_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    for split in SPLITS:
        records = [record for record in document["shards"] if record["split"] == split]
        labels: Counter[str] = Counter()
        for record in records:
            labels.update(record["class_histogram"])
        sums: dict[str, Any] = {
            "shards": len(records),
            "samples": sum(record["count"] for record in records),
            "bytes": sum(record["bytes"] for record in records),
            "class_histogram": dict(labels),
        }
        for name, wanted in sums.items():
            got = document["splits"][split][name]
            if got != wanted:
                yield Fault(f"splits.{split}.{name}", f"expected {wanted}, the sum over shards, got {got}")


def summary_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a ``summary.json`` that fits its schema: counts that do not add up."""
    candidates, kept, dropped = (document[name] for name in ("candidates", "kept", "dropped"))
    faults = [*_kept_faults(document)]
    if kept + dropped != candidates:
        faults.append(
            Fault("dropped", f"expected {candidates - kept}, candidates without kept, got {dropped}")
        )
    reasons = sum(document["dropped_by_reason"].values())
    if reasons != dropped:
        faults.append(
            Fault("dropped_by_reason", f"expected a sum of {dropped}, as in dropped, got {reasons}")
        )
    for name in ("by_split", "by_tile", "by_month"):
        for key, wanted in (("kept", kept), ("dropped", dropped)):
            got = sum(counts[key] for counts in document[name].values())
            if got != wanted:
                faults.append(Fault(name, f"expected a sum of {wanted} {key} patches, got {got}"))
    for label, counts in document["by_class"].items():
        for key, most in (("kept", kept), ("dropped", dropped)):
            patches, pixels = counts[f"{key}_patches"], counts[f"{key}_pixels"]
            if patches > most or patches > pixels:
                message = f"expected at most {min(most, pixels)}, the {key} patches and pixels, got {patches}"
                faults.append(Fault(f"by_class.{label}.{key}_patches", message))
    return faults
