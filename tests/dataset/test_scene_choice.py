"""Which scenes a run is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.dataset.scene_choice import SceneChoice, choice_faults
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [
    SceneKey(tile, f"2025-{month:02d}-{day:02d}T10:03:{second:02d}Z")
    for tile in ("T32TPS", "T33UWQ")
    for month in (1, 7, 12)
    for day in (1, 10, 31)
    for second in (9, 19)
]


def _chosen(choice: SceneChoice) -> list[str]:
    assert choice_faults(choice) == []
    return [str(key) for key in choice.matching(KEYS, lambda key: key, "index.json")]


def test_tiles_dates_and_names_each_leave_some() -> None:
    assert len(_chosen(SceneChoice())) == len(KEYS)
    assert set(_chosen(SceneChoice(tiles=("33UWQ",)))) == {str(k) for k in KEYS if k.tile_id == "T33UWQ"}
    days = {"2025-07-10": 4, "2025-07-02/2025-12-10": 16, "../2025-01-10": 8, "2025-12-31/..": 4}
    for text, count in days.items():
        assert len(_chosen(SceneChoice(dates=(text,)))) == count, text
    assert len(_chosen(SceneChoice(dates=tuple(days)))) == 4 + 12 + 8 + 4
    assert _chosen(SceneChoice(tiles=("T32TPS",), dates=("2025-12-31",))) == [
        "T32TPS/2025-12-31T10:03:09Z",
        "T32TPS/2025-12-31T10:03:19Z",
    ]


def test_scenes_are_named_in_a_list_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "scenes.txt"
    file.write_text("# two\nT33UWQ 20251210T100319Z\nT32TPS/2025-01-01T10:03:09.123Z  # spelt otherwise\n")
    expected = ["T32TPS/2025-01-01T10:03:09Z", "T33UWQ/2025-12-10T10:03:19Z"]
    assert _chosen(SceneChoice(scenes=file)) == expected
    assert _chosen(SceneChoice(scenes=tuple(expected))) == expected
    with pytest.raises(
        ConfigError, match=r"index[.]json: only[.]scenes: 'T33UWQ/2024-01-01T10:03:19Z' is not a scene"
    ):
        _chosen(SceneChoice(scenes=("T33UWQ/2024-01-01T10:03:19Z",)))
    with pytest.raises(ConfigError, match=r"only[.]scenes: the list of scenes cannot be read"):
        _chosen(SceneChoice(scenes=tmp_path / "none.txt"))


@given(st.integers(1, 40))
def test_shares_hold_every_scene_once(count: int) -> None:
    shares = [
        SceneChoice(shard=f"{number}/{count}").share_of_scenes(KEYS, lambda key: key)
        for number in range(1, count + 1)
    ]
    assert sorted(key for share in shares for key in share) == sorted(KEYS)


def test_a_share_depends_on_the_key_alone() -> None:
    choice = SceneChoice(shard="1/3")
    share = choice.share_of_scenes(KEYS, lambda key: key)
    assert 0 < len(share) < len(KEYS)
    assert choice.share_of_scenes(KEYS[::-2], lambda key: key) == [k for k in KEYS[::-2] if k in share]
    spelt = [SceneKey(key.tile_id, key.sensing_start_utc.replace("Z", ".024Z")) for key in KEYS]
    assert [k.identity for k in choice.share_of_scenes(spelt, lambda key: key)] == [k.identity for k in share]


def test_shares_are_about_equal() -> None:
    many = [
        SceneKey(f"T{n:02d}UWQ", f"2025-01-{d:02d}T10:00:00Z") for n in range(1, 61) for d in range(1, 29)
    ]
    sizes = [len(SceneChoice(shard=f"{n}/8").share_of_scenes(many, lambda key: key)) for n in range(1, 9)]
    assert max(sizes) < 1.25 * min(sizes)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (SceneChoice(tiles=("33UW",)), "only.tiles: expected MGRS tiles such as T33UWQ, got '33UW'"),
        (SceneChoice(dates=("2025-13-01",)), "only.dates: expected a day"),
        (SceneChoice(dates=("20251201",)), "only.dates: expected a day"),
        (SceneChoice(dates=("2025-W01-1",)), "only.dates: expected a day"),
        (SceneChoice(dates=("../..",)), "only.dates: expected a day"),
        (SceneChoice(dates=("2025-12-31/2025-12-01",)), "only.dates: expected the earlier day first"),
        (SceneChoice(scenes=("scenes.txt",)), "or a file of them that exists, got 'scenes.txt'"),
        *(
            (SceneChoice(shard=text), "only.shard: expected K/N with K from 1 to N")
            for text in ("0/4", "5/4", "1", "1/0", "-1/4", "1/4 ", "a/b", "1/4\n", "٣/16")
        ),
    ],
)
def test_faults_of_a_choice_are_named(choice: SceneChoice, words: str) -> None:
    (fault,) = choice_faults(choice)
    assert words in str(fault)
