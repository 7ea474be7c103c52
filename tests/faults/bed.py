"""A small dataset with all steps run on it, to be damaged, and what is compared afterwards."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import json
import shutil
import tarfile
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2pipe.cli import main
from s2pipe.synthetic import ProductSpec, make_products
from tests.faults import ledger

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

STEPS = ("index", "stats", "apply", "patches", "reshard")
DONE = "done"
"""The state after all steps."""
PIXELS = (".tif", ".tar", ".jp2")
CACHE = ".dnstack"
SHARD = ".tar"
_SECRET = b"root:x:0:0:root:/root:/bin/bash\n" * 64
_OF_ONE_RUN = {"created_utc", "document_sha256", "mtime_ns"}


def make_all_products(directory: Path) -> None:
    """Two scenes: one with footprint rasters, one of an old baseline with footprints in GML."""
    for day, baseline in ((10, "05.11"), (15, "02.06")):
        spec = ProductSpec(
            side_m=1920,
            sensing_start=datetime(2025, 12, day, 10, 3, 19, tzinfo=UTC),
            baseline=baseline,
            bands=("B02", "B05"),
            l2a_resolutions=(20,),
            quality_masks=False,
        )
        make_products(directory, spec)


@dataclass(frozen=True)
class Place:
    """A directory that faults happen in, with copies of it in several states, and what lies beside it."""

    base: Path

    @property
    def place(self) -> Path:
        """What faults happen to: products, configurations and the dataset."""
        return self.base / "place"

    @property
    def root(self) -> Path:
        """The dataset."""
        return self.place / "root"

    @property
    def outside(self) -> Path:
        """What nobody is to touch, beside it."""
        return self.base / "outside"

    def keep(self, state: str) -> None:
        """Keep a copy of the place."""
        shutil.copytree(self.place, self.base / "states" / state, symlinks=True)

    def restore(self, state: str) -> None:
        """Put the place into a kept state."""
        if self.place.is_mount():
            for path in self.place.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.base / "states" / state, self.place, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(self.outside, ignore_errors=True)
        self.outside.mkdir()
        (self.outside / "secret").write_bytes(_SECRET)
        (self.outside / "empty").mkdir()

    def file(self, pattern: str, draw: random.Random) -> Path:
        """One of the files that fit a pattern."""
        return draw.choice(sorted(path for path in self.place.glob(pattern) if path.is_file()))

    def contents(self) -> dict[str, bytes]:
        """What the dataset holds, less what tells when it was made."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.is_file() and not _is_of_one_run(path, name):
                found[name] = _timeless(path)
        return found


@dataclass(frozen=True)
class Bed(Place):
    """A place for one dataset, kept after each step."""

    def arguments(self, step: str) -> tuple[object, ...]:
        """The command of a step."""
        if step == "index":
            return ("index", self.place / "products", "--out", self.root, "--quiet")
        if step == "verify":
            return ("verify", self.root, "--repair", "--quiet")
        if step == "reshard":
            source = ("--from-db", "row >= 0", "--db", self.root / "patches" / "patches.parquet")
            return ("patches", self.place / "reshard.json", *source, "--quiet")
        command = "patches" if step == "patches" else "preprocess"
        return (command, self.place / f"{step}.json", "--quiet")

    def write_configurations(self) -> None:
        """Write the configuration of every step."""
        base = {
            "index_json": str(self.root / "meta/step1/index.json"),
            "out_dir": str(self.root),
            "target_grid_ref": "B05",
            "l1c_bands": ["B05", "B02"],
            "num_workers": 2,
            "angles": {"enabled": True},
            "labels": {"enabled": True},
            "cache": {"enabled": True},
        }
        for step, mode in (("stats", "compute_only"), ("apply", "apply_with_stats")):
            normalize = {"mode": mode, "stats_path": str(self.root / "stats.json"), "save_histograms": True}
            self._write(step, {"preprocess": {**base, "normalize": normalize}})
        patches = {
            "index_json": str(self.root / "meta/step2/index.json"),
            "out_dir": str(self.root / "patches"),
            "patch_size": 16,
            "quality": {"min_valid": 0.0},
            "split": {"train": 0.5, "val": 0.0, "test": 0.5, "cell_m": 600},
            "shards": {"max_count": 4},
            "num_workers": 2,
        }
        self._write("patches", {"patches": patches})
        resharded = {"out_dir": str(self.root / "resharded"), "shards": {"max_count": 5}}
        self._write("reshard", {"patches": {**patches, **resharded}})

    def _write(self, step: str, document: Any) -> None:
        (self.place / f"{step}.json").write_text(json.dumps(document), encoding="utf-8")

    def edit_configuration(self, step: str, **changes: Any) -> None:
        """Change top-level keys of a step's configuration."""
        path = self.place / f"{step}.json"
        document = json.loads(path.read_text("utf-8"))
        for part in document.values():
            part.update(changes)
        path.write_text(json.dumps(document), encoding="utf-8")


