"""The inputs of the scenes of a run: checked before a scene's pixels are used, the next scene's meanwhile."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

from s2pipe.dataset.verified import VerifiedFiles
from s2pipe.preprocess.placement import check_places
from s2pipe.preprocess.verify_inputs import How, InputVerifier, refuse
from s2pipe.runtime.cores import core_count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.plan import ScenePlan


class SceneInputs:
    """Checks the inputs of one scene after the other; close it after the last.

    Parameters
    ----------
    root : Path
        Root of the Step-1 dataset.
    config : PreprocessConfig
        How inputs are verified, and by how many threads.
    scenes : sequence of ScenePlan
        Scenes in the order of processing.
    """

    def __init__(self, root: Path, config: PreprocessConfig, scenes: Sequence[ScenePlan]) -> None:
        self._scenes = scenes
        self._places = {scene.key: place for place, scene in enumerate(scenes)}
        self._by_checksum = config.verify_inputs == "checksum"
        memory = VerifiedFiles(root, config.out_dir)
        self._verifier = InputVerifier(memory, core_count(config.num_workers), by_checksum=self._by_checksum)

    @property
    def counts(self) -> dict[How, int]:
        """Files of scenes by how they were checked."""
        return dict(self._verifier.counts)

    def prove(self, scene: ScenePlan, is_current: Callable[[ScenePlan], bool]) -> Callable[[], None]:
        """Check all files of a scene, and begin with those of the next one.

        Parameters
        ----------
        scene : ScenePlan
            The scene to be processed now.
        is_current : callable
            Tells of a later scene that its outputs are complete, so that its inputs need no check.

        Returns
        -------
        callable
            To be called when the pixels have been read: raises ChecksumError if a file was changed meanwhile.

        Raises
        ------
        ChecksumError
            Files are not as the index says, or were changed since the plan was made.
        RasterError, MetadataError, MissingInputError
            A raster does not lie where the metadata of its tile say, or those cannot be used.
        """
        stamps = self._verifier.require(scene.files)
        check_places(scene.in_tile, by_checksum=self._by_checksum)
        planned = {(state.role, state.name): (state.size, state.mtime_ns) for state in scene.inputs}
        refuse(
            [
                f"{file.label}: was changed since the run began"
                for file, stamp in stamps.items()
                if planned.get((file.role, file.name)) not in (None, (stamp.size, stamp.mtime_ns))
            ]
        )
        later = itertools.islice(self._scenes, self._places[scene.key] + 1, None)
        following = next((other for other in later if not is_current(other)), None)
        if following is not None:
            self._verifier.begin(following.files)
        return functools.partial(self._verifier.unchanged, stamps)

    def confirm(self, scene: ScenePlan) -> None:
        """Check the files of a scene whose outputs are complete; these are current only while files are as recorded.

        Files that did not change since they were checked are not read.

        Raises
        ------
        ChecksumError
            Files are not as the index says.
        """
        self._verifier.require(scene.files)

    def close(self) -> None:
        """Give up what was begun for scenes that are not processed."""
        self._verifier.close()
