"""Targets of whole patches: joined by keys, cells and geometries, against joins worked out by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from s2pipe.cli import main
from s2pipe.config.schema import document_faults
from s2pipe.errors import ConfigError
from s2pipe.ground.projection import utm_to_lonlat
from s2pipe.patches.cfg import PatchConfig, QualityConfig, SplitConfig, TargetsConfig
from s2pipe.patches.reshard import reshard
from s2pipe.patches.run import run_patches
from s2pipe.patches.targets.join import Targets, _reduced
from tests.patches.patchdata import Scene, write_step2
from tests.patches.test_shards import all_samples

if TYPE_CHECKING:
    from pathlib import Path

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

SIZE, PIXEL = 64, 20.0
SIDE = SIZE * PIXEL
SCENE = Scene()
DATES = [SCENE, Scene(sensing="2025-08-03T10:00:00Z")]
ROWS_COLS = [(row, col) for row in range(0, 300 - SIZE + 1, SIZE) for col in range(0, 420 - SIZE + 1, SIZE)]


@pytest.fixture(scope="module")
def step2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_step2(tmp_path_factory.mktemp("step2"), DATES)


def run(step2: Path, out: Path, table: Path, more: dict[str, Any] | None = None, **targets: Any) -> Path:
    options: dict[str, Any] = {
        "patch_size": SIZE,
        "quality": QualityConfig(min_valid=0.0),
        "split": SplitConfig(1.0, 0.0, 0.0),
        "targets": TargetsConfig(table, **targets),
        **(more or {}),
    }
    run_patches(PatchConfig(step2, out, **options))
    return out


def database(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(out / "patches.parquet").to_pylist()
    return rows


def targets_of(out: Path) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Targets by date and window, from the items' JSON; the database says the same."""
    documents = [json.loads(item["json"]) for item in all_samples(out).values()]
    found = {(d["sensing_start_utc"][:10], d["row"], d["col"]): d["target"] for d in documents}
    for row in database(out):
        place = (row["sensing_start_utc"][:10], row["row"], row["col"])
        if row["kept"]:
            assert {k[7:]: v for k, v in row.items() if k.startswith("target_")} == found[place]
    return found


def csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_by_patch_id_with_every_type(step2: Path, tmp_path: Path) -> None:
    ids = [f"T33UWQ_20250701T100000Z_r{row:05d}_c{col:05d}" for row, col in ROWS_COLS[:3]]
    table = csv(
        tmp_path / "t.csv",
        "patch_id,yield,trees,crop,irrigated,sown",
        f'{ids[0]},3.25,7,"winter wheat, ""soft""",true,2025-03-01',
        f"{ids[1]},NaN,-2,,false,",
        f"{ids[2]},1e-3,,maïs,,2025-04-30",
    )
    out = run(step2, tmp_path / "out", table)
    found = targets_of(out)
    assert len(found) == 2 * len(ROWS_COLS)
    none = dict.fromkeys(("yield", "trees", "crop", "irrigated", "sown"))
    expected = {
        ROWS_COLS[0]: {
            "yield": 3.25,
            "trees": 7,
            "crop": 'winter wheat, "soft"',
            "irrigated": True,
            "sown": "2025-03-01",
        },
        ROWS_COLS[1]: {**none, "trees": -2, "irrigated": False},
        ROWS_COLS[2]: {**none, "yield": 0.001, "crop": "maïs", "sown": "2025-04-30"},
    }
    for (day, row, col), target in found.items():
        assert target == (expected.get((row, col), none) if day == "2025-07-01" else none)
        assert [*target] == [*none]
    shards = json.loads((out / "shards.json").read_text())
    assert shards["targets"]["columns"] == {
        "yield": "double",
        "trees": "int64",
        "crop": "string",
        "irrigated": "bool",
        "sown": "string",
    }
    assert document_faults(shards, "step3_shards") == []


