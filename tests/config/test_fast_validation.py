"""The fast validator and jsonschema: nothing fits for one that the other refuses."""

from __future__ import annotations

import copy
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from s2pipe.config.schema import PARTS, SCHEMA_IDS, _is_finite, _schema_faults, fits, load_schema
from s2pipe.config.steps import STEPS
from tests.patches.patchdata import Scene, write_step2

if TYPE_CHECKING:
    from tests.conftest import Dataset

pytest.importorskip("jsonschema_rs")
NUMBERS = [None, True, False, 0, 1, -1, 1.0, 0.5, 1e308, 2**64, -(2**70), [], {}, [1, 1.0], [True, 1]]
TEXTS = [
    "",
    "x",
    "T33UWQ",
    "T33UWQ\n",
    "\u0663",
    "2025-12-10T10:03:19Z\n",
    "sha256:" + "0" * 64,
    "l1c.band.B02",
]
VALUES = st.sampled_from([*NUMBERS, *TEXTS]).map(copy.deepcopy)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> dict[str, list[Any]]:
    """Documents that fit, by the name of their schema."""
    root = tmp_path_factory.mktemp("fast")
    step2 = json.loads(write_step2(root, [Scene(shape_yx=(20, 30))]).read_bytes())
    metas = [json.loads(path.read_bytes()) for path in root.rglob("meta.json")]
    step1 = json.loads(dataset.index_json.read_bytes())
    return {
        "step1_index": [step1],
        "step1_scene": step1["scenes"],
        "step2_index": [step2],
        "step2_sample": step2["samples"],
        "sample_meta": metas,
    }


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a document with each key or number in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [pair for key, item in items for pair in ((value, key), *places(item))]


@pytest.mark.parametrize("name", ["step1_index", "step1_scene", "step2_index", "step2_sample", "sample_meta"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_both_agree_on_changed_documents(
    documents: dict[str, list[Any]], name: str, data: st.DataObject
) -> None:
    document = copy.deepcopy(documents[name][0])
    assert fits(document, name)
    for _ in range(data.draw(st.integers(1, 3))):
        found = places(document)
        container, key = found[data.draw(st.integers(0, len(found) - 1))]
        change = data.draw(st.sampled_from(["replace", "remove", "add", "repeat"]))
        if change == "replace":
            container[key] = data.draw(VALUES)
        elif change == "remove":
            del container[key]
        elif isinstance(container, list):
            container.append(copy.deepcopy(container[key]) if change == "repeat" else data.draw(VALUES))
        else:
            container[data.draw(st.sampled_from(["new", "key", "role", "size"]))] = data.draw(VALUES)
    slow = Draft202012Validator(load_schema(name)).is_valid(document)
    if fits(document, name):
        assert slow
        assert _schema_faults(document, name) == []
    # Python takes "T33UWQ\n" for a match of "^...$", as ECMA does not: there jsonschema has the last word.
    elif slow and _is_finite(document):
        assert "\\n" in json.dumps(document)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_a_number_that_json_does_not_have_never_fits(documents: dict[str, list[Any]], value: Any) -> None:
    document = copy.deepcopy(documents["step1_index"][0])
    document["query"] = value
    assert not fits(document, "step1_index")


@pytest.mark.parametrize("name", sorted({*SCHEMA_IDS.values(), *PARTS, *STEPS}))
def test_every_schema_can_be_used(name: str) -> None:
    schema = name if name not in STEPS else f"{name}_config"
    assert not fits([], schema)
