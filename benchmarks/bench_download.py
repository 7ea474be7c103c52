"""Download: throughput beside four parallel curl in the same run, and memory for one large file.

    python benchmarks/bench_download.py [--megabytes 256] [--rate 20e6]

Both fetch the same four files from the local test service, a process of its own. s2pipe also searches, reads the
manifest, computes every checksum and writes the index in that time; curl only stores what it gets.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).resolve().parent.parent
BANDS = ("B02", "B03", "B04", "B08")
PATHS = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])


@contextmanager
def service(products: Path, rate: float | None) -> Iterator[dict[str, str]]:
    """Run the test service and yield the variables that point to it."""
    command = [sys.executable, "-m", "s2pipe.testing", "--products", str(products)]
    command += ["--rate", str(rate)] if rate else []
    environment = {**os.environ, "PYTHONPATH": PATHS}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip().removeprefix("export ") for _ in range(5)]
        try:
            yield {key: value.strip("'") for key, _, value in (line.partition("=") for line in lines)}
        finally:
            process.kill()


def make(directory: Path, size: int, bands: tuple[str, ...] = BANDS) -> Path:
    """Make a product whose bands have ``size`` bytes each, and nothing else of any size."""
    sys.path[:0] = [str(ROOT), str(ROOT / "kernels")]
    from s2pipe.testing.fake import L1C, make_safe, manifest_of

    root = make_safe(directory, L1C, size=1, bands=bands)
    block = os.urandom(1 << 20)
    for image in root.rglob("IMG_DATA/*.jp2"):
        with image.open("ab") as stream:
            stream.writelines(block for _ in range(size >> 20))
    files = [path for path in root.rglob("*") if path.is_file() and path.name != "manifest.safe"]
    entries = {path.relative_to(root).as_posix(): path for path in files}
    (root / "manifest.safe").write_bytes(
        manifest_of({name: path.read_bytes() for name, path in entries.items()})
    )
    return root


def token(variables: dict[str, str]) -> str:
    """An access token, for curl."""
    form = {"client_id": "cdse-public", "grant_type": "password"}
    form |= {"username": variables["CDSE_USERNAME"], "password": variables["CDSE_PASSWORD"]}
    url = variables["S2PIPE_IDENTITY_URL"] + "/auth/realms/CDSE/protocol/openid-connect/token"
    return str(requests.post(url, data=form, timeout=30).json()["access_token"])


def curl_seconds(variables: dict[str, str], product: Path, out: Path) -> float:
    """Time of four curl at once."""
    from s2pipe.testing import stored

    key, header = stored(product).id, f"Authorization: Bearer {token(variables)}"
    images = [path.relative_to(product).as_posix() for path in product.rglob("IMG_DATA/*.jp2")]
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    running = []
    for image in images:
        nodes = "/".join(f"Nodes({name})" for name in (product.name, *image.split("/")))
        url = f"{variables['S2PIPE_DOWNLOAD_URL']}/odata/v1/Products({key})/{nodes}/$value"
        target = str(out / image.rsplit("/", 1)[1])
        running.append(subprocess.Popen(["curl", "-g", "-sSf", "-H", header, "-o", target, url]))
    assert [process.wait() for process in running] == [0] * len(images)
    return time.perf_counter() - started


def s2pipe_seconds(
    variables: dict[str, str], out: Path, bands: tuple[str, ...] = BANDS
) -> tuple[float, float]:
    """Time of a whole run without the interpreter's start, and the process's greatest memory in MB."""
    program = (
        "import re, sys, time\n"
        "from pathlib import Path\n"
        "from s2pipe.download.cfg import *\n"
        "from s2pipe.download.pipeline import run_download\n"
        "config = PipelineConfig(query=QueryConfig('2025-12-01', '2025-12-31', tile_id='33UWQ'),\n"
        "    download=DownloadConfig(out_dir=Path(sys.argv[1])),\n"
        "    selection=SelectionConfig(l1c_bands=tuple(sys.argv[2].split(',')),\n"
        "    l1c_detector_footprint=False, l2a=False))\n"
        "started = time.perf_counter()\n"
        "assert run_download(config).exit_code == 0\n"
        "seconds = time.perf_counter() - started\n"
        # ru_maxrss would begin with what the parent had.
        "print(seconds, int(re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024)\n"
    )
    environment = {**os.environ, **variables, "PYTHONPATH": PATHS}
    done = subprocess.run(
        [sys.executable, "-c", program, str(out), ",".join(bands)],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds, memory = map(float, done.stdout.split())
    return seconds, memory


def compare(scratch: Path, megabytes: int, rate: float | None, rounds: int = 3) -> tuple[float, float, float]:
    """Best times of curl and s2pipe over a few rounds in turn, and the greatest memory of s2pipe."""
    product = make(scratch / "held", megabytes << 20)
    curl, ours, memory = [], [], []
    with service(scratch / "held", rate) as variables:
        for _ in range(rounds):
            curl.append(curl_seconds(variables, product, scratch / "curl"))
            seconds, peak = s2pipe_seconds(variables, scratch / "out")
            ours.append(seconds)
            memory.append(peak)
            shutil.rmtree(scratch / "curl")
            shutil.rmtree(scratch / "out")
    return min(curl), min(ours), max(memory)


def test_throughput_beside_curl(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """As fast as four curl at the service's own rate, in little memory."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    curl, ours, memory = benchmark.pedantic(compare, (tmp_path, 16, 20e6, 2), rounds=1)
    benchmark.extra_info.update(curl_s=round(curl, 3), s2pipe_s=round(ours, 3), memory_mb=round(memory, 1))
    assert memory < 150


def main() -> None:
    """Measure with sizes and rates from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=256, help="size of each of the four files")
    parser.add_argument(
        "--rate", type=float, help="bytes a second and connection; the real service allows 20e6"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--large", type=int, default=1024, help="megabytes of the one large file; 0 leaves it out"
    )
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as name:
        curl, ours, memory = compare(Path(name), options.megabytes, options.rate, options.rounds)
        total = 4 * options.megabytes
        print(f"4 x {options.megabytes} MB: curl {total / curl:.0f} MB/s, s2pipe {total / ours:.0f} MB/s")
        print(f"ratio {curl / ours:.2f}, memory {memory:.0f} MB")
    if options.large:
        with tempfile.TemporaryDirectory() as name:
            make(Path(name) / "held", options.large << 20, ("B02",))
            with service(Path(name) / "held", None) as variables:
                seconds, memory = s2pipe_seconds(variables, Path(name) / "out", ("B02",))
        print(f"1 x {options.large} MB: {options.large / seconds:.0f} MB/s, memory {memory:.0f} MB")


if __name__ == "__main__":
    main()
