"""Mutate files for as long as one likes: ``python -m tests.fuzz --seconds 600 [--target NAME]``."""

from __future__ import annotations

import argparse
import hashlib
import logging
import random
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.mutate import Edit, mutate
from tests.fuzz.targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"


def main() -> int:
    """Run, and say which inputs raise what they should not; these join the corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="time for all targets together")
    parser.add_argument("--target", choices=[target.name for target in TARGETS], help="only this one")
    parser.add_argument("--seed", type=int, default=None, help="of the random numbers; otherwise the time")
    options = parser.parse_args()
    logging.disable()
    seed = int(time.time()) if options.seed is None else options.seed
    chosen = [target for target in TARGETS if options.target in (None, target.name)]
    faults = 0
    for target in chosen:
        tried, found = _run(target, options.seconds / len(chosen), random.Random(f"{seed}/{target.name}"))
        sys.stdout.write(f"{target.name}: {tried} inputs, {found} fault(s)\n")
        sys.stdout.flush()
        faults += found
    sys.stdout.write(f"seed {seed}: {faults} fault(s)\n")
    return 1 if faults else 0


def _run(target: Target, seconds: float, draw: random.Random) -> tuple[int, int]:
    seeds = target.seeds()
    seen: set[str] = set()
    tried = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        edits: list[Edit] = [
            (draw.getrandbits(16), draw.random(), draw.getrandbits(16)) for _ in range(draw.randint(1, 6))
        ]
        data = mutate(target.kind, draw.choice(seeds), edits)
        tried += 1
        try:
            target.try_out(data)
        except Exception as error:  # noqa: BLE001 - whatever comes is what is looked for
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} {frame.filename}:{frame.lineno}"
            if where not in seen:
                seen.add(where)
                path = CORPUS / target.name / hashlib.sha256(data).hexdigest()[:16]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                traceback.print_exc()
                sys.stderr.write(f"{target.name}: {where}: kept as {path}\n")
    return tried, len(seen)


if __name__ == "__main__":
    sys.exit(main())
