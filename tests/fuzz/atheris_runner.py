"""Run one target under Atheris: ``python -m tests.fuzz.atheris_runner TARGET [options of libFuzzer]``."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Run; Atheris ends the process itself, with the input that failed."""
    try:
        import atheris
    except ImportError as error:
        sys.stderr.write(
            f"Atheris cannot be imported: {error}\nIt has wheels for some Pythons on Linux only; `make fuzz` works "
            "everywhere.\n"
        )
        return 2
    with atheris.instrument_imports(include=["s2pipe"]):
        from tests.fuzz.targets import TARGETS
    name, *options = sys.argv[1:] or [""]
    target = next((target for target in TARGETS if target.name == name), None)
    if target is None:
        sys.stderr.write(f"expected one of {', '.join(target.name for target in TARGETS)}, got {name!r}\n")
        return 2
    logging.disable()
    corpus = Path(tempfile.mkdtemp(prefix="s2pipe-atheris-"))
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    for path in (Path(__file__).parent / "corpus" / name).glob("*"):
        shutil.copy(path, corpus)
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.try_out)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
