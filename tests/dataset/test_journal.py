"""Journals: nothing recorded is lost or counted twice, whoever writes, reads, compacts or is killed meanwhile."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.dataset.journal import (
    Journal,
    compact,
    journal_directory,
    pending_bytes,
    read_pending,
    state_of,
)
from s2pipe.dataset.proof import sealed_bytes
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import (
    Asset,
    AssetGroup,
    IndexJournal,
    Product,
    Scene,
    compact_index,
    find_scenes,
    index_path,
    load_index,
    new_index,
    save_index,
)
from s2pipe.errors import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.journal import Pending


def scene(number: int, *, files: int = 2, name: str = "") -> Scene:
    key = SceneKey(f"T{10 + number % 50}UWQ", f"2025-12-{1 + number // 50 % 28:02}T10:03:19Z")
    items = tuple(
        Asset(f"l1c.band.B0{n}", f"raw/{number}/B0{n}.jp2", size=n, present=False)
        for n in range(1, 1 + files)
    )
    return Scene(key, l1c=Product(product_name=name or f"P{number}"), files_l1c=AssetGroup("raw", items))


def record(root: Path, *scenes: Scene, run: str = "run") -> None:
    with closing(IndexJournal(root, index_path(root), run, {"top": 5})) as journal:
        for item in scenes:
            journal.add([item])


def documents(root: Path) -> list[Any]:
    return json.loads(index_path(root).read_bytes())["scenes"]


def test_readers_see_what_is_not_compacted_yet(tmp_path: Path) -> None:
    path = index_path(tmp_path)
    record(tmp_path, scene(1), scene(0))
    assert not path.exists()
    assert [str(item.key) for item in load_index(path).scenes] == [str(scene(0).key), str(scene(1).key)]
    assert compact_index(path)
    assert [item["l1c"]["product_name"] for item in documents(tmp_path)] == ["P0", "P1"]
    assert not journal_directory(path).exists()
    record(tmp_path, scene(2))
    assert [item.l1c.product_name for item in load_index(path).scenes if item.l1c] == ["P0", "P1", "P2"]
    assert find_scenes(path, [scene(2).key, scene(0).key, scene(3).key]) == {
        item.key.identity: item for item in (scene(0), scene(2))
    }
    assert not compact_index(path) or not compact_index(path)


def test_later_entries_win_whatever_the_names_of_the_journals(tmp_path: Path) -> None:
    record(tmp_path, scene(0, name="first"), run="z")
    record(tmp_path, scene(0, name="second"), run="a")
    assert load_index(index_path(tmp_path)).scenes[0].l1c == Product(product_name="second")
    compact_index(index_path(tmp_path))
    assert documents(tmp_path)[0]["l1c"]["product_name"] == "second"


def test_the_same_entries_make_the_same_bytes(tmp_path: Path) -> None:
    entries = [{"scene": scene(n % 3, name=f"P{n % 2}", files=1 + n % 4).to_document()} for n in range(7)]
    lines = [json.dumps({"time_ns": 10**18 + n, **entry}) + "\n" for n, entry in enumerate(entries)]
    made = set()
    for number, order in enumerate(itertools.islice(itertools.permutations(range(3)), 6)):
        root = tmp_path / str(number) / "same"
        directory = journal_directory(index_path(root))
        directory.mkdir(parents=True)
        for place in order:  # the same lines, dealt to three writers, made in another order
            (directory / f"w{place}.00.jsonl").write_text("".join(lines[place::3]))
        os.chdir(root)
        compact_index(index_path(root))
        made.add(index_path(root).read_bytes())
    assert len(made) == 1


def test_a_live_writer_keeps_its_journal_and_is_counted_once(tmp_path: Path) -> None:
    path = index_path(tmp_path)
    with closing(IndexJournal(tmp_path, path, "live")) as live:
        live.add([scene(0, name="old")])
        record(tmp_path, scene(0, name="new"))
        compact_index(path)
        assert len(list(journal_directory(path).glob("*.jsonl"))) == 1
        # The live journal's older entry must not come back over what was compacted after it.
        assert load_index(path).scenes[0].l1c == Product(product_name="new")
        assert not compact_index(path)
        live.add([scene(1)])
        assert len(load_index(path).scenes) == 2
    compact_index(path)
    assert [item["l1c"]["product_name"] for item in documents(tmp_path)] == ["new", "P1"]
    assert not journal_directory(path).exists()


def test_a_closed_journal_goes_on_in_its_file_or_in_a_new_one(tmp_path: Path) -> None:
    path = index_path(tmp_path)
    journal = IndexJournal(tmp_path, path, "run")
    for number in (0, 1):
        with closing(journal):
            journal.add([scene(number)])
    (first,) = journal_directory(path).glob("*.jsonl")
    with first.open("ab") as stream:
        stream.write(b"torn")
    with closing(journal):  # not after what is no line
        journal.add([scene(2)])
    assert len(list(journal_directory(path).glob("*.jsonl"))) == 2
    assert compact_index(path)
    assert not journal_directory(path).exists()
    with closing(journal):
        journal.add([scene(3)])
    assert first not in journal_directory(path).glob("*.jsonl")
    assert not list(journal_directory(path).glob(f".{first.name}*"))
    assert len(load_index(path).scenes) == 4


def test_nothing_is_lost_of_a_journal_that_is_compacted_whenever_it_is_closed(tmp_path: Path) -> None:
    path, journal = index_path(tmp_path), IndexJournal(tmp_path, index_path(tmp_path), "run")

    def write() -> None:
        for number in range(60):
            with closing(journal):
                journal.add([scene(number)])

    def look() -> None:
        while not writing.done():
            pending_bytes(path)
            state_of(path)

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(write)
        looking = pool.submit(look)
        while not writing.done():
            compact_index(path)
        writing.result()
        looking.result()
    compact_index(path)
    assert len(documents(tmp_path)) == 60
    assert not journal_directory(path).exists()


def test_a_torn_line_does_not_count_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = index_path(tmp_path)
    record(tmp_path, scene(0), scene(1))
    (journal,) = journal_directory(path).glob("*.jsonl")
    journal.write_bytes(journal.read_bytes()[:-9])
    assert len(load_index(path).scenes) == 1
    compact_index(path)
    assert len(documents(tmp_path)) == 1
    assert "cut short" in caplog.text


@pytest.mark.parametrize(
    "line",
    ["{}", "[1]", "nonsense", '{"time_ns": true}', '{"time_ns":1,"time_ns":2}', '{"time_ns":1,"scene":{}}'],
)
def test_a_damaged_line_is_named_and_nothing_is_written(tmp_path: Path, line: str) -> None:
    path = index_path(tmp_path)
    record(tmp_path, scene(0))
    (journal,) = journal_directory(path).glob("*.jsonl")
    journal.write_text(journal.read_text() + line + "\n" if "scene" not in line else line + "\n")
    for read in (load_index, compact_index):
        with pytest.raises(ManifestError, match="line "):
            read(path)
    assert not path.exists()
    assert journal.exists()


def test_links_and_other_files_are_no_journals(tmp_path: Path) -> None:
    path = index_path(tmp_path)
    record(tmp_path, scene(0))
    directory = journal_directory(path)
    (directory / "link.jsonl").symlink_to(tmp_path / "elsewhere")
    (directory / "notes.txt").write_text("mine")
    compact_index(path)
    assert sorted(item.name for item in directory.iterdir()) == ["link.jsonl", "notes.txt"]


def test_an_index_that_others_wrote_is_read_whole(tmp_path: Path) -> None:
    path = index_path(tmp_path)
    save_index(new_index(tmp_path, [scene(n) for n in range(3)]), path)
    document = json.loads(path.read_bytes())
    document["scenes"].reverse()
    for text in (json.dumps(document, indent=2), json.dumps(document), sealed_bytes(document).decode()):
        path.write_text(text)
        assert list(load_index(path).scenes) == [scene(n) for n in range(3)]
        assert find_scenes(path, [scene(1).key]) == {scene(1).key.identity: scene(1)}


@pytest.mark.parametrize("place", range(12))
def test_a_changed_line_is_checked_before_it_is_used(tmp_path: Path, place: int) -> None:
    path = index_path(tmp_path)
    save_index(new_index(tmp_path, [scene(n) for n in range(4)]), path)
    draw = random.Random(place)
    data = bytearray(path.read_bytes())
    where = draw.randrange(data.index(b"["), len(data) - 120)
    data[where] = draw.choice(b'x"}],[{0')
    path.write_bytes(data)
    try:
        index = load_index(path)
    except ManifestError:
        return
    assert list(index.scenes) == [Scene.from_document(item) for item in json.loads(data)["scenes"]]


def _write_many(root: str, number: int) -> None:
    from pathlib import Path

    for first in range(3):
        record(Path(root), *(scene(number * 12 + first * 4 + n) for n in range(4)), run="shared")


def test_many_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(str(tmp_path), n)) for n in range(4)]
    for worker in workers:
        worker.start()
    path = index_path(tmp_path)
    while any(worker.is_alive() for worker in workers):
        compact_index(path)
        if path.exists():  # none before the first entry
            seen = len(documents(tmp_path))
            assert len(load_index(path).scenes) >= seen
    compact_index(path)
    assert len(documents(tmp_path)) == 48
    assert not journal_directory(path).exists()


_KILLED_AT = """
import os, signal, sys
from pathlib import Path
from s2pipe.dataset import step1_index as index
import s2pipe.dataset.journal as journal
step, path = int(sys.argv[1]), Path(sys.argv[2])
count = 0
def killing(work):
    def wrapped(*given, **named):
        global count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*given, **named)
    return wrapped
