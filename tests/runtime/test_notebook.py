"""Results in notebooks: tables whose values cannot become markup."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.dataset.samples import load_samples
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import load_index
from s2pipe.preprocess.one_scene import SceneRecord
from s2pipe.preprocess.run import PreprocessResult
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.verify.run import verify
from tests.patches.patchdata import Scene as PatchScene
from tests.patches.patchdata import write_step2

if TYPE_CHECKING:
    from tests.conftest import Dataset


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


def test_scenes_and_samples_are_shown_with_their_files(dataset: Dataset, tmp_path: Path) -> None:
    index = load_index(dataset.index_json)
    scene = index.scenes[0]
    assert dataset.root.name in index._repr_html_()
    shown = Cells(scene._repr_html_())
    assert {
        "Scene",
        str(scene.key),
        *(str(item.product_name) for item in (scene.l1c, scene.l2a) if item),
    } <= set(shown.texts)
    (sample,) = load_samples(write_step2(tmp_path, [PatchScene(shape_yx=(30, 40))]))
    shown = Cells(sample._repr_html_())
    assert {"Sample", str(sample.key), "30 x 40 pixels of 20", "valid"} <= set(shown.texts)


def test_a_verification_is_its_summary(tmp_path: Path) -> None:
    write_step2(tmp_path, [PatchScene(shape_yx=(30, 40))])
    shown = Cells(verify([tmp_path])._repr_html_())
    assert {"Report", "checked_by"} <= set(shown.texts)


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
