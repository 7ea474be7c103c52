"""The inputs of the scenes of a run: checked before a scene's pixels are used, the next scene's meanwhile."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2pipe.dataset.verified import VerifiedFiles
from s2pipe.preprocess.placement import check_places
from s2pipe.preprocess.verify_inputs import How, InputVerifier, refuse
from s2pipe.runtime.cores import core_count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from s2pipe.preprocess.cfg import PreprocessConfig
    from s2pipe.preprocess.scene_plan import ScenePlan


@dataclass(frozen=True)
class Proof:
    """What checking the inputs of a scene found."""

    again: Callable[[], None]
    """To be called when the pixels have been read: raises ChecksumError if a file was changed meanwhile."""
    counts: Mapping[How, int]
    """Files by how they were checked."""


class SceneInputs:
    """Checks the inputs of one scene after the other; close it after the last.

    Parameters
    ----------
    root : Path
        Root of the Step-1 dataset.
    config : PreprocessConfig
        How inputs are verified, and by how many threads.
    scenes : sequence of ScenePlan
        Scenes in the order of processing, as far as it is known: the files of the next are hashed ahead.
    """

    def __init__(self, root: Path, config: PreprocessConfig, scenes: Sequence[ScenePlan]) -> None:
        self._scenes = scenes
        self._places = {scene.key: place for place, scene in enumerate(scenes)}
        self._by_checksum = config.verify_inputs == "checksum"
        memory = VerifiedFiles(root, config.out_dir)
        self._verifier = InputVerifier(memory, core_count(config.num_workers), by_checksum=self._by_checksum)

    def prove(self, scene: ScenePlan, needs_nothing: Callable[[ScenePlan], bool]) -> Proof:
        """Check all files of a scene, and begin with those of the next one.

        Parameters
        ----------
        scene : ScenePlan
            The scene to be processed now.
        needs_nothing : callable
            Tells of a later scene that its inputs need no check here: its outputs are complete, or another process is
            at it.

        Raises
        ------
        ChecksumError
            Files are not as the index says, or were changed since the plan was made.
        RasterError, MetadataError, MissingInputError
            A raster does not lie where the metadata of its tile say, or those cannot be used.
        """
        stamps, counts = self._verifier.require(scene.files)
        check_places(scene.in_tile, by_checksum=self._by_checksum)
        changed = {}
        for source in scene.each:  # products of several tiles have files of the same names
            planned = {(state.role, state.name): state for state in source.inputs}
            for file in source.files:
                state = planned.get((file.role, file.name))
                if state is not None and not state.is_of(stamps[file]):
                    changed[f"{file.label}: was changed since the run began"] = file
        refuse(list(changed))
        place = self._places.get(scene.key, len(self._scenes))
        later = itertools.islice(self._scenes, place + 1, None)
        following = next((other for other in later if not needs_nothing(other)), None)
        if following is not None:
            self._verifier.begin(following.files)
        return Proof(functools.partial(self._verifier.unchanged, stamps), counts)

    def confirm(self, scene: ScenePlan) -> Mapping[How, int]:
        """Check the files of a scene whose outputs are complete; these are current only while files are as recorded.

        Files that did not change since they were checked are not read.

        Raises
        ------
        ChecksumError
            Files are not as the index says.
        """
        return self._verifier.require(scene.files)[1]

    def close(self) -> None:
        """Give up what was begun for scenes that are not processed."""
        self._verifier.close()
