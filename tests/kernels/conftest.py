import os
from pathlib import Path

import pytest

import s2kernels


@pytest.fixture
def kernel_environment():
    """Environment for a subprocess that finds the same s2kernels."""

    def make(**changes: str) -> dict[str, str]:
        package_parent = str(Path(s2kernels.__file__).parent.parent)
        return {**os.environ, "PYTHONPATH": package_parent, **changes}

    return make
