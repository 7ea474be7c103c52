"""What became of a scene, as the results of all steps say it."""

from __future__ import annotations

from dataclasses import dataclass

from s2pipe.dataset.scene_key import SceneKey


@dataclass(frozen=True)
class FailedScene:
    """A scene that a run could not finish."""

    key: SceneKey
    """The scene's key."""
    error: str
    """What went wrong."""
