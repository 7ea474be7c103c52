"""Make a virtual environment that holds s2pipe and GDAL, unless it is there already.

    python tools/setup_venv.py DIRECTORY [--gdal auto|wheel|system] [--extras dev]

Standard library only: it runs under the bare Python that tools/find-python found. A stamp file, written last,
holds a digest of all that the environment was made from; without a matching stamp the environment is made
anew, so an interrupted set-up never passes for a finished one.
"""

import argparse
import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
INPUTS = (
    "pyproject.toml",
    "setup.py",
    "kernels/pyproject.toml",
    "requirements/constraints.txt",
    "requirements/install.txt",
    "tools/setup_venv.py",
    "s2pipe/version.py",
)
MARKER, STAMP = "made-by-make", "ready"
OLDEST_GDAL = (3, 6)
FIND_JPEG2000 = """
from osgeo import gdal, osr
gdal.UseExceptions()
names = [gdal.GetDriver(i).ShortName for i in range(gdal.GetDriverCount())]
print(gdal.__version__, next((n for n in names if n in ("JP2OpenJPEG", "JP2Grok", "JP2KAK", "JP2ECW")), ""))
"""


class SetupError(Exception):
    """What is wrong (first line) and what to do about it (second line)."""


def main() -> int:
    """Make the environment under its lock; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--gdal", choices=("auto", "wheel", "system"), default="auto")
    parser.add_argument("--extras", default="dev")
    options = parser.parse_args()
    directory = options.directory.absolute()
    try:
        with lock(directory):
            if not is_ready(directory, options):
                make(directory, options)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the next run starts the set-up again", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Let a second make wait for the first rather than share its half-made environment."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with Path(f"{directory}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def is_ready(directory: Path, options: argparse.Namespace) -> bool:
    """Tell whether the stamp matches everything that the environment is made from."""
    try:
        stamp = (directory / STAMP).read_text().splitlines()
    except OSError:
        return False
    if len(stamp) != 2 or not venv_python(directory).exists():
        return False
    return stamp[1] == digest(directory, options, stamp[0])


def digest(directory: Path, options: argparse.Namespace, gdal: str) -> str:
    """Digest of everything that the environment is made from."""
    parts = [str(directory), options.gdal, options.extras, gdal]
    parts += [sys.version, sys.base_prefix, platform.machine()]
    if gdal.startswith("system"):
        parts.append(str(libgdal_version()))  # an upgraded libgdal needs its own bindings
    contents = [(ROOT / name).read_bytes() if (ROOT / name).exists() else b"-" for name in INPUTS]
    return hashlib.sha256(b"\0".join([*map(str.encode, parts), *contents])).hexdigest()


def make(directory: Path, options: argparse.Namespace) -> None:
    """Make the environment anew."""
    started = time.monotonic()
    # An empty directory is as good as none; any other that lacks the marker is the user's own.
    if directory.exists() and not (directory / MARKER).exists() and any(directory.iterdir()):
        msg = (
            f"{directory} exists and was not made by make, so it is left alone.\n"
            "Move it away, or choose another place: make VENV=.venv-s2pipe"
        )
        raise SetupError(msg)
    if not may_use_wheel(options.gdal):
        required_libgdal()  # what is missing is said before anything is removed or installed
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / MARKER).touch()
    say(f"making {directory.name} with Python {platform.python_version()} ({sys.base_prefix})")
    venv.create(directory, with_pip=True, symlinks=os.name != "nt")

    gdal = install_gdal(directory, options.gdal)
    say(f"installing s2pipe[{options.extras}]")
    pip(directory, "install", *constraints(), "--editable", str(ROOT / "kernels"))
    # By name: the copy in kernels/ is in this environment already, as an editable one.
    by_name = {**os.environ, "S2PIPE_KERNELS": "by-name"}
    pip(directory, "install", *constraints(), "--editable", f"{ROOT}[{options.extras}]", env=by_name)
    (directory / STAMP).write_text(f"{gdal}\n{digest(directory, options, gdal)}\n")
    say(f"{directory.name} is ready after {time.monotonic() - started:.0f} s")


def install_gdal(directory: Path, wanted: str) -> str:
    """Install GDAL's Python bindings; return "wheel" or "system"."""
    if may_use_wheel(wanted):
        say("installing GDAL's self-contained wheel")
        arguments = ("install", *constraints(), "--only-binary=gdal-wheel", "gdal-wheel")
        result = run_pip(directory, *arguments, capture_output=True)
        problem = fault_of_gdal(directory) if result.returncode == 0 else last_error(result.stderr)
        if problem is None:
            return "wheel"
        if wanted == "wheel":
            msg = f"the GDAL wheel cannot be used: {problem}\nUse --gdal system instead."
            raise SetupError(msg)
        say(f"the GDAL wheel cannot be used ({problem}); turning to the system's libgdal")
        run_pip(directory, "uninstall", "--yes", "gdal-wheel", capture_output=True)
    build_system_gdal(directory)
    return "system"


