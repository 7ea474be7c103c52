"""Check the wheels of s2pipe and s2kernels: what is in them, and that they work in empty environments.

python tools/check_wheel.py dist
"""

import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"


def main(dist: Path) -> int:
    """Check the newest wheels in a directory; return the exit code."""
    dist = dist.absolute()
    s2pipe, s2kernels = newest(dist, "s2pipe"), newest(dist, "s2kernels")
    schemas = {f"s2pipe/_schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    faults = [
        *content_faults(s2pipe, ROOT / "s2pipe", schemas),
        *content_faults(s2kernels, ROOT / "kernels" / "s2kernels", set()),
        *metadata_faults(s2pipe),
    ]
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        kernels_alone(Path(scratch) / "kernels", s2kernels)
        both(Path(scratch) / "both", s2pipe, dist)
        from_checkout(Path(scratch) / "kernels")
    print(f"{s2pipe.name} and {s2kernels.name} work in empty environments")
    return 0


def newest(dist: Path, name: str) -> Path:
    """Return the newest wheel of a distribution."""
    return max(dist.glob(f"{name}-*.whl"), key=lambda path: path.stat().st_mtime)


def content_faults(wheel: Path, package: Path, more: set[str]) -> list[str]:
    """Name the files that a wheel lacks, and those that do not belong in it."""
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [*package.rglob("*.py"), *package.rglob("templates/*.*"), package / "py.typed"]
    wanted = {path.relative_to(package.parent).as_posix() for path in files} | more
    stray = {name for name in names if not name.startswith((f"{package.name}/", f"{package.name}-"))}
    return [
        *(f"{name} is missing from {wheel.name}" for name in sorted(wanted - names)),
        *(f"{name} should not be in {wheel.name}" for name in sorted(stray)),
    ]


def metadata_faults(wheel: Path) -> list[str]:
    """Name requirements that point into this machine."""
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    lines = archive.read(name).decode().splitlines()
    return [f"{wheel.name} requires an address: {line}" for line in lines if "file:" in line]


def kernels_alone(place: Path, wheel: Path) -> None:
    """Install s2kernels by itself, and run the example of its README."""
    python = environment(place, str(wheel))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "kernels" / "README.md").read_text(), re.DOTALL)
    absent = "import importlib.util as u\nassert not any(u.find_spec(n) for n in ('osgeo', 's2pipe', 'requests'))\n"
    run(place, python, "-I", "-c", absent + "\n".join(blocks))


def both(place: Path, wheel: Path, dist: Path) -> None:
    """Install s2pipe, which finds s2kernels beside it; run what needs no GDAL."""
    python = environment(place, str(wheel), "--find-links", str(dist))
    run(place, python, "-I", "-m", "s2pipe", "--version")
    run(place, python, "-I", "-m", "s2pipe", "preprocess", "--help")
    run(place, python, "-I", "-m", "s2pipe", "validate", str(ROOT / "configs" / "apply.json"))
    run(
        place,
        python,
        "-I",
        "-c",
        "import s2kernels, s2pipe.preprocess.cfg; s2kernels.warm_up(['reflectance'])",
    )


def from_checkout(place: Path) -> None:
    """Install the checkout as a user does; it brings its own kernels."""
    python = str(place / "bin" / "python")
    plain = {key: value for key, value in os.environ.items() if key != "S2PIPE_KERNELS"}
    run(ROOT, python, "-m", "pip", "-qq", "uninstall", "--yes", "s2kernels")
    run(ROOT, python, "-m", "pip", "-qq", "install", *pinned(), str(ROOT), env=plain)
    run(
        place,
        python,
        "-I",
        "-c",
        "import s2kernels, s2pipe; print('pip install . brings', s2kernels.__name__)",
    )


def environment(place: Path, *arguments: str) -> str:
    """Make an environment that holds one distribution and what it needs."""
    venv.create(place, with_pip=True, symlinks=os.name != "nt")
    python = str(place / "bin" / "python")
    run(place, python, "-m", "pip", "-qq", "--disable-pip-version-check", "install", *pinned(), *arguments)
    return python


def pinned() -> list[str]:
    """Return pip's options for the versions that everything else is tested with."""
    return [] if os.environ.get("CONSTRAINTS") == "none" else ["--constraint", str(CONSTRAINTS)]


def run(place: Path, *command: str, env: dict[str, str] | None = None) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)[:300]}\nfailed with {done.returncode}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
