"""What pyproject.toml cannot say: where schemas, configurations and kernels come from, and the project's address.

``s2kernels`` is a distribution of its own, in ``kernels/``. Installed from a checkout or from a source archive, s2pipe
takes the copy beside it: ``pip install .`` brings both. That requirement is an address on this machine, so it must not
end up in a wheel that is handed on. With ``S2PIPE_KERNELS=by-name`` s2pipe requires s2kernels by its name instead: for
such wheels, and for environments that hold s2kernels already.

The address of the project is that of the repository which a distribution is built from: ``S2PIPE_REPOSITORY``, or the
origin of the checkout where that is a web address.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def requirements() -> list[str]:
    """Requirements of s2pipe, one per line of ``requirements/install.txt``, and s2kernels."""
    lines = (ROOT / "requirements" / "install.txt").read_text(encoding="utf-8").splitlines()
    named = [text for line in lines if (text := line.partition("#")[0].strip())]
    by_name = os.environ.get("S2PIPE_KERNELS") == "by-name"
    return [*named, "s2kernels>=0.1,<0.2" if by_name else f"s2kernels @ {(ROOT / 'kernels').as_uri()}"]


def project_urls() -> dict[str, str]:
    """Addresses of the repository, its changelog and its issues; none where the repository is not known."""
    address = os.environ.get("S2PIPE_REPOSITORY", "").strip() or _origin()
    form = re.fullmatch(
        r"(?:https://(?:[^@/]+@)?|ssh://git@|git@)([\w.-]+)[:/]([\w./-]+?)(?:\.git)?/?", address
    )
    if form is None:
        return {}
    url = f"https://{form[1]}/{form[2]}"
    return {
        "Source": url,
        "Documentation": f"{url}/blob/main/README.md",
        "Changelog": f"{url}/blob/main/CHANGELOG.md",
        "Issues": f"{url}/issues",
    }


def _origin() -> str:
    if not (
        ROOT / ".git"
    ).exists():  # a source archive: git would answer for whatever repository lies around it
        return ""
    command = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git
        return ""


if __name__ == "__main__":
    from setuptools import find_packages, setup

    setup(
        packages=[*find_packages(include=["s2pipe", "s2pipe.*"]), "s2pipe._schemas", "s2pipe._configs"],
        package_dir={"s2pipe._schemas": "schemas", "s2pipe._configs": "configs"},
        package_data={
            "s2pipe._schemas": ["*.json"],
            "s2pipe._configs": ["*.json", "*.yaml"],
            "*": ["py.typed", "templates/*"],
        },
        install_requires=requirements(),
        project_urls=project_urls(),
    )
