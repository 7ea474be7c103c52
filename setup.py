"""What pyproject.toml cannot say: where the schemas lie, and where the kernels come from.

``s2kernels`` is a distribution of its own, in ``kernels/``. Installed from a checkout or from a source archive, s2pipe
takes the copy beside it: ``pip install .`` brings both. That requirement is an address on this machine, so it must not
end up in a wheel that is handed on. With ``S2PIPE_KERNELS=by-name`` s2pipe requires s2kernels by its name instead: for
such wheels, and for environments that hold s2kernels already.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def requirements() -> list[str]:
    """Requirements of s2pipe, one per line of ``requirements/install.txt``, and s2kernels."""
    lines = (ROOT / "requirements" / "install.txt").read_text(encoding="utf-8").splitlines()
    named = [text for line in lines if (text := line.partition("#")[0].strip())]
    by_name = os.environ.get("S2PIPE_KERNELS") == "by-name"
    return [*named, "s2kernels>=0.1,<0.2" if by_name else f"s2kernels @ {(ROOT / 'kernels').as_uri()}"]


setup(
    packages=[*find_packages(include=["s2pipe", "s2pipe.*"]), "s2pipe._schemas"],
    package_dir={"s2pipe._schemas": "schemas"},
    package_data={"s2pipe._schemas": ["*.json"], "*": ["py.typed", "templates/*"]},
    install_requires=requirements(),
)
