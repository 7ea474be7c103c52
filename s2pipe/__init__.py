"""s2pipe: Copernicus Sentinel-2 products to machine-learning datasets, reproducibly.

Importing this package is light: no GDAL, no Numba, no pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s2pipe.dataset.opening import open_scene

__version__ = "0.1.0"
__all__ = ["__version__", "open_scene"]


def __getattr__(name: str) -> Any:
    """Import what is not light when it is asked for."""
    if name == "open_scene":
        from s2pipe.dataset.opening import open_scene

        return open_scene
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
