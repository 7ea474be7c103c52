"""Files of products linked and their scenes recorded, a few scenes at a time, each under a lock of its own.

So any number of processes may index into one dataset at once: they wait for each other where they are at the same
scene, and while one of them writes the index file.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.dataset.headers import with_headers
from s2pipe.dataset.step1_index import IndexJournal, Scene, adding, compact_if_due, has_index, index_path
from s2pipe.dataset.step1_merge import known_half
from s2pipe.indexing.discover import LEVELS, waiting_pool
from s2pipe.indexing.links import link
from s2pipe.runtime.files import sweep
from s2pipe.runtime.locks import locked, remove_held
from s2pipe.runtime.paths import InsidePath, check_owned, is_safe_relative
from s2pipe.runtime.run_ids import new_run_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from s2pipe.dataset.scene_key import SceneKey

_AT_ONCE = 128
"""Scenes that are locked together, whose entries are one write: their locks are open files, of which 1024 are usual."""


@dataclass(frozen=True)
class Linked:
    """A scene and the files that stand for its products."""

    scene: Scene
    """The scene, as its products say."""
    links: tuple[tuple[Path, Path], ...]
    """Files of its products, and where each is linked."""


@dataclass(frozen=True)
class Recorded:
    """What was recorded."""

    changed: bool
    """Whether the index did not say all of it before."""
    replaced: tuple[str, ...]
    """Products that others replaced, in words."""


def record_scenes(root: Path, given: Iterable[Linked], old: Mapping[tuple[str, str], Scene]) -> Recorded:
    """Link the files of scenes, and add the scenes to the index.

    Parameters
    ----------
    root : Path
        Root of the dataset.
    given : iterable of Linked
        The scenes, each once.
    old : mapping
        What the index says of them, by identity.

    Returns
    -------
    Recorded
        What became of them.
    """
    path = index_path(root)
    check_owned(root, "meta/step1/locks")
    # All processes lock in this order, so that no two wait for each other.
    scenes = sorted(given, key=lambda item: item.scene.key.compact)
    changed, replaced = False, []
    with (
        closing(IndexJournal(root, path, new_run_id())) as journal,
        waiting_pool(asset.path for item in scenes for asset in item.scene.assets) as pool,
    ):
        for start in range(0, len(scenes), _AT_ONCE):
            batch = scenes[start : start + _AT_ONCE]
            with _locked_scenes(root, [item.scene.key for item in batch]):
                moved = {item.scene.key for item in batch if _link_all(item.links)}
                headed = list(pool.map(lambda item: with_headers(item.scene, root), batch))
                new = {scene.key for scene in adding(headed, old, root)}
                # Another process may have recorded other products meanwhile, whose links are replaced now.
                entries = [scene for scene in headed if scene.key in moved or scene.key in new]
                if entries:
                    journal.add(entries)
                replaced += [note for scene in headed for note in _drop_replaced(old, scene, root)]
            changed = changed or bool(new)
        if not has_index(path):
            journal.add([])
    compact_if_due(path)
    return Recorded(changed, tuple(replaced))


@contextmanager
def _locked_scenes(root: Path, keys: Sequence[SceneKey]) -> Iterator[None]:
    """Hold scenes, as downloads of them do; their locks are removed afterwards."""
    with ExitStack() as stack:
        for key in keys:
            path = root / "meta/step1/locks" / f"{key.compact}.lock"
            stack.enter_context(locked(path))
            stack.callback(remove_held, path)
        yield


def _link_all(links: Iterable[tuple[Path, Path]]) -> bool:
    """Link files; tell whether any link was made or changed."""
    is_new = False
    for source, target in links:
        sweep(target)
        is_new = link(source, target) or is_new
    return is_new


def _drop_replaced(old: Mapping[tuple[str, str], Scene], scene: Scene, root: Path) -> list[str]:
    """Remove the links of a scene's products that others replaced, and say so; real files stay."""
    notes = []
    before = old.get(scene.key.identity)
    if before is not None and known_half(before, scene) is not None:
        return []
    for level in LEVELS if before is not None else ():
        was, now = (getattr(s, level.lower()) for s in (before, scene))
        if was is None or now is None or was.product_name == now.product_name:
            continue
        notes.append(f"{scene.key}: {now.product_name} replaces {was.product_name}")
        groups = [getattr(s, f"files_{level.lower()}") for s in (before, scene)]
        was_there, is_there = ({item.path for item in group.items} if group else set() for group in groups)
        for path in was_there - is_there:
            if is_safe_relative(path) and path.startswith(f"{scene.key.files_dir(level)}/"):
                link_to_old = InsidePath(root, path)
                if link_to_old.owned().is_symlink():
                    link_to_old.unlink()
    return notes
