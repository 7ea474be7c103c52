"""How many cores this process may use."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")


def core_count(num_workers: int = 0, *, proc: Path = _PROC) -> int:
    """Return the number of threads to use.

    Parameters
    ----------
    num_workers : int
        Number that the configuration asks for. 0 means all cores that the process may use: those of its CPU affinity,
        and no more than the CPU quota of its control group, rounded up. Containers and job schedulers set quotas.
    proc : Path
        The ``/proc`` file system, which names the control group.

    Returns
    -------
    int
        At least 1.
    """
    if num_workers:
        return num_workers
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        cores = os.cpu_count() or 1
    quota = min(_quotas(proc), default=math.inf)
    return max(1, min(cores, math.ceil(quota) if math.isfinite(quota) else cores))


class _Hierarchy(NamedTuple):
    """A mounted tree of control groups that may limit CPU time."""

    mount: Path
    """Where it is mounted."""
    root: PurePosixPath
    """Group that the mount point shows; another one than ``/`` in containers."""
    is_v2: bool
    """Whether it is the unified tree of cgroup v2."""


def _quotas(proc: Path) -> Iterator[float]:
    """Yield the CPU quota, in cores, of every control group that this process is in, up to the root."""
    try:
        mounts = (proc / "self/mountinfo").read_text(encoding="utf-8").splitlines()
        memberships = (proc / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux, or /proc is not mounted
        return
    for hierarchy in _hierarchies(mounts):
        for line in memberships:
            _, controllers, group = line.split(":", 2)
            if controllers == "" if hierarchy.is_v2 else "cpu" in controllers.split(","):
                yield from _quotas_up(hierarchy, PurePosixPath(group))


def _hierarchies(mounts: list[str]) -> Iterator[_Hierarchy]:
    """Yield the trees of control groups from ``/proc/self/mountinfo`` (proc_pid_mountinfo(5))."""
    for line in mounts:
        fields, _, rest = line.partition(" - ")
        root, mount = (_unescaped(field) for field in fields.split()[3:5])
        kind, _, options = rest.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in options.split(",")):
            yield _Hierarchy(Path(mount), PurePosixPath(root), kind == "cgroup2")


def _unescaped(field: str) -> str:
    r"""Decode a path of mountinfo, where ``\040`` is a space."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _quotas_up(hierarchy: _Hierarchy, group: PurePosixPath) -> Iterator[float]:
    """Yield the quotas of a group and of all groups above it: each of them limits those below."""
    # A container may see a group's full name without seeing the groups above its own root.
    inside = group.relative_to(hierarchy.root) if group.is_relative_to(hierarchy.root) else PurePosixPath()
    directory = hierarchy.mount / inside
    for place in (directory, *directory.parents[: len(inside.parts)]):
        quota = _quota_v2(place) if hierarchy.is_v2 else _quota_v1(place)
        if quota is not None:
            yield quota


def _quota_v2(directory: Path) -> float | None:
    """Quota of one group from ``cpu.max``: microseconds of CPU time and of the period, or ``max`` for none."""
    try:
        quota, period = (directory / "cpu.max").read_text(encoding="ascii").split()
    except OSError:  # the root group has no such file, nor has a group without the controller
        return None
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(directory: Path) -> float | None:
    """Quota of one group of cgroup v1; ``cpu.cfs_quota_us`` is -1 for none."""
    try:
        quota = int((directory / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((directory / "cpu.cfs_period_us").read_text(encoding="ascii"))
    except OSError:
        return None
    return None if quota < 0 else quota / period
