"""Scenes that were found finished: told again from the state of their files, without planning them.

When a scene has been processed, or found complete and current, the states (size, times of change of content and inode)
of all files that this was found from are remembered, inputs and outputs. A later run with the same configuration, the
same entry in the Step-1 index and the same states would find the same. Anything else is planned and checked in full.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.config.fields import to_plain
from s2pipe.dataset.verified import append_line
from s2pipe.errors import PathEscapeError
from s2pipe.preprocess.labels.backends import backend_checksum
from s2pipe.preprocess.needs import Needs
from s2pipe.preprocess.record import OUTPUT_VERSION, RUN_ONLY_KEYS, versions
from s2pipe.runtime.hashing import document_fingerprint, hash_file
from s2pipe.runtime.paths import InsidePath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from s2pipe.dataset.scenes import Scene
    from s2pipe.dataset.step1_index import Index
    from s2pipe.dataset.step2_index import SampleTable
    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.scene_plan import ScenePlan
    from s2pipe.preprocess.stats.statistics import NormalizationStats
    from s2pipe.preprocess.verify_inputs import How

FINISHED = "meta/step2/finished.jsonl"
"""Where the memory is, relative to the output directory."""
_TICK_NS = 2_000_000_000
"""Clocks of file systems tick, some once in two seconds."""
_State = list[Any]
"""Path, size, and times of change of content and inode; the latter three None for a file that is absent."""


class SceneMemory:
    """What is remembered of scenes in a file of an output directory.

    Parameters
    ----------
    index : Index
        The Step-1 manifest.
    config : PreprocessConfig
        A checked configuration.
    stats : NormalizationStats or None
        Statistics that are applied.
    name : str
        The file, relative to the output directory.
    """

    def __init__(
        self, index: Index, config: PreprocessConfig, stats: NormalizationStats | None, name: str
    ) -> None:
        self._started_ns = time.time_ns()
        self._index = index
        self._config = config
        needs = Needs.of(config)
        # Every file that the configuration would read if it is there.
        self._roles = {role for need in needs.files for role in need.roles} | set(_TILES)
        self._settings = _settings(config, needs, stats, index.root)
        self._place = InsidePath(config.out_dir, name)
        self._lines: dict[str, bytes] = {}
        if not config.overwrite:
            self._load(self._place.path)

    def find(self, scene: Scene) -> Mapping[How, int] | None:
        """Tell whether a scene needs nothing: how its inputs were checked; None where only planning it can tell."""
        known = self._known(str(scene.key), lambda: self._digest(scene))
        return None if known is None else dict(known["checked"])

    def _known(self, name: str, identity: Callable[[], str]) -> dict[str, Any] | None:
        """Return what is remembered under a name, if it is of the same thing and no file changed since."""
        line = self._lines.get(name)
        if line is None:
            return None
        try:
            known: dict[str, Any] = json.loads(line)
            if known["settings"] != self._settings or known["scene"] != identity():
                return None
            inside, out = os.fspath(self._index.root), os.fspath(self._config.out_dir)
            is_same = _are_same(out, known["outputs"]) and _are_same(inside, known["inputs"])
            return known if is_same and isinstance(known["checked"], dict) else None
        except (ValueError, LookupError, TypeError, RecursionError):  # cut short, or damaged
            return None

    def _remember(self, plan: ScenePlan, outputs: list[_State]) -> bool:
        """Remember a scene with the states of what was made of it; False where it cannot be told again."""
        scene = self._index.scene(plan.key)
        if scene is None:
            return False
        if any(file.role == "labels.path" for file in plan.files):
            return False  # a legend beside such a file counts too, and is no input of its own
        candidates = [asset for asset in scene.assets if asset.role in self._roles]
        if any(asset.is_remote for asset in candidates):
            return False  # what lies at an address has no state that is cheap to look at
        try:
            paths = {self._index.file(asset).path for asset in candidates}
        except PathEscapeError:
            return False
        inputs = [self._input_state(path) for path in sorted(paths)]
        # What changed since the run began may not be what was checked.
        if not all(_is_settled(state, self._started_ns) for state in inputs):
            return False
        known = {"inputs": inputs, "outputs": outputs, "checked": _checked_as(plan, self._config)}
        return self._add(str(plan.key), self._digest(scene), known)

    def _add(self, name: str, identity: str, known: Mapping[str, Any]) -> bool:
        document = {"scene_key": name, "settings": self._settings, "scene": identity, **known}
        line = (json.dumps(document, separators=(",", ":")) + "\n").encode()
        return append_line(self._place, line, _MAX_BYTES)

    def state_of(self, path: str | Path) -> _State:
        """Return the state of a file, relative to the output directory."""
        return _state(os.fspath(self._config.out_dir), path)

    def _input_state(self, path: Path) -> _State:
        root = self._index.root
        return _state(os.fspath(root), path.relative_to(root) if path.is_relative_to(root) else path)

    def _digest(self, scene: Scene) -> str:
        line = self._index.table.line(scene.key) or b""
        return hashlib.sha256(line, usedforsecurity=False).hexdigest()

    def _load(self, path: Path) -> None:
        try:
            if path.stat().st_size > _MAX_BYTES:
                return
            with path.open("rb") as stream:
                for line in stream:
                    if line.startswith(_BEGINNING) and line.endswith(b"\n"):
                        self._lines[line[len(_BEGINNING) : line.index(b'"', len(_BEGINNING))].decode()] = line
        except (OSError, ValueError):
            return


class FinishedScenes(SceneMemory):
    """The samples of an output directory.

    Parameters
    ----------
    index, config, stats
        As in :class:`SceneMemory`, of a configuration that writes samples.
    listed : SampleTable
        The Step-2 index: a scene that it does not list is not finished.
    """

    def __init__(
        self, index: Index, config: PreprocessConfig, stats: NormalizationStats | None, listed: SampleTable
    ) -> None:
        super().__init__(index, config, stats, FINISHED)
        self._listed = listed

    def find(self, scene: Scene) -> Mapping[How, int] | None:
        """Tell whether a scene needs nothing, as :meth:`SceneMemory.find` does."""
        return None if self._listed.line(scene.key) is None else super().find(scene)

    def remember(self, plan: ScenePlan, entry: Mapping[str, Any], fingerprint: str) -> None:
        """Remember a scene that was processed or found complete now.

        Parameters
        ----------
        plan : ScenePlan
            Its plan, made in this run.
        entry : mapping
            Its entry in the Step-2 index.
        fingerprint : str
            What its sample should have.
        """
        outputs = [self.state_of(record["path"]) for record in entry["files"]]
        is_whole = [state[1] for state in outputs] == [record["size"] for record in entry["files"]]
        if is_whole and entry["fingerprint"] == fingerprint:
            self._remember(plan, outputs)


_MAX_BYTES = 2 << 30
_BEGINNING = b'{"scene_key":"'
_TILES = ("l1c.tile_metadata", "l2a.tile_metadata")


def _settings(config: PreprocessConfig, needs: Needs, stats: NormalizationStats | None, root: Path) -> str:
    """Identify all that decides what a sample is, beside the scene."""
    kept = {key: value for key, value in to_plain(config).items() if key not in RUN_ONLY_KEYS}
    parts = [
        *(OUTPUT_VERSION, kept, versions(), stats and stats.meaning(), config.verify_inputs),
        *(config.allow_absolute_paths, os.fspath(root.absolute())),
        *(config.aoi and str(config.aoi), config.aoi_crs, config.aoi_margin_m, config.aoi_mask),
        *map(_file_hash, (config.aoi, config.target_grid.aoi, config.normalize.split_plan)),
        {name: backend_checksum(backend) for name, backend in needs.backends.items()},
    ]
    return document_fingerprint(parts)


def _file_hash(area: object) -> str | None:
    """Hash of the file that something is read from; None where an area is given as such."""
    # A long WKT is no name of a file, which os.path takes for an answer and pathlib for an error.
    is_file = isinstance(area, str | Path) and os.path.isfile(area)  # noqa: PTH113
    return hash_file(Path(str(area)), "sha256") if is_file else None


def _checked_as(plan: ScenePlan, config: PreprocessConfig) -> dict[How, int]:
    """How the files of a scene would be counted if they were confirmed again."""
    from s2pipe.preprocess.verify_inputs import is_checkable

    counts: dict[How, int] = {}
    for file in dict.fromkeys(plan.files):
        by_checksum = config.verify_inputs == "checksum" and is_checkable(file)
        how: How = "earlier" if by_checksum else "nothing" if file.size is None else "size"
        counts[how] = counts.get(how, 0) + 1
    return counts


def _state(root: str, path: str | Path) -> _State:
    name = os.fspath(path)
    try:
        status = os.stat(os.path.join(root, name))  # noqa: PTH116, PTH118 - a million files
    except (OSError, ValueError):
        return [name, None, None, None]
    return [name, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _are_same(root: str, states: Iterable[_State]) -> bool:
    return all(_state(root, state[0]) == state for state in states)


def _is_settled(state: _State, before_ns: int) -> bool:
    """Tell whether a file is as it was when the run began."""
    return state[1] is None or max(state[2], state[3]) < before_ns - _TICK_NS
