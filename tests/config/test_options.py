"""Command-line options override what files say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2pipe.cli.arguments import parse
from s2pipe.cli.commands import COMMANDS
from s2pipe.cli.step import step_options
from s2pipe.config.options import merged, overrides
from s2pipe.config.steps import STEPS, build_config
from s2pipe.errors import ConfigError
from s2pipe.preprocess.cfg import NormalizeConfig, PreprocessConfig

MINIMAL = {"index_json": "i.json", "out_dir": "out", "target_grid_ref": "B02", "l1c_bands": ["B02"]}


def _parsed(*arguments: str) -> dict[tuple[str, ...], object]:
    options = parse(COMMANDS["preprocess"], step_options(STEPS["preprocess"]), arguments)
    return overrides(options, PreprocessConfig)


def test_options_override_nested_keys() -> None:
    given = _parsed(
        "--num-workers", "3", "--normalize.mode", "none", "--normalize.clip-percentiles", "null",
        "--l1c-bands", "B02", "B8A", "--normalize.hist-range", "-0.1", "1.5", "--overwrite",
        "--no-to-toa-reflectance", "--labels.mapping", '{"4": 1}', "--max_scenes", "null",
    )  # fmt: skip
    document = merged({**MINIMAL, "normalize": {"seed": 5}}, given)
    config = build_config(document, STEPS["preprocess"], "x")
    assert (config.num_workers, config.max_scenes, config.overwrite, config.to_toa_reflectance) == (
        3,
        None,
        True,
        False,
    )
    assert config.l1c_bands == ("B02", "B8A")
    assert config.labels.mapping == {4: 1}
    assert config.normalize == NormalizeConfig(seed=5, hist_range=(-0.1, 1.5), clip_percentiles=None)


@pytest.mark.parametrize("text", ['{"4": 1}', "{4: 1}", "{ 4 : 1 }", "{4:1}"])
def test_mappings_as_json_and_as_the_docs_write_them(text: str) -> None:
    assert _parsed("--labels.mapping", text) == {("labels", "mapping"): {"4": 1}}


def test_no_option_changes_nothing() -> None:
    assert _parsed() == {}


@pytest.mark.parametrize("low", ["-1e-1", "-.1", "-0.1"])
def test_a_negative_number_is_a_value_and_not_an_option(low: str) -> None:
    given = _parsed("--normalize.hist-range", low, "2.0")
    assert given == {("normalize", "hist_range"): [-0.1, 2.0]}


def test_numbers_with_commas_are_several_values() -> None:
    assert _parsed("--normalize.hist-range", "-1e-1,2.5") == {("normalize", "hist_range"): [-0.1, 2.5]}
    given = _parsed("--target-grid.bounds", "-180.1,-18.3,-179.9,-18")
    assert given == {("target_grid", "bounds"): [-180.1, -18.3, -179.9, -18.0]}
    assert _parsed("--target-grid.bounds", "1,x") == {("target_grid", "bounds"): ["1,x"]}


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_nan_and_infinity_are_faults_with_their_path(text: str) -> None:
    given = _parsed("--valid-min-fraction", text)
    with pytest.raises(ConfigError) as caught:
        build_config(merged(MINIMAL, given), STEPS["preprocess"], "x")
    expected = f"x: preprocess.valid_min_fraction: expected a finite number, got {text}"
    assert str(caught.value) == expected


@settings(deadline=None)
@given(st.sampled_from(["--num-workers", "--max-scenes"]), st.text(min_size=1, max_size=5))
def test_wrong_option_values_reach_the_schema(flag: str, text: str) -> None:
    if text.startswith("-") or text.strip().lstrip("+").isdecimal() or text in ("null", "Null", "NULL", "~"):
        return
    given = _parsed(f"{flag}={text}")
    with pytest.raises(ConfigError):
        build_config(merged(MINIMAL, given), STEPS["preprocess"], "x")
