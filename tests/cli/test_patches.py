"""``s2pipe patches``: which of its options go together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from s2pipe.cli import main
from tests.patches.patchdata import Scene, write_step2

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plan", "--from-db", "kept"], "--plan and --from-db exclude each other"),
        (["--db", "patches.parquet"], "--db has no effect without --from-db"),
        (["--index-json", "i.json", "--out-dir", "o", "--from-db", "kept"], "--from-db needs --db FILE"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["patches", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_plan_is_the_split_alone_and_options_override_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = write_step2(tmp_path, [Scene(shape_yx=(64, 96))])
    config = {"index_json": str(index), "out_dir": str(tmp_path / "out"), "patch_size": 64}
    (tmp_path / "c.json").write_text(json.dumps({"patches": config}))
    assert main(["patches", str(tmp_path / "c.json"), "--plan", "--patch-size", "32", "--json", "-q"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert sum(found["candidates"] for found in summary["split_counts"].values()) == 6
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["split.json"]
