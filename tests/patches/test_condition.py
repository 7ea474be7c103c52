"""Conditions for ``--from-db``: expressions over columns, and nothing that reads, runs or changes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.errors import UsageError
from s2pipe.patches.condition import FUNCTIONS, checked_condition
from s2pipe.patches.database import query_rows

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("duckdb")
pa = pytest.importorskip("pyarrow")
N = 40
ROWS = pa.table(
    {
        "tile_id": ["T33UWQ", "T32TNM"] * (N // 2),
        "month": [f"2025-{1 + i % 12:02d}" for i in range(N)],
        "row": list(range(N)),
        "offset": [512 * i for i in range(N)],
        "split": ["train", None] * (N // 2),
        "cloud_fraction": [None if i % 7 == 0 else i / N for i in range(N)],
        "class_4": [i % 5 for i in range(N)],
        "shard": [None if i % 10 == 9 else "train/shard-000000.tar" for i in range(N)],
        "bbox": [{"xmin": i / 2, "ymin": 0.0, "xmax": i / 2 + 1, "ymax": 1.0} for i in range(N)],
        "geometry": [b""] * N,
    }
)
IN_SHARDS = [i for i in range(N) if i % 10 != 9]

MEANT = {
    "": lambda _: True,
    "true": lambda _: True,
    "row > 4 AND row <= 20": lambda i: 4 < i <= 20,
    "offset = 1024": lambda i: i == 2,  # a word of SQL
    '"Offset" IN (512, 2048)': lambda i: i in (1, 4),
    "not (class_4 = 0 or class_4 in (1, 2))": lambda i: i % 5 > 2,
    "cloud_fraction IS NULL": lambda i: i % 7 == 0,
    "cloud_fraction < .5e0": lambda i: i % 7 and i / N < 0.5,
    "split IS NOT DISTINCT FROM 'train'": lambda i: i % 2 == 0,
    "month BETWEEN '2025-05' AND '2025-09' and tile_id like 'T33%'": lambda i: (
        4 <= i % 12 <= 8 and i % 2 == 0
    ),
    "bbox.xmin >= 3 and bbox.xmax < 5": lambda i: i / 2 >= 3 and i / 2 + 1 < 5,
    "case when class_4 = 1 then row % 2 = 0 else false end": lambda i: i % 5 == 1 and i % 2 == 0,
    "coalesce(cloud_fraction, 1) * 2 > abs(-1.5)": lambda i: (1 if i % 7 == 0 else i / N) * 2 > 1.5,
    "cast(substr(month, 6, 2) as integer) = 3 or right(month, 2)::int = 4": lambda i: i % 12 in (2, 3),
    "month similar to '2025-1[0-2]'": lambda i: i % 12 >= 9,
    "tile_id = 'it''s; -- no /* comment */ (select'": lambda _: False,
    "strptime(month || '-01', '%Y-%m-%d') < date '2025-02-01'": lambda i: i % 12 == 0,
}


@pytest.mark.parametrize("condition", MEANT)
def test_conditions_select_what_they_say(condition: str) -> None:
    assert query_rows(ROWS, condition).tolist() == [i for i in IN_SHARDS if MEANT[condition](i)]


HOSTILE = [
    "exists (select 1)",
    "row = (select 1)",
    "row in (select 1)",
    "row in (from patches)",
    "row in (values (1))",
    "row in (table patches)",
    "'a' = (select content from read_text('SECRET'))",
    "row < (select count(*) from read_csv('SECRET'))",
    "row < (select count(*) from 'SECRET')",
    "row < (select count(*) from glob('SECRET'))",
    "read_text('SECRET') is not null",
    "getenv('HOME') <> ''",
    "current_setting('enable_external_access') = 'true'",
    "current_user = 'x'",
    "query('select 1') is null",
    "row = 1; select 1",
    "row = 1; drop table patches",
    "row = 1; attach 'SECRET' as other",
    "row = 1; copy patches to 'SECRET.out'",
    "row = 1; install httpfs",
    "row = 1) union (select 1",
    "row = 1) or (1 = 1",
    "row = 1 -- comment",
    "row = 1 /* comment */",
    "row = 1 limit 5",
    "row = 1 order by random()",
    "random() < 0.5",
    "row = $1",
    "row = ?",
    "row = $$x$$",
    "columns(*) = 1",
    "#1 = 1",
    "list_transform([1], x -> x) = [1]",
    "month.getenv() = ''",
    "rows.row = 1",
    "row over (order by row) = 1",
    "\"getenv\"('HOME') = ''",
    '"row = 1',
    "month = 'x",
    "month = '\0'",
    "geometry is not null",
    '"s2pipe row" = 1',
    "no_such_column > 1",
    "row >",
    "row = 'x' + 'y'",
    "(" * 101 + "true" + ")" * 101,
    "month = '\ud800'",
    "x" * 1_000_001,
]


@pytest.mark.parametrize("condition", HOSTILE, ids=[text[:40] for text in HOSTILE])
def test_what_is_no_condition_is_refused(condition: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match=r"expected a condition.*columns: tile_id, month, row") as caught:
        query_rows(ROWS, condition.replace("SECRET", str(secret)))
    assert "1,2" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_columns_with_the_names_of_words_open_nothing() -> None:
    names = ("select", "from", "exists", "patches", "read_text", "row")
    for condition in ("exists (from patches)", "row in (from patches)", "read_text('x') is null"):
        with pytest.raises(UsageError):
            checked_condition(condition, names)
    assert checked_condition("select = 1 AND row=2", names) == '"select" = 1 AND "row" = 2'


PIECES = """row month offset 1 'a' ( ) [ ] , . = < and or not in is null from select distinct case end * - :: int
    abs interval"""


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(PIECES.split()), max_size=8).map(" ".join))
def test_whatever_is_written_gives_rows_or_the_documented_error(condition: str) -> None:
    try:
        found = query_rows(ROWS, condition)
    except UsageError:
        return
    assert set(found.tolist()) <= set(IN_SHARDS)
    assert (np.diff(found) > 0).all()


def test_every_function_is_one_of_duckdb() -> None:
    import duckdb

    known = {name for (name,) in duckdb.sql("select function_name from duckdb_functions()").fetchall()}
    assert FUNCTIONS - known <= {"coalesce", "ifnull", "nullif"}  # forms of the grammar
