"""The scenes of a run in this process, one after the other."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING

from s2pipe.preprocess.one_scene import SceneRecord, count_scene, process_scene
from s2pipe.preprocess.scene_inputs import SceneInputs
from s2pipe.preprocess.stats.histogram import BandHistograms, HistogramSum

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.scene_plan import ScenePlan
    from s2pipe.preprocess.stats.statistics import NormalizationStats


class InTurn:
    """Processes or counts scenes here.

    Parameters
    ----------
    config : PreprocessConfig
        A checked configuration; its mode says what is done.
    stats : NormalizationStats or None
        Statistics to apply.
    """

    def __init__(self, config: PreprocessConfig, stats: NormalizationStats | None) -> None:
        self._config = config
        self._stats = stats
        self._sum = HistogramSum()

    def records(self, scenes: Sequence[ScenePlan]) -> Generator[SceneRecord, None, None]:
        """Do the scenes in their order; those that another process is at come last."""
        if not scenes:
            return
        with closing(SceneInputs(scenes[0].root, self._config, scenes)) as inputs:
            queue, held = deque(scenes), 0
            while queue:
                # Others are at all that is left: now waiting for one of them costs nothing.
                record = self._do(queue[0], inputs, wait=held == len(queue))
                if record.status == "held":
                    queue.rotate(-1)
                    held += 1
                else:
                    queue.popleft()
                    held = 0
                    yield record

    def total(self) -> BandHistograms | None:
        """Return the sum of what was counted; None when nothing was."""
        return self._sum.total() if self._sum else None

    def _do(self, scene: ScenePlan, inputs: SceneInputs, *, wait: bool) -> SceneRecord:
        if self._config.normalize.mode == "compute_only":
            return count_scene(scene, self._config, inputs=inputs, wait=wait, add=self._sum.add)
        return process_scene(scene, self._config, self._stats, inputs=inputs, wait=wait)