os.replace, os.unlink, os.fsync, os.rename = map(killing, (os.replace, os.unlink, os.fsync, os.rename))
Path.replace, Path.unlink = killing(Path.replace), killing(Path.unlink)
index.compact_index(path)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_compaction_that_is_killed_anywhere_loses_and_repeats_nothing(tmp_path: Path) -> None:
    path = index_path(tmp_path)
    with closing(IndexJournal(tmp_path, path, "live")) as live:
        live.add([scene(0, name="old")])
        record(tmp_path, scene(0, name="new"), scene(1))
        for step in range(1, 30):
            done = subprocess.run([sys.executable, "-c", _KILLED_AT, str(step), str(path)], check=False)
            found = [item.l1c.product_name for item in load_index(path).scenes if item.l1c]
            assert found == ["new", "P1"], step
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL
        assert step > 3
    assert [item["l1c"]["product_name"] for item in documents(tmp_path)] == ["new", "P1"]


def test_a_write_that_fails_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    path = index_path(tmp_path)
    with closing(Journal(tmp_path, path, "run")) as journal:
        journal.append({"a": 1})
        with pytest.raises(ValueError, match="Out of range"):
            journal.append({"a": 2}, {"a": float("nan")})
        journal.append({"a": 3})
    assert [entry.content for entry in read_pending(path).entries] == [{"a": 1}, {"a": 3}]

    def fold(pending: Pending) -> None:
        assert len(pending.entries) == 2

    compact(path, fold)