@pytest.mark.parametrize(
    ("header", "line", "dates"),
    [
        ("tile_id,sensing_start_utc,row,col,t", "T33UWQ,2025-08-03T10:00:00Z,64,128,5", ["2025-08-03"]),
        ("tile_id,sensing_start_utc,row,col,t", "33UWQ,2025-08-03 10:00:00.000,64,128,5", ["2025-08-03"]),
        ("tile_id,row,col,t", "T33UWQ,64,128,5", ["2025-07-01", "2025-08-03"]),
        ("t,col,row", "5,128,64", ["2025-07-01", "2025-08-03"]),
    ],
)
def test_by_tile_time_and_window(
    step2: Path, tmp_path: Path, header: str, line: str, dates: list[str]
) -> None:
    found = targets_of(run(step2, tmp_path / "out", csv(tmp_path / "t.csv", header, line)))
    assert {place for place, target in found.items() if target == {"t": 5}} == {(d, 64, 128) for d in dates}
    assert all(target == {"t": None} for place, target in found.items() if place[1:] != (64, 128))


def test_times_of_parquet_by_scene(step2: Path, tmp_path: Path) -> None:
    import datetime as dt

    time = dt.datetime(2025, 7, 1, 10, tzinfo=dt.UTC)
    table = pa.table(
        {
            "tile_id": pa.array(["T33UWQ"]).dictionary_encode(),
            "sensing_start_utc": pa.array([time], pa.timestamp("us", "UTC")),
            "snow": pa.array([0.5], pa.float32()),
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    found = targets_of(run(step2, tmp_path / "out", tmp_path / "t.parquet"))
    assert {day for (day, *_), target in found.items() if target == {"snow": 0.5}} == {"2025-07-01"}


def test_by_cell(step2: Path, tmp_path: Path) -> None:
    small = {"split": SplitConfig(1.0, 0.0, 0.0, cell_m=2000)}
    plain = run_patches(PatchConfig(step2, tmp_path / "plain", patch_size=SIZE, **small))
    cells = sorted({row["cell_id"] for row in database(plain.out_dir)})
    assert len(cells) > 4
    table = csv(tmp_path / "t.csv", "cell_id,people", *(f"{c},{n}" for n, c in enumerate(cells[:3])))
    out = run(step2, tmp_path / "out", table, small, join="cell")
    expected = {cell: number for number, cell in enumerate(cells[:3])}
    for row in database(out):
        assert row["target_people"] == expected.get(row["cell_id"])
    other = csv(tmp_path / "u.csv", "cell_id,people", "20000m_0698_00431,1")
    with pytest.raises(ConfigError, match=r"row 1: .* is not a ground cell of 2000 m"):
        run(step2, tmp_path / "not", other, small, join="cell")
    assert not (tmp_path / "not" / "shards.json").exists()


def points(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Eastings and northings in and around the scene, and in no case within a metre of a patch's border."""
    rng = np.random.default_rng(4)
    along = [rng.integers(-2, n, count) * SIDE + rng.uniform(1, SIDE - 1, count) for n in (8, 6)]
    return SCENE.ulx + along[0], SCENE.uly - along[1]


def test_points_fall_into_the_patch_that_shows_them(step2: Path, tmp_path: Path) -> None:
    x, y = points(60)
    lon, lat = utm_to_lonlat(x, y, SCENE.epsg)
    lines = [f"{a:.9f},{b:.9f},{n}" for n, (a, b) in enumerate(zip(lon, lat, strict=True))]
    table = csv(tmp_path / "t.csv", "x,y,number", *lines, ",,1000", "nan,50,1001")
    with pytest.raises(ConfigError, match=r"rows \d+ and \d+ of .* both belong to the patch T33UWQ_.*first"):
        run(step2, tmp_path / "bad", table, join="geometry", lon="x", lat="y")
    places = [
        (int((SCENE.uly - b) // SIDE) * SIZE, int((a - SCENE.ulx) // SIDE) * SIZE)
        for a, b in zip(x, y, strict=True)
    ]
    inside = {place: [n for n, p in enumerate(places) if p == place] for place in ROWS_COLS}
    assert max(map(len, inside.values())) > 2
    for several, one in {"first": min, "min": min, "max": max, "sum": sum, "mean": np.mean}.items():
        out = run(step2, tmp_path / several, table, join="geometry", lon="x", lat="y", several=several)
        found = targets_of(out)
        assert len(found) == 2 * len(ROWS_COLS)
        for (_, row, col), target in found.items():
            numbers = inside[(row, col)]
            assert target == {"number": one(numbers) if numbers else None}


def geoparquet(path: Path, shapes: list[Any], crs: Any, **columns: Any) -> Path:
    """A GeoParquet file as GeoPandas writes it; without ``crs`` its key is left out."""
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": []}
    if crs != "":
        column["crs"] = None if crs is None else CRS.from_user_input(crs).to_json_dict()
    geo = {"version": "1.1.0", "primary_column": "shape", "columns": {"shape": column}}
    table = pa.table({**columns, "shape": pa.array([s and shapely.to_wkb(s) for s in shapes], pa.binary())})
    parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    return path


def test_polygons_meet_lie_in_or_hold_the_centre_of_patches(step2: Path, tmp_path: Path) -> None:
    """Polygons in UTM, where patches are squares; the table is in Web Mercator."""
    from pyproj import Transformer

    def square(west: float, north: float, side: float) -> Any:  # in patches from the upper left corner
        x, y = SCENE.ulx + west * SIDE, SCENE.uly - north * SIDE
        return shapely.box(x, y - side * SIDE, x + side * SIDE, y)

    squares = [square(0.2, 0.3, 0.5), square(1.4, 0.6, 1.2), square(4.3, 2.9, 0.3), square(-5, 0, 2)]
    to_mercator = Transformer.from_crs(SCENE.epsg, 3857, always_xy=True)
    moved = [shapely.transform(s, lambda xy: np.stack(to_mercator.transform(*xy.T), -1)) for s in squares]
    table = geoparquet(tmp_path / "t.parquet", [*moved, None], 3857, field=["a", "b", "c", "d", "e"])
    windows = {(r, c): square(c / SIZE, r / SIZE, 1.0) for r, c in ROWS_COLS}
    rules = {
        "intersects": lambda window, s: window.intersects(s),
        "within": lambda window, s: window.contains(s),
        "centre": lambda window, s: s.contains(window.centroid),
    }
    for match, rule in rules.items():
        found = targets_of(run(step2, tmp_path / match, table, join="geometry", match=match, several="first"))
        expected = {
            place: next((name for name, s in zip("abcd", squares, strict=True) if rule(window, s)), None)
            for place, window in windows.items()
        }
        assert {(row, col): target["field"] for (_, row, col), target in found.items()} == expected
        assert len({*expected.values()}) > 1


def test_what_is_required_is_dropped_without(step2: Path, tmp_path: Path) -> None:
    lines = [f"{row},{col},{row if col else ''}" for row, col in ROWS_COLS[:10]]
    out = run(step2, tmp_path / "out", csv(tmp_path / "t.csv", "row,col,t", *lines), require=True)
    wanted = {(row, col) for row, col in ROWS_COLS[:10] if col}
    rows = database(out)
    assert all(row["kept"] == ((row["row"], row["col"]) in wanted) for row in rows)
    assert {row["reject_reason"] for row in rows} == {None, "no_target"}
    dropped = 2 * (len(ROWS_COLS) - len(wanted))
    assert json.loads((out / "summary.json").read_text())["dropped_by_reason"] == {"no_target": dropped}


def test_dates_of_a_stack_have_targets_of_their_own(step2: Path, tmp_path: Path) -> None:
    lines = [
        f"T33UWQ,{day},{row},{col},{n}"
        for n, day in enumerate(("2025-07-01T10:00:00Z", "2025-08-03T10:00:00Z"))
        for row, col in ROWS_COLS
    ]
    table = csv(tmp_path / "t.csv", "tile_id,sensing_start_utc,row,col,t", *lines)
    out = run(step2, tmp_path / "out", table, {"group": "time_stack", "max_t": 2})
    for item in all_samples(out).values():
        assert [date["target"] for date in json.loads(item["json"])["dates"]] == [{"t": 0}, {"t": 1}]


def test_readers_make_batches_of_targets(step2: Path, tmp_path: Path) -> None:
    from s2pipe.readers.items import ShardItems
    from s2pipe.readers.options import Reading
    from s2pipe.readers.storage import LocalStore

    table = csv(tmp_path / "t.csv", "row,col,t,name", "0,0,4,a")
    out = run(step2, tmp_path / "out", table)
    items = ShardItems(LocalStore(out), "shards.json", "train", Reading())
    seen = set()
    for item in items.read(range(len(items.units))):
        target = item["json"]["target"]
        assert target["name"] == ("a" if target["t"] == 4 else "")
        assert item["json"]["target_known"] == dict.fromkeys(("t", "name"), target["t"] == 4)
        assert target["t"] in (0, 4)
        seen.add(target["name"])
    assert seen == {"a", ""}


def test_new_shards_and_conditions_keep_targets(step2: Path, tmp_path: Path) -> None:
    table = csv(tmp_path / "t.csv", "row,col,Wheat share", *(f"{r},{c},{c / 1000}" for r, c in ROWS_COLS))
    out = run(step2, tmp_path / "out", table)
    new = PatchConfig(step2, tmp_path / "new", patch_size=SIZE)
    reshard(new, out / "patches.parquet", '"target_Wheat share" >= 0.128')
    assert {row["col"] for row in database(tmp_path / "new") if row["kept"]} == {128, 192, 256, 320}
    assert targets_of(tmp_path / "new").items() <= targets_of(out).items()
    documents = [json.loads((d / "shards.json").read_text()) for d in (out, tmp_path / "new")]
    assert documents[0]["targets"] == documents[1]["targets"] is not None


def test_another_table_makes_other_shards_and_the_same_does_not(step2: Path, tmp_path: Path) -> None:
    table = csv(tmp_path / "t.csv", "row,col,t", "0,0,1")
    options: dict[str, Any] = {"patch_size": SIZE, "split": SplitConfig(1.0, 0.0, 0.0)}
    config = PatchConfig(step2, tmp_path / "out", targets=TargetsConfig(table), **options)
    assert run_patches(config).shards_written == 1
    moved = csv(tmp_path / "u.csv", "row,col,t", "0,0,1")
    config = PatchConfig(step2, tmp_path / "out", targets=TargetsConfig(moved), **options)
    run_patches(config)
    assert run_patches(config).shards_written == 0
    csv(moved, "row,col,t", "0,0,2")
    assert run_patches(config).shards_written == 1
    assert targets_of(tmp_path / "out")["2025-07-01", 0, 0] == {"t": 2}
    without = run_patches(PatchConfig(step2, tmp_path / "plain", **options))
    assert all("target" not in json.loads(item["json"]) for item in all_samples(without.out_dir).values())


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (None, {}, "is no file; expected a table as CSV"),
        (["row,col,t"], {}, "has no rows; its columns are row, col, t"),
        (["a,b", "1,2"], {}, "expected some of the columns patch_id, .* got a, b"),
        (["row,col", "1,2"], {}, "no column of targets beside row, col"),
        (["row,col,t", "1,2,3"], {"columns": ("u",)}, "has no column u; it has row, col, t"),
        (
            ["row,col,t", "1,2,3"],
            {"keys": ("patch_id",)},
            "expected the columns patch_id in .*got row, col, t",
        ),
        (["row,col,t", "1,2,3"], {"join": "cell"}, "expected the columns cell_id"),
        (["row,col,t", "1,2,3"], {"join": "geometry"}, "expected the columns lon, lat, or a GeoParquet"),
        (["lon,lat,t", "500000,5000000,3"], {"join": "geometry"}, "row 1: .* is no longitude and latitude"),
        (["row,col,t,T", "1,2,3,4"], {}, "t, T differ in case alone"),
        (["row,col,t,t", "1,2,3,4"], {}, "'t' is there more than once"),
        (["row,col,t", "1,2,inf"], {}, "infinite number"),
        (["row,col,t", "1,2,a"], {"several": "mean"}, "since t of .* are no numbers"),
        (["row,col,t", "1.5,2,3"], {}, "column 'row': expected int64"),
        (["row,col,t", "1,2"], {}, "cannot be read as CSV"),
        (["tile_id,sensing_start_utc,t", "T33UWQ,July,3"], {}, "row 1: 'July' is no time"),
        (["row,col,t", "1,2,3"], {"match": "within"}, "targets.match: has no effect unless join is geometry"),
        (["row,col,t", "1,2,3"], {"keys": ("sensing_start_utc",)}, "expected tile_id beside"),
        (["row,col,t", "1,2,3"], {"columns": ()}, "expected different columns, one at least"),
    ],
)
def test_tables_that_do_not_fit(
    step2: Path, tmp_path: Path, lines: list[str] | None, options: dict[str, Any], message: str
) -> None:
    table = tmp_path / "t.csv" if lines is None else csv(tmp_path / "t.csv", *lines)
    with pytest.raises(ConfigError, match=message):
        run(step2, tmp_path / "out", table, **options)
    assert not list(tmp_path.glob("out/*/shard*"))


def test_geoparquet_that_cannot_be_used(step2: Path, tmp_path: Path) -> None:
    bow = shapely.Polygon([(15, 49), (16, 50), (16, 49), (15, 50)])
    cases = {
        "CRS of its geometries is not known": geoparquet(
            tmp_path / "a", [shapely.Point(15, 49)], None, t=[1]
        ),
        "row 1: invalid geometry": geoparquet(tmp_path / "b", [bow], "", t=[1]),
        "no column of targets": geoparquet(tmp_path / "c", [bow], "", t=[[1]]),
    }
    (tmp_path / "d").write_bytes(b"PAR1 and nothing else")
    cases["cannot be read as Parquet"] = tmp_path / "d"
    for message, table in cases.items():
        with pytest.raises(ConfigError, match=message):
            run(step2, tmp_path / "out", table, join="geometry")


def test_from_the_command_line(step2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"index_json": str(step2), "out_dir": str(tmp_path / "out"), "patch_size": SIZE}
    file = tmp_path / "p.json"
    file.write_text(json.dumps({"patches": {**config, "targets": {"path": str(tmp_path / "none.csv")}}}))
    assert main(["patches", str(file), "--quiet"]) == 2
    assert "patches.targets.path" in capsys.readouterr().err
    file.write_text(json.dumps({"patches": {**config, "targets": {"require": True}}}))
    assert main(["patches", str(file), "--quiet"]) == 2
    assert "targets.require: has no effect without targets.path" in capsys.readouterr().err


@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), min_size=1, max_size=9), st.randoms())
def test_numbers_of_several_rows_do_not_depend_on_their_order(values: list[float | None], draws: Any) -> None:
    mixed = values.copy()
    draws.shuffle(mixed)
    group = [np.arange(len(values))]
    for several in ("mean", "sum", "min", "max"):
        both = [_reduced(pa.array(v, pa.float64()), group, several).to_pylist() for v in (values, mixed)]
        assert both[0] == both[1]
        known = [v for v in values if v is not None]
        assert (both[0] == [None]) == (not known)
        if known and several == "mean":
            assert min(known) <= both[0][0] <= max(known) or np.isclose(both[0][0], np.mean(known))


def test_json_is_never_longer_than_the_bound() -> None:
    columns = {
        "a": pa.array([1, None, -(2**63)]),
        "é": pa.array(["x", '"\n\u2028é"' * 9, None]),
        "c": pa.array([-1.2345678901234567e-300, None, 0.1]),
    }
    targets = Targets(columns)
    for patch in range(3):
        text = json.dumps({"target": targets.document(patch)}, separators=(",", ":"))
        assert len(text.encode()) <= targets.most_bytes + len('"target":{},')
    assert targets.missing(3).tolist() == [False, True, True]
