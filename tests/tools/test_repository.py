"""What no tracked file may hold: where packages are fetched from, and where somebody's machine keeps its files."""

import re
import subprocess

import pytest

from tests.paths import ROOT

# Written in two halves, for this file is tracked too.
HOSTS = [
    "pypi" + ".org",
    "pypi" + ".python.org",
    "python" + "hosted.org",
    "registry" + ".npmjs.org",
    "deb" + ".debian.org",
    "conda" + ".anaconda.org",
    "repo" + ".anaconda.com",
    "crates" + ".io",
]
MACHINE_PATH = re.compile(
    r"(?<![\w.~:/-])/(?:root/\.\w+|work|home/[a-z]\w*|Users/[A-Za-z]\w*|opt/wheels|opt/pypi)(?=[/\s\"'`]|$)"
)


def tracked_texts() -> list[tuple[str, str]]:
    result = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.skip("not a git checkout")
    texts = []
    for name in filter(None, result.stdout.split("\0")):
        path = ROOT / name
        if path.is_file():
            try:
                texts.append((name, path.read_text(encoding="utf-8")))
            except UnicodeDecodeError:
                continue
    return texts


def test_no_file_names_a_package_registry() -> None:
    found = [f"{name}: {host}" for name, text in tracked_texts() for host in HOSTS if host in text]
    assert found == []


def test_no_file_holds_a_path_of_somebodys_machine() -> None:
    found = [
        f"{name}:{number}: {match.group()}"
        for name, text in tracked_texts()
        if name != "tests/tools/test_repository.py"
        for number, line in enumerate(text.splitlines(), 1)
        for match in MACHINE_PATH.finditer(line)
    ]
    assert found == []


@pytest.mark.parametrize("path", ["/root/.cache/x", "'/work'", "out: /home/eve/x", "/Users/Eve/x"])
def test_a_machines_path_is_recognised(path: str) -> None:
    assert MACHINE_PATH.search(path)


@pytest.mark.parametrize(
    "text", ["data/work/x", "/root/of/product", "file.org/work/", "/homes", "https://host/work/x", "~/work"]
)
def test_other_words_are_let_through(text: str) -> None:
    assert not MACHINE_PATH.search(text)
