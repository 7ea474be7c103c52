"""Scenes named in configurations and files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.scene_list import match_scenes, read_scene_list
from s2pipe.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [SceneKey("T33UWQ", f"2025-12-{day}T10:03:19.024Z") for day in (10, 15)]


def test_a_file_lists_one_scene_a_line(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"\xef\xbb\xbfT33UWQ/2025-12-10T10:03:19Z # the first\n\n# no other\n")
    assert read_scene_list(tmp_path / "l.txt") == ["T33UWQ/2025-12-10T10:03:19Z"]


@pytest.mark.parametrize("content", [None, b"T33\xff\xfe"])
def test_a_file_that_is_no_list_is_a_clear_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=r"l\.txt: .*the list of scenes cannot be read"):
        read_scene_list(tmp_path / "l.txt")


def test_spelling_does_not_count_and_unknown_scenes_are_named() -> None:
    texts = ["T33UWQ 2025-12-10T10:03:19+00:00", "T33UWQ/2025-12-11T10:03:19Z", "first"]
    found, unknown = match_scenes(texts, KEYS)
    assert found == {KEYS[0].identity}
    assert unknown == texts[1:]


def test_long_lists_take_no_time() -> None:
    keys = [SceneKey(f"T{number:02}UWQ", f"2025-12-10T10:{m:02}:{s:02}Z")
            for number in range(1, 6) for m in range(60) for s in range(60)]  # fmt: skip
    start = time.monotonic()
    found, unknown = match_scenes(map(str, keys), keys)
    assert (len(found), unknown) == (len(keys), [])
    assert time.monotonic() - start < 5  # every text with every scene would take minutes
