"""The number of cores, from made-up trees of control groups and from the real affinity."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from s2pipe.runtime.cores import core_count
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Machine:
    """A made-up ``/proc`` and the control groups that it names."""

    def __init__(self, directory: Path) -> None:
        self.proc = directory / "proc"
        self.groups = directory / "control groups"  # mountinfo writes the space as \\040
        (self.proc / "self").mkdir(parents=True)

    def mount(self, kind: str, options: str, root: str, member: str) -> None:
        """Mount a tree of control groups, and say in which group this process is."""
        where = str(self.groups).replace(" ", "\\040")
        noise = "22 1 0:20 / /proc rw,nosuid - proc proc rw\n"
        line = f"31 25 0:28 {root} {where} rw,nosuid shared:9 - {kind} cgroup {options}\n"
        (self.proc / "self/mountinfo").write_text(noise + line)
        (self.proc / "self/cgroup").write_text(f"3:memory:/elsewhere\n{member}\n")

    def group(self, path: str, **files: str) -> None:
        """Make a group with control files, whose dots are written as ``__``."""
        directory = self.groups / path.lstrip("/")
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_configured_number_is_taken_as_it_is(machine: Machine) -> None:
    machine.mount("cgroup2", "rw", "/", "0::/job")
    machine.group("/job", cpu__max="100000 100000")
    assert core_count(7, proc=machine.proc) == 7


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert core_count(proc=tmp_path / "absent") == CORES


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({"/job": "max 100000"}, CORES),
        ({"/job": "100000 100000"}, 1),
        ({"/job": "20000 100000"}, 1),  # a fifth of a core: rounded up
        ({"/job": "150000 100000"}, min(2, CORES)),
        ({"/job": "100000000 100000"}, CORES),  # more than there are
        ({"/job/step/task": "max 100000", "/job": "50000 50000"}, 1),  # a group above limits too
        ({"/job/step/task": "100000 100000", "/job": "max 100000"}, 1),
        ({}, CORES),
    ],
)
def test_a_quota_of_cgroup_v2_limits_all_groups_below_it(
    machine: Machine, quotas: dict[str, str], expected: int
) -> None:
    machine.mount("cgroup2", "rw,nsdelegate", "/", "0::/job/step/task")
    machine.group("/job/step/task")
    for path, quota in quotas.items():
        machine.group(path, cpu__max=quota)
    assert core_count(proc=machine.proc) == expected


def test_a_group_beside_ours_does_not_count(machine: Machine) -> None:
    machine.mount("cgroup2", "rw", "/", "0::/job/mine")
    machine.group("/job/mine", cpu__max="max 100000")
    machine.group("/job/other", cpu__max="100000 100000")
    assert core_count(proc=machine.proc) == CORES


@pytest.mark.parametrize(
    ("quota", "expected"), [("-1", CORES), ("100000", 1), ("1000", 1), ("150000", min(2, CORES))]
)
def test_a_quota_of_cgroup_v1_counts(machine: Machine, quota: str, expected: int) -> None:
    machine.mount("cgroup", "rw,cpu,cpuacct", "/", "4:cpu,cpuacct:/docker/a")
    machine.group("/docker", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    machine.group("/docker/a", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert core_count(proc=machine.proc) == expected


@pytest.mark.parametrize(
    ("root", "member"),
    [
        ("/docker/a", "0::/docker/a"),  # the container's own group is mounted
        ("/docker/a", "0::/docker/b"),  # the group's name is another one than the mount's
        ("/", "0::/"),  # a namespace of its own
    ],
)
def test_in_a_container_the_mounted_root_is_our_group(machine: Machine, root: str, member: str) -> None:
    machine.mount("cgroup2", "rw", root, member)
    machine.group("/", cpu__max="100000 100000")
    assert core_count(proc=machine.proc) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no CPU affinity")
def test_the_affinity_of_the_process_counts() -> None:
    code = (
        "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])\n"
        "from s2pipe.runtime.cores import core_count; print(core_count(), core_count(3))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["1", "3"]
