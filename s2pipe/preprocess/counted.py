"""Scenes that were found counted, and statistics that were found current: told again from the states of files.

What :mod:`s2pipe.preprocess.finished` is to samples, this is to the histograms of pass 1. Statistics are those of all
histograms together: as long as none of these changed, nor which there are, nothing is added up again.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from s2pipe.errors import ManifestError
from s2pipe.preprocess.finished import SceneMemory
from s2pipe.preprocess.record import histogram_fingerprint
from s2pipe.preprocess.stats.histogram import HISTOGRAM_NAME, HistogramSum, load_histogram
from s2pipe.preprocess.stats.stats_file import histogram_beside

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.dataset.scenes import Scene
    from s2pipe.dataset.step1_index import Index
    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.plan import Plan
    from s2pipe.preprocess.scene_plan import ScenePlan
    from s2pipe.preprocess.verify_inputs import How

COUNTED = "meta/step2/counted.jsonl"
"""Where the memory is, relative to the output directory."""
_ALL = "*"
"""Name of the statistics among the names of scenes."""


class CountedScenes(SceneMemory):
    """The histograms of an output directory, and the statistics made of them.

    Parameters
    ----------
    index : Index
        The Step-1 manifest.
    config : PreprocessConfig
        A checked configuration that counts.
    """

    def __init__(self, index: Index, config: PreprocessConfig) -> None:
        super().__init__(index, config, None, COUNTED)
        self._histograms: dict[str, list[object]] = {}
        self.is_current = False
        """Whether the statistics are those of the scenes of the plan."""
        self.sum = HistogramSum()
        """Sum of the histograms of known scenes, unless the statistics are current."""

    def find(self, scene: Scene) -> Mapping[How, int] | None:
        """Tell whether a scene is counted, as :meth:`SceneMemory.find` does."""
        name = str(scene.key)
        known = self._known(name, lambda: self._digest(scene))
        if known is None:
            return None
        self._histograms[name] = known["outputs"]
        return dict(known["checked"])

    def remember(self, plan: ScenePlan) -> None:
        """Remember a scene that was counted or found counted now."""
        path = plan.directory / HISTOGRAM_NAME
        state = self.state_of(path.as_posix())
        try:  # another run may have counted otherwise meanwhile
            histogram = load_histogram(self._config.out_dir / path)
        except ManifestError:
            return
        is_ours = histogram.inputs_fingerprint == histogram_fingerprint(plan, self._config)
        if is_ours and self._remember(plan, [state]):
            self._histograms[str(plan.key)] = [state]

    def prepare(self, plan: Plan) -> bool:
        """Look whether the statistics are current, and add up the histograms of known scenes if they are not.

        Returns
        -------
        bool
            False when a histogram cannot be read after all: its scene is known no more, and is to be planned.
        """
        keys = [item.key for item in plan.finished]
        if not (plan.scenes or plan.unreadable):
            digest = self._digest_of_all(keys, len(plan.incomplete))
            self.is_current = digest is not None and self._known(_ALL, lambda: digest) is not None
            if self.is_current:
                return True
        is_whole = True
        for key in keys:
            try:
                self.sum.add(load_histogram(self._config.out_dir / key.sample_dir / HISTOGRAM_NAME))
            except ManifestError:
                is_whole = False
                del self._lines[str(key)], self._histograms[str(key)]
        return is_whole

    def remember_stats(self, keys: Iterable[SceneKey], left_out: int) -> None:
        """Remember that the statistics were written now, of these scenes."""
        digest, stats_path = self._digest_of_all(keys, left_out), self._config.normalize.stats_path
        if digest is None or stats_path is None:
            return
        files = [stats_path]
        if self._config.normalize.save_histograms:
            files.append(histogram_beside(stats_path))
        outputs = [self.state_of(os.path.abspath(file)) for file in files]  # noqa: PTH100 - without following links
        self._add(_ALL, digest, {"inputs": [], "outputs": outputs, "checked": {}})

    def _digest_of_all(self, keys: Iterable[SceneKey], left_out: int) -> str | None:
        """Identify the histograms of scenes by their states; None where one is not known."""
        digest = hashlib.sha256(f"{left_out}\n".encode(), usedforsecurity=False)
        for name in sorted(map(str, keys)):
            if name not in self._histograms:
                return None
            digest.update(json.dumps([name, self._histograms[name]]).encode())
        return digest.hexdigest()
