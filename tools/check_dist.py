"""Check the distributions of s2pipe and s2kernels: what is in them, and that they work in empty environments.

    python tools/check_dist.py dist

The environments are made with every supported Python that is on this machine; what is not, is said.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def main(dist: Path) -> int:
    """Check the newest distributions in a directory; return the exit code."""
    dist = dist.absolute()
    s2pipe, s2kernels = newest(dist, "s2pipe-*.whl"), newest(dist, "s2kernels-*.whl")
    data = {f"s2pipe/_schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    data |= {f"s2pipe/_configs/{path.name}" for path in (ROOT / "configs").iterdir()}
    faults = [
        *content_faults(s2pipe, ROOT / "s2pipe", data),
        *content_faults(s2kernels, ROOT / "kernels" / "s2kernels", set()),
        *metadata_faults(s2pipe),
        *archive_faults(newest(dist, "s2pipe-*.tar.gz")),
        *archive_faults(newest(dist, "s2kernels-*.tar.gz")),
    ]
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        return 1
    pythons = found_pythons()
    with tempfile.TemporaryDirectory() as scratch:
        for version, python in pythons.items():
            place = Path(scratch) / version
            kernels_alone(python, place / "kernels", s2kernels)
            both(python, place / "both", s2pipe, dist)
            print(
                f"Python {version}: {s2pipe.name} and {s2kernels.name} work in empty environments", flush=True
            )
        version = next(reversed(pythons))
        from_sources(Path(scratch) / version / "kernels", newest(dist, "s2pipe-*.tar.gz"))
        print(f"Python {version}: so do the checkout and the source archive")
    return 0


def found_pythons() -> dict[str, str]:
    """Return the supported Pythons of this machine, oldest first, and say which are left out."""
    found = {}
    for version in PYTHONS:
        command = ["sh", str(ROOT / "tools" / "find-python"), version]
        path = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        own = "import sys; print('%d.%d' % sys.version_info[:2])"
        if (
            path
            and subprocess.run([path, "-c", own], capture_output=True, text=True, check=True).stdout.strip()
            == version
        ):
            found[version] = path
        else:
            print(f"Python {version}: not on this machine, left out")
    if not found:
        sys.exit("no supported Python was found")
    return found


def newest(dist: Path, pattern: str) -> Path:
    """Return the newest distribution with such a name."""
    return max(dist.glob(pattern), key=lambda path: path.stat().st_mtime)


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


def archive_faults(archive: Path) -> list[str]:
    """Name what a source archive lacks, and what is nothing but a trace of this machine."""
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    wanted = {"PKG-INFO", "pyproject.toml", "LICENSE", "README.md"}
    if archive.name.startswith("s2pipe"):
        wanted |= {"setup.py", "requirements/install.txt", "kernels/pyproject.toml", "configs/apply.yaml"}
    stray = {
        name for name in names if re.search(r"__pycache__|\.nb[ic]$|\.py[cod]$|(^|/)build/|(^|/)\.venv", name)
    }
    return [
        *(f"{name} is missing from {archive.name}" for name in sorted(wanted - names)),
        *(f"{name} should not be in {archive.name}" for name in sorted(stray)),
    ]


def kernels_alone(base: str, place: Path, wheel: Path) -> None:
    """Install s2kernels by itself, and run the example of its README."""
    python = environment(base, place, str(wheel))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "kernels" / "README.md").read_text(), re.DOTALL)
    absent = "import importlib.util as u\nassert not any(u.find_spec(n) for n in ('osgeo', 's2pipe', 'requests'))\n"
    run(place, python, "-I", "-c", absent + "\n".join(blocks))


def both(base: str, place: Path, wheel: Path, dist: Path) -> None:
    """Install s2pipe, which finds s2kernels beside it. Run what needs no GDAL, and the rest where GDAL has a wheel."""
    has_gdal_wheel = place.parent.name != "3.11"
    python = environment(base, place, str(wheel), "--find-links", str(dist))
    command = (python, "-I", "-m", "s2pipe")
    run(place, *command, "--version")
    run(place, *command, "preprocess", "--help")
    run(place, *command, "init", "first", "--defaults")
    run(
        place,
        *command,
        "validate",
        *(f"first/{name}.yaml" for name in ("download", "stats", "apply", "patches")),
    )
    run(
        place,
        python,
        "-I",
        "-c",
        "import s2kernels, s2pipe.preprocess.cfg; s2kernels.warm_up(['reflectance'])",
    )
    if has_gdal_wheel:
        run(place, python, "-m", "pip", "-qq", "install", *pinned(), "--only-binary=gdal-wheel", "gdal-wheel")
        run(place, *command, "doctor")
        run(place, *command, "demo", "--out", "demo")


def from_sources(place: Path, archive: Path) -> None:
    """Install the checkout, and the source archive, as users do; each brings its own kernels."""
    python = str(place / "bin" / "python")
    plain = {key: value for key, value in os.environ.items() if key != "S2PIPE_KERNELS"}
    for source in (ROOT, archive):
        run(place, python, "-m", "pip", "-qq", "uninstall", "--yes", "s2kernels", "s2pipe")
        run(place, python, "-m", "pip", "-qq", "install", *pinned(), str(source), env=plain)
        run(place, python, "-I", "-c", "import s2kernels, s2pipe")


def environment(base: str, place: Path, *arguments: str) -> str:
    """Make an environment that holds one distribution and what it needs."""
    run(ROOT, base, "-m", "venv", str(place))
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
