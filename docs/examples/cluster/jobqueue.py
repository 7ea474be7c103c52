"""Run a step of s2pipe on workers that a batch system starts: one job a worker, one scene at a time each.

    python jobqueue.py --jobs 16 preprocess pipeline.yaml --normalize.mode compute_only
    python jobqueue.py --jobs 2 --local preprocess pipeline.yaml       jobs of this machine, to try it

It needs dask-jobqueue, which knows SLURM, PBS, LSF, SGE and others: name another class for those.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys


def main() -> int:
    """Start the workers, run the step, end the workers; return the step's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="number of jobs")
    parser.add_argument("--threads", type=int, default=1, help="cores of each job, which its scene may use")
    parser.add_argument("--memory", default="4GB", help="memory of each job")
    parser.add_argument("--local", action="store_true", help="jobs of this machine instead of SLURM's")
    options, step = parser.parse_known_args()
    if options.local:
        from dask_jobqueue.local import LocalCluster as Batch
    else:
        from dask_jobqueue import SLURMCluster as Batch
    os.environ["NUMBA_NUM_THREADS"] = str(options.threads)  # jobs inherit the environment
    cluster = Batch(
        cores=options.threads,
        processes=1,
        memory=options.memory,
        worker_extra_args=["--nthreads", "1"],  # one scene at a time
    )
    with cluster:
        cluster.scale(jobs=options.jobs)
        where = ["--scheduler", cluster.scheduler_address, "--num-workers", str(options.threads)]
        return subprocess.run([sys.executable, "-m", "s2pipe", *step, *where], check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
