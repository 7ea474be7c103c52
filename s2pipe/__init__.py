"""s2pipe: Copernicus Sentinel-2 products to machine-learning datasets, reproducibly.

Importing this package is light: no GDAL, no Numba, no pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s2pipe.version import __version__

if TYPE_CHECKING:
    from s2pipe.dataset.opening import open_dataset, open_scene
    from s2pipe.preprocess.one_scene import SceneRecord, count_scene, process_scene
    from s2pipe.runtime.progress import ProgressState, watch_progress

__all__ = [
    "ProgressState",
    "SceneRecord",
    "__version__",
    "count_scene",
    "open_dataset",
    "open_scene",
    "process_scene",
    "watch_progress",
]


def __getattr__(name: str) -> Any:
    """Import what is not light when it is asked for."""
    if name in ("open_dataset", "open_scene"):
        from s2pipe.dataset import opening

        return getattr(opening, name)
    if name in ("SceneRecord", "count_scene", "process_scene"):
        from s2pipe.preprocess import one_scene

        return getattr(one_scene, name)
    if name in ("ProgressState", "watch_progress"):
        from s2pipe.runtime import progress

        return getattr(progress, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
