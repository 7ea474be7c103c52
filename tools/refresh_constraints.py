"""Write requirements/constraints.txt: the newest versions that install together, for every supported Python.

    python tools/refresh_constraints.py [PYTHON...]

Without arguments it looks for one Python of each version with tools/find-python; each must be there, or its
pins would be lost. Where the versions differ between Pythons, lines carry a marker.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "requirements" / "constraints.txt"
MINORS = (11, 12, 13)
# torch and what needs it stay as they are: which versions have a build for CPUs must be looked up by hand.
KEPT = (
    *("filelock", "jinja2", "markupsafe", "mpmath", "networkx", "sympy", "torch", "torchdata"),
    *("lightning", "lightning-utilities", "pytorch-lightning", "torchmetrics"),
)
# Not `gdal`, whose version the system's libgdal dictates, nor `clients`, which no set-up of ours installs.
EXTRAS = ("gdal-wheel", "tables", "shards", "xarray", "figures", "remote", "dask", "docs", "test", "dev")
HEADER = """\
# Versions that are known to work together on Python {first} to {last}. pip reads them with --constraint:
# they install nothing by themselves, and name no place that packages come from. `make constraints` writes them.
"""


def main(pythons: list[str]) -> int:
    """Resolve for every supported Python, and write the pins."""
    found = {minor_of(python): python for python in pythons or map(find_python, MINORS)}
    if tuple(sorted(found)) != MINORS:
        print(f"needs one Python 3.x for each x of {MINORS}, found {sorted(found)}", file=sys.stderr)
        return 1
    versions: dict[str, dict[int, str]] = {}
    for minor, python in sorted(found.items()):
        for name, version in resolve(python).items():
            versions.setdefault(name, {})[minor] = version
    kept = [line for line in TARGET.read_text().splitlines() if line.partition("==")[0] in KEPT]
    fresh = [line for name in versions if name not in KEPT for line in pins(name, versions[name])]
    lines = sorted(fresh + kept, key=lambda line: line.partition("==")[0])
    header = HEADER.format(first=f"3.{MINORS[0]}", last=f"3.{MINORS[-1]}")
    TARGET.write_text(header + "".join(line + "\n" for line in lines))
    print(f"{TARGET.relative_to(ROOT)}: {len(versions)} packages")
    return 0


def find_python(minor: int) -> str:
    """Return the path of a Python 3.minor."""
    command = ["sh", str(ROOT / "tools" / "find-python"), f"3.{minor}"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def minor_of(python: str) -> int:
    """Ask a Python for its minor version."""
    command = [python, "-c", "import sys; print(sys.version_info.minor)"]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def resolve(python: str) -> dict[str, str]:
    """Ask pip what it would install, ignoring the present pins."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        options = ["--dry-run", "--ignore-installed", "--report", str(report)]
        command = [python, "-m", "pip", "-qq", "install", *options, *requirements()]
        subprocess.run(command, check=True, cwd=scratch)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return {item["name"].lower().replace("_", "-"): item["version"] for item in found}


def requirements() -> list[str]:
    """Return the requirements of s2pipe and of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    lines = (ROOT / "requirements" / "install.txt").read_text().splitlines()
    own = [text for line in lines if (text := line.partition("#")[0].strip())]
    return [line for line in [*own, *extras] if not line.startswith("s2pipe[")]


def pins(name: str, by_minor: dict[int, str]) -> list[str]:
    """Give one line per version; several versions carry the range of Pythons that each is for."""
    runs: list[list[int]] = []
    for minor in sorted(by_minor):
        if runs and by_minor[runs[-1][0]] == by_minor[minor]:
            runs[-1].append(minor)
        else:
            runs.append([minor])
    lines = []
    for position, run in enumerate(runs):
        bounds = [f"python_version >= '3.{run[0]}'"] if position > 0 else []
        bounds += [f"python_version < '3.{runs[position + 1][0]}'"] if position + 1 < len(runs) else []
        lines.append(f"{name}=={by_minor[run[0]]}" + (f" ; {' and '.join(bounds)}" if bounds else ""))
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
