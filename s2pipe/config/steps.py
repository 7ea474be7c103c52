"""The steps that have a configuration: their top-level key, dataclass, schema, rules and function.

One table serves the command line, ``s2pipe validate``, the schema files and the documentation.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from s2pipe.config.credentials import credential_faults
from s2pipe.config.documents import read_document
from s2pipe.config.fields import field_infos, from_plain, with_sections
from s2pipe.config.places import place_faults
from s2pipe.config.schema import (
    MISSING_KEY,
    NORMALIZE_STATS,
    SCHEMA_IDS,
    STEP1_INDEX,
    STEP1_RUN,
    STEP2_INDEX,
    document_faults,
)
from s2pipe.errors import ConfigError, Fault, abridged
from s2pipe.runtime.nearest import did_you_mean


class StepResult(Protocol):
    """What running a step returns."""

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 0, or 1 when some scenes failed."""

    def summary(self) -> dict[str, Any]:
        """Plain values for ``--json``."""


@dataclass(frozen=True)
class Step:
    """One step of the pipeline."""

    name: str
    """Top-level key of its configuration, and its command."""
    summary: str
    """One line for ``--help``."""
    config: str
    """``module:Class`` of its configuration."""
    rules: str
    """``module:function`` that returns the faults a schema cannot express."""
    run: str
    """``module:function`` that runs it."""
    short_options: Mapping[str, str] = field(default_factory=dict)
    """Second names of options by the path of their key: ``download.verify`` -> ``--verify``."""
    usual: tuple[str, ...] = ()
    """Keys that the short help of its command shows, beside those without a default."""

    @property
    def schema(self) -> str:
        """Name of its configuration's schema."""
        return f"{self.name}_config"

    @property
    def config_class(self) -> type:
        """Its configuration dataclass."""
        config_class: type = _load(self.config)
        return config_class

    def run_config(self, config: Any) -> StepResult:
        """Run the step."""
        result: StepResult = _load(self.run)(config)
        return result

    def faults(self, document: Any) -> list[Fault]:
        """Faults of its configuration as a document, with paths from the top-level key."""
        document = with_sections(self.config_class, document)
        faults = credential_faults(document) or document_faults(document, self.schema)
        if all(fault.message == MISSING_KEY for fault in faults):
            faults = [*faults, *self._rule_faults(document, {fault.path for fault in faults})]
        return [Fault(f"{self.name}.{f.path}" if f.path else self.name, f.message) for f in faults]

    def _rule_faults(self, document: Mapping[str, Any], missing: set[str]) -> list[Fault]:
        """Faults of a document that lacks no more than some paths, so that one run names all that is missing."""
        paths = {info.name for info in field_infos(self.config_class) if info.annotation is Path}
        if not missing <= paths:
            return []
        filled = {**document, **{name: f"<{name}>" for name in missing}}
        return list(place_faults(self.config_class, filled)) or _load(self.rules)(
            from_plain(self.config_class, filled)
        )


_AREA = {"query.geometry": "--aoi", "query.geometry_crs": "--aoi-crs"}
"""Options of the area of interest, as the step after it calls them."""
_CHOICE = {f"only.{name}": f"--{name}" for name in ("shard", "scenes", "tiles", "dates")}

STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step(
            "download",
            "search, pair, fetch and verify products of the Copernicus Data Space Ecosystem",
            "s2pipe.download.cfg:PipelineConfig",
            "s2pipe.download.cfg:rule_faults",
            "s2pipe.download.pipeline:run_download",
            {
                "download.verify": "--verify",
                "download.dry_run": "--dry-run",
                "download.link": "--link",
                **_CHOICE,
                **_AREA,
            },
            (
                "query.tile_id",
                "query.geometry",
                "query.cloud_max",
                "selection.l1c_bands",
                "selection.l2a_bands",
                "download.dry_run",
                "download.verify",
                "control.max_scenes",
            ),
        ),
        Step(
            "preprocess",
            "resample, mask, calibrate and normalise the scenes of a manifest",
            "s2pipe.preprocess.cfg:PreprocessConfig",
            "s2pipe.preprocess.rules:rule_faults",
            "s2pipe.preprocess.run:run_preprocess",
            {"normalize.accept_foreign_stats": "--accept-foreign-stats", **_CHOICE},
            (
                "l1c_bands",
                "bands",
                "aoi",
                "labels.enabled",
                "labels.backend",
                "normalize.mode",
                "normalize.stats_path",
                "num_workers",
                "max_scenes",
                "overwrite",
            ),
        ),
        Step(
            "patches",
            "cut patches, split them by ground without leaks, and pack them into shards",
            "s2pipe.patches.cfg:PatchConfig",
            "s2pipe.patches.cfg:rule_faults",
            "s2pipe.patches.run:run_patches",
            _CHOICE,
            (
                "patch_size",
                "stride",
                "quality.min_valid",
                "quality.max_cloud",
                "split.train",
                "split.val",
                "split.test",
                "split.by",
                "shards.max_count",
                "num_workers",
                "overwrite",
            ),
        ),
    )
}
"""Steps by name, in the order of the pipeline."""
PIPELINE = "pipeline_config"
"""Name of the schema of a whole configuration file."""


_OTHER_KINDS = {
    STEP1_INDEX: ("manifest", "give it as preprocess.index_json, or --index-json"),
    STEP1_RUN: ("manifest", "give index.json as preprocess.index_json, or --index-json"),
    STEP2_INDEX: ("manifest", "give it as patches.index_json, or --index-json"),
    NORMALIZE_STATS: ("set of statistics", "give it as normalize.stats_path, or --normalize.stats-path"),
}
"""What else users give for a configuration, by schema: what it is, and where it belongs."""


def _load(target: str) -> Any:
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def read_step_document(path: Path, step: Step) -> dict[str, Any]:
    """Read the part of a configuration file that belongs to one step.

    Raises
    ------
    ConfigError
        The file cannot be read, has unknown top-level keys, or lacks the step's.
    """
    document = read_document(path)
    faults = top_level_faults(document)
    if not faults and step.name not in document:
        faults = [
            Fault(step.name, f"is missing: expected the configuration of `s2pipe {step.name}` under this key")
        ]
    if not faults and not isinstance(document[step.name], dict):
        faults = [Fault(step.name, f"expected an object, got {document[step.name]!r}")]
    if faults:
        raise ConfigError(str(path), faults)
    own: dict[str, Any] = document[step.name]
    return own


def top_level_faults(document: Any) -> list[Fault]:
    """Faults of a configuration file's top level: it must be an object with one key per step."""
    if not isinstance(document, dict):
        return [
            Fault("", f"expected an object with the keys {', '.join(STEPS)}, got {type(document).__name__}")
        ]
    known = (*STEPS, "$schema")
    other = _other_kind(document)
    if other is not None:
        return [Fault("", other)]
    faults = [
        Fault(key, f"unknown key; expected one of {', '.join(STEPS)}{did_you_mean(key, STEPS)}")
        for key in document
        if key not in known
    ]
    if not isinstance(document.get("$schema", ""), str):
        got = type(document["$schema"]).__name__
        faults.append(Fault("$schema", f"expected the address of {PIPELINE}.schema.json, got {got}"))
    return abridged(faults)


def _other_kind(document: dict[str, Any]) -> str | None:
    """Say what a document is that a dataset holds, and that is no configuration."""
    schema = document.get("schema")
    if not isinstance(schema, str) or schema not in SCHEMA_IDS:
        return None
    kind, advice = _OTHER_KINDS.get(schema, ("document", ""))
    hint = advice or f"expected an object with the keys {', '.join(STEPS)}"
    return f"is a {kind} of a dataset ({schema}), not a configuration; {hint}"


def build_config(document: dict[str, Any], step: Step, source: str) -> Any:
    """Check a step's document and make its configuration object.

    Raises
    ------
    ConfigError
        With every fault.
    """
    faults = step.faults(document)
    if faults:
        raise ConfigError(source, faults)
    return from_plain(step.config_class, document)
