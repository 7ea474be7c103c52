"""``--verify``: every file that the index calls present, against its recorded size and checksum."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from s2pipe.dataset.step1_index import Index, Scene, rewrite_index
from s2pipe.dataset.verification import Verification, check_asset
from s2pipe.errors import PathEscapeError
from s2pipe.runtime.cores import core_count
from s2pipe.runtime.paths import InsidePath
from s2pipe.sentinel2.bands import Level

if TYPE_CHECKING:
    from pathlib import Path

    from s2pipe.dataset.assets import Asset, AssetGroup
    from s2pipe.dataset.scene_key import SceneKey

log = logging.getLogger("s2pipe.download")


def recheck(index: Index, path: Path, root: Path, *, is_dry: bool) -> tuple[Index, list[str]]:
    """Check the files of a dataset; set damaged ones aside, so that they are fetched anew.

    Parameters
    ----------
    index : Index
        What the dataset holds.
    path : Path
        Where its index lies; it no longer calls damaged files present afterwards.
    root : Path
        Root of the dataset.
    is_dry : bool
        Report only, and change nothing.

    Returns
    -------
    tuple of Index and list of str
        The index as it is now, and the paths of damaged or absent files.
    """
    present = [(scene.key, asset) for scene in index.scenes for asset in scene.assets if asset.present]
    # Hashing releases the GIL, so threads suffice.
    with ThreadPoolExecutor(core_count()) as pool:
        findings = list(pool.map(lambda item: check_asset(item[1], index), present))
    damaged: dict[tuple[SceneKey, str], str] = {}
    for (key, asset), finding in zip(present, findings, strict=True):
        if finding.fault is not None:
            log.warning("damaged: %s", finding.fault)
            damaged[key, asset.path] = asset.role
            if not is_dry:
                set_aside(asset, root, key)
    intact = Verification.of(finding for finding in findings if finding.fault is None)
    log.info("%s; %d damaged or absent", intact, len(damaged))
    if damaged and is_dry:
        index = without(index, set(damaged))
    elif damaged:
        index = rewrite_index(path, lambda now: without(now, set(damaged)))
    return index, [path for _, path in damaged]


def set_aside(asset: Asset, root: Path, key: SceneKey) -> None:
    """Move a damaged file to quarantine; links, archives and files outside ``raw/`` are the user's own and stay."""
    try:
        file = InsidePath(root, asset.path)
        source = file.owned()
        target = InsidePath(root, f"meta/step1/quarantine/{key.compact}/{source.name}").owned()
    except PathEscapeError as error:
        log.warning("%s", error)
        return
    scene_dirs = (key.files_dir(level).removesuffix("files") for level in get_args(Level))
    is_fetched = file.relative.startswith(tuple(scene_dirs))
    if not is_fetched or asset.member is not None or source.is_symlink() or not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    log.warning("%s was moved to %s", source, target)


def without(index: Index, damaged: set[tuple[SceneKey, str]]) -> Index:
    """Return an index that no longer calls files present, given by scene and path."""

    def cleaned(scene: Scene, group: AssetGroup | None) -> AssetGroup | None:
        if group is None:
            return None
        items = (
            replace(item, present=False, planned=True) if (scene.key, item.path) in damaged else item
            for item in group.items
        )
        return replace(group, items=tuple(items))

    def with_files(scene: Scene) -> Scene:
        return replace(
            scene,
            files_l1c=cleaned(scene, scene.files_l1c),
            files_l2a=cleaned(scene, scene.files_l2a),
            others=tuple(map(with_files, scene.others)),
        )

    return replace(index, scenes=tuple(map(with_files, index.scenes)))
