"""The site: every page is in its navigation, links of the repository hold there, and nothing comes from elsewhere."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.docs.blocks import PAGES
from tests.paths import ROOT

sys.path.insert(0, str(ROOT / "tools" / "site"))

from outside import requests_of_site
from pages import COPIED, notebook_page, schemas, with_links_of_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MADE = {"cli.md", "examples.md", "schemas.md"}


def _pages(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for item in nav.values() if isinstance(nav, dict) else nav:
            yield from _pages(item)


def test_the_navigation_has_every_page_once() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    docs = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    notebooks = {f"notebooks/{path.stem}.md" for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    assert sorted(_pages(settings["nav"])) == sorted(docs | notebooks | MADE | set(COPIED.values()))


def test_links_of_the_repository_lead_to_files() -> None:
    for page in PAGES:
        text = re.sub(
            r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
        )
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if ":" not in target and "img/architecture" not in target:
                assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("index.md", "docs/labels.md#classes", "labels.md#classes"),
        ("index.md", "kernels/README.md", "kernels.md"),
        ("index.md", "docs/img/demo.png", "img/demo.png"),
        ("labels.md", "../README.md#install", "index.md#install"),
        ("labels.md", "../schemas", "schemas.md"),
        ("cluster.md", "examples/cluster/jobqueue.py", "examples/cluster/jobqueue.py"),
        ("tutorial.md", "notebooks/patches.ipynb", "notebooks/patches.md"),
        ("notebooks/patches.md", "../labels.md", "../labels.md"),
        ("labels.md", "https://example.org/docs/x", "https://example.org/docs/x"),
        ("labels.md", "#here", "#here"),
    ],
)
def test_a_link_is_turned_for_the_site(page: str, link: str, expected: str) -> None:
    assert with_links_of_site(page, f"see [it]({link}).") == f"see [it]({expected})."


def test_links_in_code_are_left_alone() -> None:
    text = "```python\nnames[0](docs/x)\n```\n"
    assert with_links_of_site("index.md", text) == text


def test_schemas_are_told_key_by_key() -> None:
    text = schemas()
    assert "## `sample_meta.schema.json`" in text
    assert "| `preprocess.target_grid_ref`" in text


def test_a_notebook_becomes_text_code_and_output() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {
            "cell_type": "code",
            "source": ["1 + 1"],
            "outputs": [
                {"output_type": "execute_result", "data": {"text/plain": ["2"]}},
                {"output_type": "display_data", "data": {"image/png": "QUJD\n", "text/plain": ["<Figure>"]}},
            ],
        },
    ]
    text = notebook_page({"cells": cells})
    assert text.startswith("# Title\ntext\n\n```python\n1 + 1\n```\n\n```text\n2\n```\n")
    assert 'src="data:image/png;base64,QUJD"' in text
    assert "<Figure>" not in text


def test_what_a_site_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<link rel="canonical" href="https://ours.example/a"><a href="https://linked.example">x</a>'
        '<script src="//cdn.example/x.js"></script><img src="img/x.png">'
    )
    (tmp_path / "b.css").write_text(
        "@font-face { src: url('https://fonts.example/f') } a { background: url(x.png) }"
    )
    assert requests_of_site(tmp_path) == [
        "a.html: <script> //cdn.example/x.js",
        "b.css: https://fonts.example/f",
    ]


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    mkdocs = pytest.importorskip("mkdocs.commands.build", reason="needs the extra docs: make docs")
    from mkdocs.config import load_config

    mkdocs.build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site")))
    assert 'assets/iframe-worker.js"' in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "search_index.js" in {path.name for path in (tmp_path / "site" / "search").iterdir()}
