"""``summary.json`` counts every candidate once by split, tile, month and reason."""

from __future__ import annotations

import numpy as np

from s2pipe.config.schema import document_faults
from s2pipe.ground.split import SplitPlan
from s2pipe.patches.candidates.windows import make_table
from s2pipe.patches.summary import summary_document

PLAN = SplitPlan("cell", (0.5, 0.5, 0.0))


def test_every_candidate_is_counted_once_in_every_view() -> None:
    rng = np.random.default_rng(5)
    windows = [(np.arange(20) * 32, np.zeros(20, int)) for _ in range(3)]
    table = make_table(windows, [np.zeros(20, np.int64)] * 3, [4, 5])
    table.split[:] = rng.integers(-1, 3, len(table))
    table.counts[:] = rng.integers(0, 3, table.counts.shape)
    table.cloud[:40] = np.linspace(0.0, 1.0, 40)
    table.drop(table.split < 0, "split_border")
    table.drop(table.cloud > 0.5, "max_cloud")
    months = ["2025-07", "2025-08", "2025-08"]
    document = summary_document(table, ["T33UWQ", "T33UWQ", "T33UXQ"], months, PLAN, ["T33UXQ_x"])
    assert document_faults({**document, "from_db": None}, "step3_summary") == []
    assert document["kept"] == np.count_nonzero(table.kept)
    assert sum(document["dropped_by_reason"].values()) == document["dropped"] == np.count_nonzero(~table.kept)
    for view in ("by_split", "by_tile", "by_month"):
        found = document[view].values()
        assert sum(item["kept"] for item in found) == document["kept"]
        assert sum(item["dropped"] for item in found) == document["dropped"]
    assert document["by_tile"]["T33UXQ"]["kept"] == np.count_nonzero(table.kept[40:])
    clouds = document["by_cloud_cover"]  # the last scene has no labels that tell clouds
    assert sum(item["kept"] + item["dropped"] for item in clouds.values()) == 40
    assert clouds["0.9-1"]["dropped"] == np.count_nonzero(table.cloud >= 0.9)
    of_class = document["by_class"]["5"]
    assert of_class["kept_pixels"] + of_class["dropped_pixels"] == table.counts[:, 1].sum()
    assert of_class["kept_patches"] == np.count_nonzero(table.counts[table.kept, 1])


def test_no_candidate_makes_a_valid_summary() -> None:
    document = summary_document(make_table([], [], []), [], [], PLAN, [])
    assert document_faults({**document, "from_db": None}, "step3_summary") == []
    assert (document["candidates"], document["by_split"], document["by_cloud_cover"]) == (0, {}, {})
