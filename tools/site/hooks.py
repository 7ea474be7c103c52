"""Hooks of MkDocs: add generated pages, turn links, and refuse a site that asks other machines for anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

from outside import requests_of_site
from pages import ROOT, generated, with_links_of_site


def on_files(files: Files, config: Any) -> Files:
    """Add generated pages and the schemas; leave notebooks out, whose pages stand for them."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            files.remove(file)
    for page, text in generated().items():
        files.append(File.generated(config, page, content=text))
    for schema in sorted((ROOT / "schemas").glob("*.json")):
        files.append(File.generated(config, f"schemas/{schema.name}", abs_src_path=str(schema)))
    shim = Path(__file__).with_name("iframe-worker.js")
    files.append(File.generated(config, "assets/iframe-worker.js", abs_src_path=str(shim)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001
    """Turn links that are right in the repository into those of the site."""
    return with_links_of_site(page.file.src_uri, markdown)


def on_post_build(config: Any) -> None:
    """Fail if a page would load anything from another host."""
    found = requests_of_site(Path(config["site_dir"]))
    if found:
        raise PluginError("the site would ask other machines:\n" + "\n".join(found))
