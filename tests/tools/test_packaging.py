"""What describes the project to package managers and readers: facts that stand in more than one file agree."""

import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest
import yaml

from s2pipe.version import __version__
from tests.paths import ROOT

sys.path.insert(0, str(ROOT))
import setup as s2pipe_setup


def recipe() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text())
    return document


def requirements() -> set[str]:
    lines = (ROOT / "requirements" / "install.txt").read_text().splitlines()
    return {line.replace(" ", "") for line in lines if line and not line.startswith("#")}


def test_all_files_name_the_same_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    kernels = tomllib.loads((ROOT / "kernels" / "pyproject.toml").read_text())["project"]
    assert citation["version"] == __version__
    assert recipe()["context"] == {"version": __version__, "kernels_version": kernels["version"]}


def test_the_conda_recipe_requires_what_the_packages_require() -> None:
    kernels, s2pipe = recipe()["outputs"]
    run = {text.replace(" ", "") for text in s2pipe["requirements"]["run"]}
    conda = {"python>=3.11", "s2kernels>=0.1,<0.2", "gdal>=3.6", "libgdal-jp2openjpeg"}
    assert run == requirements() | conda
    own = tomllib.loads((ROOT / "kernels" / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {text.replace(" ", "") for text in kernels["requirements"]["run"]} == {*own, "python>=3.11"}


def test_the_citation_has_what_the_format_asks_for() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == recipe()["about"]["license"] == "MIT"


def test_the_workflow_runs_what_every_change_must_pass_and_nothing_else() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = workflow["jobs"]["ci"]["steps"]
    runs = [step["run"] for step in steps if "run" in step]
    assert runs[-1] == ".ci/run"
    assert all("apt-get" in line for line in runs[:-1])
    versions = next(
        step["with"]["python-version"] for step in steps if "setup-python" in step.get("uses", "")
    )
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    assert set(versions.split()) == set(re.findall(r":: (3\.\d+)", " ".join(classifiers)))


def test_containers_get_all_that_is_installed_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text()
    assert (ROOT / ".containerignore").read_text() == ignored
    kept = set(re.findall(r"^!(.+)$", ignored, re.MULTILINE))
    assert {"pyproject.toml", "setup.py", "requirements", "schemas", "configs", "s2pipe", "kernels"} <= kept
    assert all((ROOT / name).exists() for name in kept)


@pytest.mark.parametrize(
    "address",
    [
        "https://host.example/team/s2pipe",
        "https://user:secret@host.example/team/s2pipe.git",
        "git@host.example:team/s2pipe.git",
        "ssh://git@host.example/team/s2pipe.git/",
    ],
)
def test_the_projects_urls_are_those_of_the_repository(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2PIPE_REPOSITORY", address)
    urls = s2pipe_setup.project_urls()
    assert urls["Source"] == "https://host.example/team/s2pipe"
    assert urls["Changelog"] == "https://host.example/team/s2pipe/blob/main/CHANGELOG.md"


def test_a_repository_on_this_machine_has_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2PIPE_REPOSITORY", "/srv/git/s2pipe.git")
    assert s2pipe_setup.project_urls() == {}


def test_commands_of_the_docs_reach_the_local_test_service_alone() -> None:
    """The service starts the command itself, so the command cannot run before, or without, it."""
    found = 0
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for block in re.findall(
            r"^```(?:bash|sh|console)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            for line in block.splitlines():
                if "s2pipe.testing" in line:
                    found += 1
                    assert re.search(r"s2pipe\.testing .*-- s2pipe ", line), f"{page.name}: {line}"
    assert found


def test_shell_scripts_parse() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
