"""The extra ``dask`` has all that a cluster on this machine needs."""

from __future__ import annotations

import operator

import pytest

distributed = pytest.importorskip("distributed", reason="Dask is not here; `make test-scale` has it")


def test_a_cluster_of_this_machine_computes() -> None:
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert client.submit(operator.add, 1, 2).result(30) == 3
