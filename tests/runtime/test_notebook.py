"""Results in notebooks: tables whose values cannot become markup."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.preprocess.one_scene import SceneRecord
from s2pipe.preprocess.run import PreprocessResult
from s2pipe.runtime.notebook import InNotebooks


class Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - of the base class
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


KEY = SceneKey("T33UWQ", "2025-12-10T10:03:19Z")


def test_a_result_is_its_summary() -> None:
    result = PreprocessResult("<script>alert(1)</script>", done=[KEY], index_path=Path("a&b.json"))
    shown = Cells(result._repr_html_())
    assert "script" not in shown.tags
    assert {"PreprocessResult", "<script>alert(1)</script>", str(KEY), "a&b.json"} <= set(shown.texts)
    assert {str(name) for name in result.summary()} <= set(shown.texts)


def test_a_record_is_its_fields() -> None:
    shown = Cells(SceneRecord(KEY, "failed", error="no\u202e \udc80such file")._repr_html_())
    assert {"failed", "no\ufffd \ufffdsuch file"} <= set(shown.texts)
    assert "details" not in shown.texts


def test_what_there_is_much_of_is_folded() -> None:
    @dataclass
    class Many(InNotebooks):
        items: list[int] = field(default_factory=lambda: list(range(1000)))
        text: str = "x" * 5000

    shown = Many()._repr_html_()
    assert len(shown) < 2000
    assert "<summary>1000</summary>" in shown