def may_use_wheel(wanted: str) -> bool:
    """Tell whether GDAL's wheel may be tried."""
    return wanted == "wheel" or (wanted == "auto" and sys.version_info >= (3, 12))


def build_system_gdal(directory: Path) -> None:
    """Build the PyPI package gdal of the same version as the system's libgdal.

    Without build isolation and before numpy is there: the bindings are then built without gdal_array, which
    s2pipe does not use and whose C code accepts only the numpy versions of its day. Without pip's cache: a
    wheel built on another libgdal of the same version number must not be taken for this one.
    """
    version = required_libgdal()
    say(f"building GDAL's Python bindings for the system's libgdal {version}")
    pip(directory, "install", "--upgrade", "setuptools", "wheel")
    build_environment = {**os.environ, "GDAL_PYTHON_BINDINGS_WITHOUT_NUMPY": "YES"}
    how = ("--no-build-isolation", "--no-cache-dir", "--no-binary=gdal")
    # "==X.Y.Z.*" also takes the re-releases of the bindings, such as 3.7.1.1 and 3.12.0.post1.
    pip(directory, "install", *how, f"gdal=={version}.*", env=build_environment)
    problem = fault_of_gdal(directory)
    if problem is not None:
        msg = (
            f"the system's GDAL {version} cannot be used: {problem}\n"
            "Use Python 3.12 or newer, whose GDAL comes as a wheel, or a GDAL with OpenJPEG (apt's, conda's)."
        )
        raise SetupError(msg)


def required_libgdal() -> str:
    """Return the version X.Y.Z of the system's libgdal, once all that its bindings are built with is there."""
    version = libgdal_version()
    missing = {}
    if version is None:
        missing["libgdal (no gdal-config on PATH)"] = "libgdal-dev"
    compiler = os.environ.get("CXX", "").split(" ")[0]
    if not any(shutil.which(name) for name in (compiler, "c++", "g++", "clang++") if name):
        missing["a C++ compiler"] = "g++"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing["Python.h"] = f"python{sys.version_info.major}.{sys.version_info.minor}-dev"
    if version is None or missing:
        otherwise = "use Python 3.12 or newer, whose GDAL comes as a wheel"
        if sys.version_info >= (3, 12):
            otherwise = (
                "check the network: a self-contained GDAL exists for Linux x86-64, macOS arm64 and Windows"
            )
        msg = (
            f"GDAL for Python {platform.python_version()} is built on the system's; missing: {', '.join(missing)}.\n"
            f"Install: apt-get install {' '.join(missing.values())} | brew install gdal"
            f" | conda install libgdal-core cxx-compiler - or {otherwise}."
        )
        raise SetupError(msg)
    release = re.match(r"\d+\.\d+\.\d+", version)
    if release is None or tuple(map(int, version.split(".")[:2])) < OLDEST_GDAL:
        msg = (
            f"the system's GDAL is {version}; s2pipe needs a release, {'.'.join(map(str, OLDEST_GDAL))} or newer.\n"
            "Use Python 3.12 or newer, whose GDAL comes as a wheel, or a newer system GDAL."
        )
        raise SetupError(msg)
    return release[0]


def libgdal_version() -> str | None:
    """Return the version of the system's libgdal, or None without `gdal-config`."""
    gdal_config = shutil.which("gdal-config")
    if gdal_config is None:
        return None
    result = subprocess.run([gdal_config, "--version"], capture_output=True, text=True, check=False)
    return result.stdout.strip() or None if result.returncode == 0 else None


def fault_of_gdal(directory: Path) -> str | None:
    """Say why the environment's GDAL is of no use, or None: it must start, and read JPEG 2000."""
    command = [str(venv_python(directory)), "-I", "-c", FIND_JPEG2000]
    result = subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False)
    if result.returncode != 0:
        return f"it does not start: {last_error(result.stderr)}"
    version, driver = result.stdout.rstrip("\n").split(" ")
    return None if driver else f"{version} has no JPEG 2000 driver"


def pip(directory: Path, *arguments: str, **options: Any) -> None:
    """Run pip in the environment; raise if it fails."""
    if run_pip(directory, *arguments, **options).returncode != 0:
        msg = (
            f"set-up failed: pip {' '.join(arguments)}\n"
            "pip says why above. The next run starts again; without pinned versions: make CONSTRAINTS=none"
        )
        raise SetupError(msg)


def run_pip(directory: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run pip in the environment."""
    command = [str(venv_python(directory)), "-m", "pip", "-qq", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, text=True, stdin=subprocess.DEVNULL, cwd=ROOT, **options, check=False)


def constraints() -> list[str]:
    """Return pip's options for the pinned versions."""
    if os.environ.get("CONSTRAINTS") == "none" or not CONSTRAINTS.exists():
        return []
    return ["--constraint", str(CONSTRAINTS)]


def last_error(text: str) -> str:
    """Return the line of an output that says most about what failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no message"])[-1]


def venv_python(directory: Path) -> Path:
    """Return the path of the environment's Python."""
    return directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"s2pipe set-up: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
