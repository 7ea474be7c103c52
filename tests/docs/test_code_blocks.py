"""What the documentation shows is true: its code blocks run in order, page by page; those that cannot say why."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING

import pytest

from s2pipe.cli import main
from s2pipe.errors import ConfigError
from tests.docs.blocks import LANGUAGES, PAGES, Block, blocks_of, commands, parse
from tests.docs.running import check, run_page, understands
from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

WITH_BLOCKS = [page for page in PAGES if page != "README.md" and blocks_of(page)]
LONG = {"docs/first-hour.md", "docs/tutorial.md"}
"""Pages that run the whole demonstration: only where the site is built, and where PyTorch is."""


def test_no_block_is_overlooked() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        fences = re.findall(r"^ *```(\w+)", text, re.MULTILINE)
        assert [block.language for block in blocks_of(page)] == fences, page
        assert set(fences) <= {*LANGUAGES, "text"}, page


def test_what_is_not_run_says_why() -> None:
    reasons = {str(block): block.reason for page in PAGES for block in blocks_of(page) if block.reason}
    assert all(len(reason.split()) >= 3 for reason in reasons.values()), reasons
    every = [block for page in PAGES for block in blocks_of(page)]
    assert len(every) > 45
    assert len(reasons) < len(every) / 3


def test_the_readme_runs_in_order(workplace: Path) -> None:
    assert (workplace / "out/normalize/stats.json").exists()
    assert len(list((workplace / "out_norm/processed").glob("*/*/meta.json"))) == 2
    assert (workplace / "out_norm/patches/shards.json").exists()
    assert (workplace / "out_norm/report.html").exists()


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_a_page_runs_in_order(page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page in LONG and not any(map(importlib.util.find_spec, ("mkdocs", "torch"))):
        for block in blocks_of(page):
            check(block)
        pytest.skip("checked, not run: make docs and make test-torch run it")
    monkeypatch.chdir(workplace)
    run_page(page)


def test_the_other_example_configurations_run(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    for arguments in (["preprocess", "--config", "configs/apply.yaml"], ["patches", "configs/patches.yaml"]):
        assert main(arguments) == 0


def test_a_mark_belongs_to_the_block_below_it() -> None:
    text = "<!-- not run: needs the network -->\n```bash\ns2pipe x\n```\n\n```python\n1\n```\n"
    first, second = parse(text)
    assert (first.reason, first.line, second.reason) == ("needs the network", 2, "")
    (needing,) = parse("<!-- needs: os.path, no_such.module -->\n\n```python\n1\n```\n")
    assert needing.needs == ("os.path", "no_such.module")
    assert not needing.runs_here


def test_commands_are_split_like_a_shell_does() -> None:
    block = Block("p", 1, "console", "$ s2pipe x 'a b' \\\n  --y  # why\noutput\n$ make z && s2pipe q\n")
    assert list(commands(block)) == [["s2pipe", "x", "a b", "--y"], ["make", "z"], ["s2pipe", "q"]]


@pytest.mark.parametrize(
    ("language", "text", "error"),
    [
        ("yaml", "preprocess:\n  angels: {enabled: true}\n", ConfigError),
        ("json", '{"patches": {"patch_size": -1}}', ConfigError),
        ("python", "from s2pipe.preprocess.run import run_everything\n", AssertionError),
        ("python", "print(1\n", SyntaxError),
        ("bash", "make tea\n", AssertionError),
        ("bash", "s2pipe preprocess config.yaml --no-such-option\n", AssertionError),
    ],
)
def test_a_wrong_block_is_found(language: str, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        check(Block("page.md", 1, language, text))


def test_a_right_command_is_understood_and_not_run(tmp_path: Path) -> None:
    assert understands(["preprocess", str(tmp_path / "missing.yaml"), "--num-workers", "2"])
    assert list(tmp_path.iterdir()) == []