def _is_of_one_run(path: Path, name: str) -> bool:
    is_set_aside = name.startswith("meta/step1/quarantine/")  # kept for whoever looks into it
    is_memory = path.name in (
        "verified.jsonl",
        "finished.jsonl",
        "counted.jsonl",
    )  # when files were seen as they are
    return path.name.endswith("lock") or "/runs/" in name or is_memory or is_set_aside


def _timeless(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix != ".json":
        return data
    try:
        return json.dumps(_without_times(json.loads(data)), sort_keys=True).encode()
    except ValueError:
        return data


def _without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_times(item) for key, item in value.items() if key not in _OF_ONE_RUN}
    if str(kept.get("path", "")).endswith("meta.json"):
        kept.pop("sha256", None)
    return kept


def make_bed(base: Path, archive: Callable[[Path], None] | None = None) -> Bed:
    """Make the products, and run all steps on them.

    Parameters
    ----------
    archive : callable, optional
        Told of the directory of the products, to pack them.
    """
    bed = Bed(base)
    bed.place.mkdir(parents=True)
    make_all_products(bed.place / "products")
    if archive is not None:
        archive(bed.place / "products")
    bed.write_configurations()
    bed.keep("products")
    for step in STEPS:
        code = main([str(part) for part in bed.arguments(step)])
        assert code == 0, step
        bed.keep(step)
    bed.keep(DONE)
    return bed


