"""Configuration and credentials of the download step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from s2pipe.config.steps import STEPS, build_config
from s2pipe.download.auth import (
    Auth,
    Credentials,
    ask,
    from_environment,
    from_keyring,
    from_netrc,
    prompt_auth,
    unattended_auth,
)
from s2pipe.download.cfg import (
    DownloadConfig,
    EndpointsConfig,
    PipelineConfig,
    QueryConfig,
    RunControlConfig,
    SelectionConfig,
    parse_utc,
    resolve_endpoints,
    rule_faults,
    tiles_of,
)
from s2pipe.errors import AuthError, ConfigError

GOOD = {
    "query": {"tile_id": "33UWQ", "date_from_utc": "2025-12-01", "date_to_utc": "2025-12-31"},
    "download": {"out_dir": "out"},
}


def built(**changes: Any) -> PipelineConfig:
    document = {key: {**value, **changes.pop(key, {})} for key, value in GOOD.items()}
    return build_config({**document, **changes}, STEPS["download"], "c.json")


def test_footprints_of_l2a_are_those_of_its_bands() -> None:
    chosen = SelectionConfig(l2a_bands=("B04_10m", "B04_20m", "B8A_20m"), l2a_detector_footprint=True)
    footprints = [role for role in chosen.roles_l2a() if "footprint" in role]
    assert footprints == ["l2a.detector_footprint.B04", "l2a.detector_footprint.B8A"]
    assert not [role for role in SelectionConfig(l2a_bands=("B04_10m",)).roles_l2a() if "footprint" in role]


def test_the_seeds_names_are_kept() -> None:
    assert RunControlConfig(max_pairs=3) == RunControlConfig(max_scenes=3)
    assert RunControlConfig(3).max_pairs == 3
    with pytest.raises(ConfigError, match="another name"):
        RunControlConfig(max_scenes=1, max_pairs=2)
    assert built(control={"max_scenes": 2}).control.max_scenes == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"query": {"tile_id": "33UW"}}, "query.tile_id"),
        ({"query": {"tile_id": None}}, "give tile_id, tile_ids or geometry"),
        ({"query": {"date_from_utc": "December"}}, "query.date_from_utc: expected 2025-12-01"),
        ({"query": {"date_to_utc": "2025-11-01"}}, "expected a time after"),
        ({"query": {"date_to_utc": "2025-02-30"}}, "query.date_to_utc"),
        ({"query": {"cloud_min": 50, "cloud_max": 40}}, "query.cloud_max"),
        ({"query": {"top": 1001}}, "query.top"),
        ({"download": {"concurrency": 5}}, "download.concurrency"),
        ({"download": {"endpoints": {"catalogue": "ftp://x"}}}, "download.endpoints.catalogue"),
        ({"download": {"endpoints": {"catalogue": "https://x/path"}}}, "download.endpoints.catalogue"),
        ({"download": {"passwd": "x"}}, "must not hold credentials"),
        ({"auth": {"user": "x"}}, "must not hold credentials"),
        ({"auth": {}}, "unknown key"),
        ({"control": {"run_id": "../x"}}, "control.run_id"),
        ({"control": {"run_id": "nul"}}, "control.run_id"),
        ({"control": {"run_id": "run."}}, "control.run_id"),
        ({"manifest": {"index_name": "../x.json"}}, "manifest.index_name"),
        ({"manifest": {"index_name": "con.json"}}, "manifest.index_name"),
        ({"selection": {"l2a_bands": ["B10_20m"]}}, "l2a_bands"),
        (
            {
                "selection": {
                    "l1c_bands": [],
                    "l1c_product_metadata": False,
                    "l1c_tile_metadata": False,
                    "l1c_manifest": False,
                }
            },
            "selects nothing",
        ),
    ],
)
def test_faults_are_named(changes: Any, said: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        built(**changes)
    assert said in str(caught.value)


def test_a_day_as_an_end_is_included() -> None:
    assert str(parse_utc("2025-12-31", is_end=True)) == "2026-01-01 00:00:00+00:00"
    assert parse_utc("2025-12-31") == parse_utc("2025-12-31T00:00:00.000Z", is_end=True)
    assert parse_utc("2025-12-31T00:00:00+00:00") == parse_utc("2025-12-31T00:00")
    assert parse_utc("2025-12-31T00:00:00+02:00") is None


def test_tiles_are_spelt_in_one_way() -> None:
    query = QueryConfig("2025-12-01", "2025-12-02", tile_id="33UWQ", tile_ids=("T33UWQ", "T33UWP"))
    assert tiles_of(query) == ("T33UWQ", "T33UWP")


def test_hosts_come_from_the_configuration_then_the_environment() -> None:
    environ = {"S2PIPE_CATALOGUE_URL": "http://localhost:1/", "S2PIPE_IDENTITY_URL": "http://localhost:3"}
    hosts = resolve_endpoints(EndpointsConfig(catalogue="https://mirror:8443"), environ)
    assert (hosts.catalogue, hosts.identity) == ("https://mirror:8443", "http://localhost:3")
    assert hosts.download == "https://download.dataspace.copernicus.eu"
    with pytest.raises(ConfigError, match="S2PIPE_DOWNLOAD_URL") as caught:
        resolve_endpoints(EndpointsConfig(), {"S2PIPE_DOWNLOAD_URL": "https://eve:hunter2@host"})
    assert "hunter2" not in str(caught.value)


def test_the_python_object_is_checked_as_a_file_is() -> None:
    config = PipelineConfig(
        query=QueryConfig("2025-12-01", "2025-12-02"), download=DownloadConfig(out_dir=Path("x"))
    )
    assert [fault.path for fault in rule_faults(config)] == ["query.tile_id"]


def test_credentials_come_from_the_environment_and_netrc(tmp_path: Path) -> None:
    found = from_environment("h", {"CDSE_USERNAME": "eve", "CDSE_PASSWORD": "pw", "CDSE_TOTP": "123456"})
    assert found == Credentials("eve", "pw", "123456")
    assert found.code() == "123456"
    assert from_environment("h", {"CDSE_USERNAME": "eve"}) is None
    path = tmp_path / "netrc"
    path.write_text("machine h login eve password pw\ndefault login nobody password no\n")
    assert from_netrc("h", {"NETRC": str(path)}) == Credentials("eve", "pw")
    assert from_netrc("other", {"NETRC": str(path)}) is None
    path.write_text("computer h login eve")
    with pytest.raises(AuthError, match="netrc:1"):
        from_netrc("h", {"NETRC": str(path)})
    assert from_netrc("h", {"NETRC": str(tmp_path / "absent")}) is None


def test_a_keyring_is_used_when_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyring").mkdir()
    (tmp_path / "keyring/__init__.py").write_text(
        "class C:\n    username, password = 'eve', 'pw'\n"
        "def get_credential(host, name):\n    return C() if host == 'h' else None\n"
    )
    (tmp_path / "keyring/errors.py").write_text("class KeyringError(Exception): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert from_keyring("h", {}) == Credentials("eve", "pw")
    assert from_keyring("x", {}) is None


def test_one_time_codes_are_made_from_the_secret() -> None:
    # RFC 6238, appendix B: the SHA-1 secret "12345678901234567890" at 59 s and 1111111109 s, last six digits.
    made = Credentials("e", "p", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
    assert (made.code(59), made.code(1111111109), made.is_reusable) == ("287082", "081804", True)
    assert Credentials("e", "p", "123456").is_reusable is False
    with pytest.raises(AuthError, match="CDSE_TOTP"):
        Credentials("e", "p", "not base 32!").code()


def test_nothing_is_asked_until_it_is_needed_and_nothing_is_shown() -> None:
    calls = []

    def source(host: str) -> Credentials:
        calls.append(host)
        return Credentials("eve", "hunter2")

    auth = Auth(lambda _host: None, source)
    assert calls == []
    assert "hunter2" not in repr(auth)
    assert "hunter2" not in repr(auth.credentials("h"))
    assert "eve" not in repr(auth.credentials("h"))
    assert calls == ["h"]
    assert isinstance(prompt_auth(), Auth)
    assert ask("h") is None
    with pytest.raises(AuthError, match="CDSE_USERNAME"):
        Auth().credentials()
    assert repr(unattended_auth()) == "<Auth>"
