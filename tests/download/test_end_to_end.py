"""From the service to normalised samples: download, statistics, apply; and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from s2pipe.cli import main
from s2pipe.config.schema import document_faults
from s2pipe.dataset.step1_index import load_index
from s2pipe.download.auth import password_auth
from s2pipe.download.cfg import (
    DownloadConfig,
    EndpointsConfig,
    ManifestConfig,
    NodesIndexConfig,
    PipelineConfig,
    QueryConfig,
    RunControlConfig,
    SelectionConfig,
)
from s2pipe.download.pipeline import run_download
from s2pipe.preprocess.cfg import LabelConfig, NormalizeConfig, PreprocessConfig
from s2pipe.preprocess.run import run_preprocess
from s2pipe.synthetic import ProductSpec, make_products
from s2pipe.testing import Service, StoredProduct, stored
from s2pipe.testing.fake import SQUARE
from tests.paths import ROOT

BANDS = ("B02", "B11")


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> list[StoredProduct]:
    made = make_products(
        tmp_path_factory.mktemp("demo"), ProductSpec(side_m=5460, bands=BANDS, l2a_resolutions=(20,))
    )
    return [stored(made.l1c), stored(made.l2a)]


def test_download_then_statistics_then_apply(products: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Service(products) as service:
        config = PipelineConfig(
            query=QueryConfig(
                tile_id="33UWQ",
                date_from_utc="2025-12-01T00:00:00.000Z",
                date_to_utc="2025-12-15T00:00:00.000Z",
                cloud_min=0.0,
                cloud_max=80.0,
                top=50,
            ),
            selection=SelectionConfig(l1c_bands=BANDS),
            nodes_index=NodesIndexConfig(),
            download=DownloadConfig(out_dir=out, endpoints=EndpointsConfig(**service.endpoints)),
            control=RunControlConfig(max_pairs=3),
            manifest=ManifestConfig(write_csv=True, write_xlsx=True),
        )
        result = run_download(config, auth=password_auth(service.tokens.username, service.tokens.password))
    assert (result.exit_code, len(result.pairs)) == (0, 1)
    run = json.loads(result.run_manifest_path.read_text())
    assert document_faults(run, "step1_run") == []
    assert document_faults(json.loads(result.manifest_path.read_text()), "step1_index") == []
    assert result.scenes[0].l2a.scl_percentages
    assert (
        (result.run_manifest_path.parent / "table.csv")
        .read_text("utf-8-sig")
        .startswith("tile_id,sensing_start_utc,")
    )
    assert (result.run_manifest_path.parent / "table.xlsx").stat().st_size > 1000
    for mode in ("compute_only", "apply_with_stats"):
        done = run_preprocess(
            PreprocessConfig(
                index_json=result.manifest_path,
                out_dir=out,
                target_grid_ref="scl_20m",
                l1c_bands=BANDS,
                labels=LabelConfig(enabled=True),
                normalize=NormalizeConfig(mode=mode, stats_path=out / "stats.json"),
            )
        )
        assert (done.exit_code, len(done.done)) == (0, 1)
    assert list(out.rglob("x.tif"))
    assert list(out.rglob("y.tif"))


def test_both_halves_of_an_acquisition_become_one_mosaic(tmp_path: Path) -> None:
    """Halves are fetched where that is asked for: what is here stays, and what is damaged is fetched anew."""
    spec = ProductSpec(
        side_m=2460, bands=("B02",), l2a_resolutions=(20,), quality_masks=False, strip_width_m=1_700.0
    )
    west = replace(
        spec, from_edge_m=19_800.0, seed=9, datastrip_delay_s=318.0, processing_delay_h=4.0, nodata_wedge=0.0
    )
    made = [
        make_products(tmp_path / name, half)
        for name, half in (("east", replace(spec, nodata_wedge=0.6)), ("west", west))
    ]
    names = [path.name for pair in made for path in (pair.l1c, pair.l2a)]
    out = tmp_path / "out"
    products = [stored(path) for pair in made for path in (pair.l1c, pair.l2a)]
    with Service(products) as service:
        larger = PipelineConfig(
            query=QueryConfig(
                tile_id="33UWQ", date_from_utc="2025-12-01", date_to_utc="2025-12-31", cloud_max=90.0
            ),
            selection=SelectionConfig(l1c_bands=("B02",)),
            download=DownloadConfig(out_dir=out, endpoints=EndpointsConfig(**service.endpoints)),
            manifest=ManifestConfig(write_csv=True),
        )
        both = replace(larger, selection=replace(larger.selection, other_halves=True))
        login = password_auth(service.tokens.username, service.tokens.password)
        first = run_download(larger, auth=login)
        assert sorted(name for name, _ in first.passed_over) == names[:2]
        assert "selection.other_halves" in first.passed_over[1][1]
        result = run_download(both, auth=login)
        assert (result.passed_over, result.done, result.totals["scenes"]) == ([], first.done, 1)
        assert run_download(both, auth=login).up_to_date == result.done
        (scene,) = load_index(result.manifest_path).scenes
        found = [item.product_name for part in scene.parts for item in (part.l1c, part.l2a) if item]
        assert found == [*names[2:], *names[:2]]
        (half,) = out.glob("raw/L1C/tile=T33UWQ/sensing=*/half=S*/files")
        assert [asset.path for asset in scene.assets].count(f"{half.relative_to(out)}/MTD_MSIL1C.xml") == 1
        (half / "MTD_TL.xml").write_text("damaged")
        mended = run_download(replace(both, download=replace(both.download, verify=True)), auth=login)
        assert (mended.done, mended.totals["files_to_fetch"], mended.exit_code) == (first.done, 1, 0)
    for path, schema in ((result.manifest_path, "step1_index"), (result.run_manifest_path, "step1_run")):
        assert document_faults(json.loads(path.read_text()), schema) == []
    assert (result.run_manifest_path.parent / "table.csv").read_text("utf-8-sig").count("T33UWQ,2025") == 2
    assert main(["verify", str(out), "--quiet"]) == 0
    mosaic = PreprocessConfig(result.manifest_path, out, "B02", ("B02",), group_by="datatake")
    assert run_preprocess(mosaic).exit_code == 0
    (meta,) = out.glob("processed/tile=*/sensing=*/meta.json")
    stated = json.loads(meta.read_text())["mosaic"]["sources"]
    assert all(source["pixels"] > 1000 for source in stated)
    assert len(stated) == 2


def command(service: Service, *arguments: str, account: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CDSE_")}
    environment |= {
        **service.environment,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'kernels'}",
        "NETRC": os.devnull,
    }
    if account:
        environment |= {"CDSE_USERNAME": service.tokens.username, "CDSE_PASSWORD": service.tokens.password}
    return subprocess.run(
        [sys.executable, "-m", "s2pipe", "download", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    document = {
        "download": {
            "query": {"tile_id": "T33UWQ", "date_from_utc": "2025-12-01", "date_to_utc": "2025-12-31"},
            "selection": {"l1c_bands": ["B02"]},
            "download": {"out_dir": str(tmp_path / "out")},
        }
    }
    path = tmp_path / "download.json"
    path.write_text(json.dumps(document))
    return path


def test_the_command_plans_without_a_login_then_needs_one_then_fetches(
    products: Path, config_file: Path
) -> None:
    with Service(products) as service:
        dry = command(service, "--config", str(config_file), "--dry-run", account=False)
        assert dry.returncode == 0, dry.stderr
        assert "to fetch: 1 scene(s), 9 file(s)" in dry.stderr
        assert not service.requests("identity")
        assert not service.requests("$value")
        refused = command(service, str(config_file), account=False)
        assert refused.returncode == 2
        assert "CDSE_USERNAME" in refused.stderr
        done = command(service, str(config_file), "--json")
        assert done.returncode == 0
        assert json.loads(done.stdout)["done"] == ["T33UWQ/2025-12-10T10:03:19Z"]
        verified = command(service, str(config_file), "--verify", account=False)
        assert verified.returncode == 0
        assert (
            "9 file(s) verified by checksum, 0 by size alone, 0 not at all; 0 damaged or absent"
            in verified.stderr
        )


def test_netrc_serves_the_login_and_nothing_else(products: Path, config_file: Path, tmp_path: Path) -> None:
    with Service(products) as service:
        netrc = tmp_path / "netrc"
        service.tokens.password = "correcthorse"
        netrc.write_text(f"machine 127.0.0.1 login {service.tokens.username} password correcthorse\n")
        environment = {**os.environ, **service.environment, "NETRC": str(netrc)}
        environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'kernels'}"
        done = subprocess.run(
            [sys.executable, "-m", "s2pipe", "download", str(config_file)],
            env=environment,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0
        assert not any(entry.authorization for entry in service.requests("catalogue"))
        assert all((entry.authorization or "").startswith("Bearer ") for entry in service.requests("$value"))


def test_a_password_in_a_configuration_is_refused_and_not_repeated(products: Path, config_file: Path) -> None:
    document = json.loads(config_file.read_text())
    document["download"]["download"]["password"] = "hunter2"
    document["download"]["download"]["endpoints"] = {"catalogue": "http://eve:hunter2@127.0.0.1"}
    config_file.write_text(json.dumps(document))
    with Service(products) as service:
        refused = command(service, str(config_file))
        assert refused.returncode == 2
        assert "must not hold credentials" in refused.stderr
        assert "hunter2" not in refused.stderr
        assert service.log == []


@pytest.mark.parametrize("name", ["download.json", "download.yaml"])
def test_the_example_configurations_are_valid(name: str) -> None:
    from s2pipe.config.steps import STEPS, build_config, read_step_document

    path = ROOT / "configs" / name
    config = build_config(read_step_document(path, STEPS["download"]), STEPS["download"], name)
    assert config.download.out_dir == Path("out")


SEED = ROOT.parent / "shared" / "seed-readme.md"


@pytest.mark.skipif(not SEED.is_file(), reason=f"the seed document is not at {SEED}")
def test_the_seeds_example_runs_as_it_stands(products: Path, tmp_path: Path) -> None:
    text = SEED.read_text(encoding="utf-8")
    code = text.split("### Download\n```python\n")[1].split("```")[0]
    with Service([stored(product.root, footprint=SQUARE, cloud=20.0) for product in products]) as service:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("CDSE_")}
        environment |= {**service.environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'kernels'}"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Pairs: 1\nManifest: out")
    assert (tmp_path / "out/meta/step1/index.json").is_file()