def tree(directory: Path) -> dict[str, str]:
    """What a directory holds: names, kinds, contents and modes."""
    found = {}
    for path in sorted(directory.rglob("*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(directory))] = f"{path.lstat().st_mode:o} {content}"
    return found


def _members(shard: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in shard:
        stream = shard.extractfile(member)
        yield member.name, b"" if stream is None else stream.read()


@dataclass
class Trial:
    """One fault, from its injection to its outcome."""

    bed: Place
    undisturbed: dict[str, bytes]
    """What the dataset holds where nothing happens."""
    fault: str
    where: str
    damaged: set[str] = field(default_factory=set)
    """Files that were damaged on purpose, relative to the root."""
    said: list[str] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)
    _outside: dict[str, str] = field(default_factory=dict)

    def start(self, state: str) -> None:
        """Bring the dataset into the state after a step."""
        self.bed.restore(state)
        self.settle()

    def settle(self) -> None:
        """Take what is outside the dataset now as what is to stay; called again once things are planted there."""
        self._outside = self._tree_outside()

    def _tree_outside(self) -> dict[str, str]:
        beside = {path.name: "" for path in self.bed.base.iterdir()}
        return {**tree(self.bed.outside), **tree(self.bed.place / "products"), **beside}

    def run(self, *steps: str) -> int:
        """Run steps in this process, up to the first that does not end with 0; return its exit code."""
        for step in steps:
            assert isinstance(self.bed, Bed)
            code = self.command(*self.bed.arguments(step))
            if code:
                return code
        return 0

    def command(self, *arguments: object) -> int:
        """Run a command in this process; return its exit code."""
        stderr, stdout = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(stdout):
            try:
                code = main([str(part) for part in arguments])
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:  # noqa: BLE001 - that none gets here is what is tested
                traceback.print_exc()
                code = -1
        self.hear(stderr.getvalue())
        self.look()
        return code

    def hear(self, text: str) -> None:
        """Note what a command said."""
        self.said.append(text)

    def look(self) -> None:
        """Look for wrong pixels: rasters and shards have their names only when they are finished."""
        for path in sorted(self.bed.root.rglob("*")):
            name = path.relative_to(self.bed.root).as_posix()
            is_watched = name.endswith(PIXELS) and name not in self.damaged
            is_own = path.is_file() and not path.is_symlink()  # links lead to products
            if is_watched and is_own and not self._is_right(name, path):
                self.wrong.add(name)

    def _is_right(self, name: str, path: Path) -> bool:
        data = path.read_bytes()
        if data == self.undisturbed.get(name):
            return True
        if not name.endswith(SHARD):
            return name not in self.undisturbed
        items = self._items()  # where a sample is missing, its patches are, and shards are packed otherwise
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as shard:
                return all(items.get(member) == content for member, content in _members(shard))
        except tarfile.TarError:
            return False

    def _items(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for name, data in self.undisturbed.items():
            if name.endswith(SHARD):
                with tarfile.open(fileobj=io.BytesIO(data)) as shard:
                    found.update(_members(shard))
        return found

    def leaked(self) -> list[str]:
        """Files of the dataset that hold what is outside."""
        return [
            str(path)
            for path in self.bed.root.rglob("*")
            if path.is_file() and not path.is_symlink() and _SECRET[:100] in path.read_bytes()
        ]

    def differences(self) -> list[str]:
        """Files that are not as undisturbed, not there, or left over; a cache may be emptied at any time."""
        now = self.bed.contents()
        now = {**{name: data for name, data in self.undisturbed.items() if name.endswith(CACHE)}, **now}
        return sorted(
            name for name in {*now, *self.undisturbed} if now.get(name) != self.undisturbed.get(name)
        )

    def _changes(self, names: list[str]) -> list[str]:
        """What differs in the documents among some files."""
        now, found = self.bed.contents(), []
        for name in names:
            texts = [files.get(name, b"").decode("utf-8", "replace") for files in (self.undisturbed, now)]
            if name.endswith(".json"):
                lines = [text.replace(", ", ",\n").splitlines() for text in texts]
                found += [name, *list(difflib.unified_diff(*lines, n=0, lineterm=""))[2:20]]
        return found

    def lost(self, names: list[str]) -> int:
        """Bytes of files that are lost or wrong."""
        return sum(len(self.undisturbed.get(name, b"")) for name in names)

    def end(self, outcome: str, *, is_whole: bool = True, unprotected: str = "") -> None:
        """Enter the fault into the table, and hold it to what is promised.

        Parameters
        ----------
        outcome : str
            One of those of the table.
        is_whole : bool
            Whether the dataset is to be as where nothing happened.
        unprotected : str
            Name of files that may have changed, since nothing tells what they should hold.
        """
        changed = self.differences() if is_whole else []
        different = [name for name in changed if Path(name).name != unprotected]
        now = self._tree_outside()
        touched = sorted(name for name in {*now, *self._outside} if now.get(name) != self._outside.get(name))
        touched += self.leaked()
        text = "\n".join(self.said)
        is_traceback = "Traceback (most recent" in text
        entry = ledger.row(self.fault, self.where)
        entry.outcomes[outcome] += 1
        entry.wrong_pixels += len(self.wrong)
        entry.bytes_lost += self.lost(different)
        entry.touched_outside += len(touched)
        entry.tracebacks += is_traceback
        story = f"{self.fault}, {self.where}, damaged {sorted(self.damaged)}; said:\n{text}"
        assert not is_traceback, story
        assert not self.wrong, f"wrong pixels in {sorted(self.wrong)}: {story}"
        assert not touched, f"touched {touched}: {story}"
        assert not different, f"not as undisturbed: {different}: {self._changes(different)}: {story}"
