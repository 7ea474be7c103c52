"""Check that the newest wheel in a directory holds all that an installed s2pipe needs.

python tools/check_wheel.py dist
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(dist: Path) -> int:
    wheel = max(dist.glob("s2pipe-*.whl"), key=lambda path: path.stat().st_mtime)
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"s2pipe/_schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    for parent in (ROOT, ROOT / "kernels"):
        package = "s2pipe" if parent == ROOT else "s2kernels"
        files = [*(parent / package).rglob("*.py"), parent / package / "py.typed"]
        wanted |= {path.relative_to(parent).as_posix() for path in files}
    missing = sorted(wanted - names)
    stray = sorted(name for name in names if not name.startswith(("s2pipe/", "s2kernels/", "s2pipe-")))
    for text, found in (("is missing from", missing), ("should not be in", stray)):
        for name in found:
            print(f"{name} {text} {wheel.name}", file=sys.stderr)
    print(f"{wheel.name}: {len(names)} files, {len(wanted) - len(missing)} of {len(wanted)} wanted ones")
    return 1 if missing or stray else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
