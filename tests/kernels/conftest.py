from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import s2kernels

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def kernel_environment() -> Callable[..., dict[str, str]]:
    """Environment for a subprocess that finds the same s2kernels."""

    def make(**changes: str) -> dict[str, str]:
        package_parent = str(Path(s2kernels.__file__).parent.parent)
        return {**os.environ, "PYTHONPATH": package_parent, **changes}

    return make
