"""A small dataset with all three steps, made once, and a reader of pages."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from s2pipe.patches.cfg import PatchConfig, QualityConfig, SplitConfig
from s2pipe.patches.run import run_patches
from tests.patches.patchdata import Scene, write_step2

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"br", "col", "hr", "img", "input", "meta", "link"}
RGB = ("B02", "B03", "B04", "B08")
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202e"


@dataclass
class Page(HTMLParser):
    """What a page holds."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    data: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"] and not self.data:
            self.data = data
        elif self.open[-1:] not in (["script"], ["style"]):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def scenes(self) -> list[dict[str, Any]]:
        return json.loads(self.data)["scenes"]

    def sections(self) -> set[str]:
        return {str(section["id"]).removeprefix("section-") for section in self.all("section")}


def read_page(path: Path) -> Page:
    """Read a page: every element is closed, and nothing is fetched from anywhere."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes, "the page's policy allows its own style sheet alone"
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name) or ""
            assert not value.lower().startswith(("http", "//", "javascript", "file")), value
    assert len(page.all("script")) == 2
    return page


def make_dataset(root: Path) -> Path:
    """Two scenes of four bands with labels, angles and q.tif; patches of them."""
    scenes = [
        Scene(bands=RGB, angles=True, quality=True, sensing=f"2025-0{month}-01T10:00:00Z", nodata_right=60)
        for month in (7, 8)
    ]
    index = write_step2(root, scenes)
    quality = QualityConfig(min_valid=0.5, max_cloud=0.5, max_missing_angles=1.0)
    run_patches(
        PatchConfig(
            index_json=index,
            out_dir=root / "patches",
            patch_size=64,
            quality=quality,
            split=SplitConfig(cell_m=2000),
        )
    )
    return root
