"""What a benchmark ran on, for its header and its JSON."""

from __future__ import annotations

import platform
from pathlib import Path

from s2pipe.runtime.cores import core_count


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def description() -> dict[str, object]:
    """Machine and versions."""
    from s2pipe.preprocess.record import versions

    return {
        "processor": processor(),
        "cores": core_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **versions(),
    }
