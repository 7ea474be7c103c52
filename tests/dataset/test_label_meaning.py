"""Names, colours and conditions of labels: what becomes of them under a mapping, and in JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2pipe.config.schema import load_schema
from s2pipe.dataset.label_meaning import CONDITIONS, LabelMeaning

COVER = LabelMeaning(
    "ESA WorldCover",
    255,
    {10: "tree cover", 20: "shrubland", 30: "grassland", 80: "water"},
    {10: "#006400", 20: "#ffbb22", 30: "#ffff4c"},
)
SCENE = LabelMeaning(
    "scl",
    255,
    {4: "vegetation", 8: "cloud", 9: "thick cloud", 10: "cirrus"},
    {},
    {"cloud": (8, 9, 10), "snow": (11,)},
)


def test_a_mapping_keeps_the_names_of_what_it_maps() -> None:
    labels = COVER.mapped({10: 1, 20: 2, 30: 2, 40: 3, 80: 2, 95: 2, 60: 255})
    assert labels.names == {1: "tree cover", 2: "shrubland / grassland / water / class 95"}
    assert labels.colors == {1: "#006400", 2: "#ffbb22"}
    assert labels.mapped(None) == labels
    assert COVER.mapped(None) == COVER
    assert COVER.stated({10: "wood"}, {80: "#0000ff"}, None).names == {**COVER.names, 10: "wood"}


def test_the_ignore_index_has_no_name() -> None:
    zero = LabelMeaning("scl", 0, {0: "no data", 4: "vegetation"}, {0: "#000000"}, {"cloud": (0,)})
    labels = zero.mapped(None)
    assert (labels.names, labels.colors, labels.conditions) == ({4: "vegetation"}, {}, {})


@pytest.mark.parametrize(
    ("mapping", "clouds"),
    [
        (None, (8, 9, 10)),
        ({4: 0, 8: 1, 9: 1, 10: 2}, (1, 2)),
        ({4: 0, 8: 1, 9: 1}, (1,)),
        ({4: 1, 8: 1, 9: 1}, None),
        ({4: 1, 8: 1, 9: 2}, None),
        ({4: 0}, None),
        ({4: 0, 8: 255, 9: 255}, None),
        ({4: 0, 8: 255, 9: 1}, (1,)),
    ],
)
def test_labels_that_clouds_became(mapping: dict[int, int] | None, clouds: tuple[int, ...] | None) -> None:
    labels = SCENE.mapped(mapping)
    assert labels.conditions.get("cloud") == clouds
    assert labels.stated(None, None, [3, 1]).conditions["cloud"] == (1, 3)
    assert "cloud" not in labels.stated(None, None, []).conditions


small = st.integers(0, 12)


@given(
    names=st.dictionaries(small, st.text("abc /", min_size=1)),
    clouds=st.sets(small),
    mapping=st.dictionaries(small, small),
    ignore=small,
)
def test_a_condition_is_told_of_exactly_its_pixels(
    names: dict[int, str], clouds: set[int], mapping: dict[int, int], ignore: int
) -> None:
    """Where a mapped label is called cloud, every class behind it is one, and no labelled cloud is missed."""
    labels = LabelMeaning("any", ignore, names, {}, {"cloud": tuple(sorted(clouds))}).mapped(mapping)
    found = labels.conditions.get("cloud")
    kept = {value: label for value, label in mapping.items() if label != ignore}
    is_pure = all(
        (value in clouds) == (label in {kept[c] for c in clouds & {*kept}}) for value, label in kept.items()
    )
    if found is not None:
        assert ignore not in found
        assert all((value in clouds) == (label in found) for value, label in kept.items())
    else:
        assert not is_pure or not clouds & {*kept}
    assert {*labels.names} <= {*kept.values()}


@given(
    st.builds(
        LabelMeaning,
        st.text(max_size=20),
        st.integers(0, 65535),
        st.dictionaries(st.integers(0, 65535), st.text(min_size=1, max_size=9)),
        st.dictionaries(st.integers(0, 65535), st.from_regex(r"#[0-9a-f]{6}", fullmatch=True)),
        st.dictionaries(
            st.sampled_from(CONDITIONS), st.sets(small, min_size=1).map(lambda found: tuple(sorted(found)))
        ),
    )
)
def test_json_and_back(meaning: LabelMeaning) -> None:
    assert LabelMeaning.from_document(json.loads(json.dumps(meaning.to_document()))) == meaning


def test_every_schema_describes_all_of_it() -> None:
    keys = {*COVER.to_document()}
    meta = load_schema("sample_meta")["properties"]
    shards = load_schema("step3_shards")["properties"]
    sample = load_schema("step2_index")["properties"]["samples"]["items"]["properties"]
    for schema in (
        meta["labels"]["properties"]["meaning"],
        meta["quality"]["properties"]["classes"],
        sample["labels"],
        shards["quality"],
    ):
        assert {*schema["properties"]} == {*schema["required"]} == keys
    assert {*shards["labels"]["properties"]} == keys | {"dtype", "kind", "channels"}
    channel = shards["labels"]["properties"]["channels"]["items"]
    for schema in (
        meta["labels"]["properties"]["targets"]["items"]["properties"]["meaning"],
        sample["label_targets"]["items"],
        channel,
    ):
        assert {*schema["properties"]} - {"name", "kind"} == keys
        assert {*schema["required"]} == {*schema["properties"]}
