"""Scenes to files: which file of which product goes where, what is there already, what is to be fetched."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.dataset.assets import Asset, AssetGroup
from s2pipe.dataset.input_file import InputFile
from s2pipe.dataset.step1_index import Index, Scene
from s2pipe.download.files.entries import agree, asset_of, product_of
from s2pipe.download.files.fetch import FetchTask, disk_error
from s2pipe.download.files.linked import linked, manifest_in_storage
from s2pipe.download.files.nodes import (
    MANIFEST,
    MAX_FILE_BYTES,
    MAX_MANIFEST_BYTES,
    RemoteFile,
    listed_files,
    node_url,
    walk,
)
from s2pipe.download.search.select import Pair
from s2pipe.errors import (
    AuthError,
    DiskFullError,
    MetadataError,
    PathEscapeError,
    ProductError,
    S2PipeError,
    ServiceError,
    UntrustedServerError,
)
from s2pipe.runtime.files import sweep_directory, write_bytes_atomic
from s2pipe.runtime.locks import locked
from s2pipe.runtime.paths import InsidePath
from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.safe import role_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.download.cfg import PipelineConfig
    from s2pipe.download.search.catalogue import Hit
    from s2pipe.download.service.transport import Transport

log = logging.getLogger("s2pipe.download")

_ORDER = {role: number for number, role in enumerate(roles.ALL_ROLES)}


@dataclass(frozen=True)
class SceneDownload:
    """What one scene needs."""

    pair: Pair
    """Its products."""
    scene: Scene
    """Its index entry as it is now: files that are there are present, the others planned."""
    tasks: dict[str, FetchTask] = field(default_factory=dict)
    """Files to fetch, by role."""
    ready: dict[str, Path] = field(default_factory=dict)
    """Files of which a copy is here already (manifest.safe), by role."""
    parts: frozenset[Path] = frozenset()
    """Names that unfinished files of the products may have: those that a later run can resume."""
    warnings: tuple[str, ...] = ()
    """Roles that the products lack."""
    error: str | None = None
    """Why the scene cannot be fetched; None when it can."""
    estimated: int | None = None
    """Bytes of whole products whose single files are not known (dry runs); None when all are."""

    @property
    def key(self) -> SceneKey:
        """Tile and sensing start."""
        return self.pair.key

    @property
    def bytes_missing(self) -> int:
        """Bytes to fetch, as far as sizes are known."""
        return (self.estimated or 0) + sum(task.size or 0 for task in self.tasks.values())

    @property
    def bytes_total(self) -> int:
        """Bytes of all its files, as far as sizes are known."""
        return (self.estimated or 0) + sum(asset.size or 0 for asset in self.scene.assets)


@dataclass(frozen=True)
class _Files:
    """The files of one product."""

    files: list[RemoteFile] | None
    """None when only the size of the whole product is known."""
    manifest: Path | None
    """Kept copy of manifest.safe; None when there is none."""


class Planner:
    """Plans scenes, several at a time.

    Parameters
    ----------
    config : PipelineConfig
        Selection and way of finding files out.
    transport : Transport
        The service.
    root : Path
        Root of the dataset.
    index : Index or None
        What the dataset holds already.
    """

    def __init__(self, config: PipelineConfig, transport: Transport, root: Path, index: Index | None) -> None:
        self._config = config
        self._transport = transport
        self._host = transport.endpoints.download
        self._root = root
        self._index = index
        self._products_lock = root / "meta/step1/locks/products.lock"
        self._fetched: set[str] = set()
        """Products whose manifest.safe this run has fetched."""

    def sweep(self) -> None:
        """Remove what killed runs left among the kept manifests."""
        directory = self._root / "meta/step1/products"
        if directory.is_dir():
            with locked(self._products_lock):
                sweep_directory(directory)

    def needs_login(self, pair: Pair) -> bool:
        """Tell whether planning a scene asks the download host, and so needs a token."""
        if self._config.download.dry_run or self._config.download.link:
            return False
        if self._config.nodes_index.mode == "walk" or not self._config.nodes_index.cache:
            return True
        if self._config.download.overwrite:
            return True
        return any(hit and not self._manifest_path(hit).exists() for hit in (pair.l1c, pair.l2a))

    def plan(self, pair: Pair) -> SceneDownload:
        """Plan one scene; an error of its products is recorded in the plan.

        Raises
        ------
        AuthError, DiskFullError
            Nothing more can be fetched.
        """
        bare = Scene(
            pair.key, product_of(pair.l1c, pair.halves), None if pair.l2a is None else product_of(pair.l2a)
        )
        try:
            plan = self._plan(pair, bare)
            if self._config.download.link:
                scene = linked(plan.scene, pair, is_whole=not plan.estimated)
                plan = replace(plan, scene=scene, tasks={}, ready={})
            return plan
        except (AuthError, DiskFullError):
            raise
        except S2PipeError as error:
            return SceneDownload(pair, bare, error=str(error))

    def renewed(self, plan: SceneDownload, role: str) -> SceneDownload | None:
        """Fetch the kept manifest.safe of a product again, since a file is not what it states.

        Parameters
        ----------
        plan : SceneDownload
            The scene.
        role : str
            Role of the file.

        Returns
        -------
        SceneDownload or None
            The plan with what the new manifest states of the files that are not here yet; None when the manifest was
            fetched by this run, or cannot be fetched.
        """
        hit = plan.pair.l1c if role.startswith("l1c.") else plan.pair.l2a
        mode = self._config.nodes_index.mode
        if hit is None or mode == "walk" or hit.name.stem in self._fetched:
            return None
        log.warning(
            "%s: is not what the kept manifest.safe states; fetching that again", plan.tasks[role].what
        )
        try:
            found = self._fetched_manifest(hit)
        except UntrustedServerError:
            raise
        except (ServiceError, MetadataError, ProductError) as error:
            log.warning("%s", error)
            return None
        stated = {role_of(file.path, hit.name.level): file for file in found.files or ()}
        tasks, scene = dict(plan.tasks), plan.scene

        def as_stated(asset: Asset) -> Asset:
            file = stated.get(asset.role)
            if file is None or asset.role not in tasks:
                return asset
            new = asset_of(asset.role, file, hit.files_dir)
            tasks[new.role] = self._task(hit, new)
            return new

        group = scene.files_l1c if hit.name.level == "L1C" else scene.files_l2a
        assert group is not None  # the role is one of its files
        group = replace(group, items=tuple(map(as_stated, group.items)))
        scene = (
            replace(scene, files_l1c=group) if hit.name.level == "L1C" else replace(scene, files_l2a=group)
        )
        return replace(plan, scene=scene, tasks=tasks)

    def _plan(self, pair: Pair, bare: Scene) -> SceneDownload:
        tasks: dict[str, FetchTask] = {}
        ready: dict[str, Path] = {}
        warnings: list[str] = []
        parts: set[Path] = set()
        estimated, scene = 0, bare
        selection = self._config.selection
        for hit, wanted in ((pair.l1c, selection.roles_l1c()), (pair.l2a, selection.roles_l2a())):
            if hit is None:
                continue
            found = self._files(hit)
            if found.files is None:
                estimated += hit.size
                continue
            try:
                group = self._group(hit, wanted, found, warnings)
            except ProductError as error:
                if not self._is_kept(hit, found):
                    raise
                log.warning("%s; fetching its manifest.safe again", error)
                found = self._fetched_manifest(hit)
                group = self._group(hit, wanted, found, warnings)
            parts |= self._parts(hit, found)
            for asset in group.items:
                if asset.present:
                    continue
                if found.manifest is not None and asset.product_path == MANIFEST:
                    ready[asset.role] = found.manifest
                tasks[asset.role] = self._task(hit, asset)
            if hit.name.level == "L1C":
                scene = replace(scene, files_l1c=group)
            else:
                scene = replace(scene, files_l2a=group)
        return SceneDownload(
            pair, scene, tasks, ready, frozenset(parts), tuple(warnings), None, estimated or None
        )

    def _parts(self, hit: Hit, found: _Files) -> set[Path]:
        """Unfinished files that the product may have, of whatever selection."""
        root_dir = hit.files_dir
        roles_of = ((role_of(file.path, hit.name.level), file) for file in found.files or ())
        return {
            self._task(hit, asset_of(role, file, root_dir)).part
            for role, file in roles_of
            if role is not None
        }

    def _group(self, hit: Hit, wanted: Sequence[str], found: _Files, warnings: list[str]) -> AssetGroup:
        root_dir = hit.files_dir
        assets = {}
        for file in found.files or ():
            role = role_of(file.path, hit.name.level)
            if role is None or role not in wanted:
                continue
            if role in assets:
                msg = f"{hit.name}: two files have the role {role}; the product is damaged"
                raise ProductError(msg)
            assets[role] = self._as_it_is(hit, asset_of(role, file, root_dir))
        missing = [role for role in wanted if role not in assets]
        fatal = [role for role in missing if role not in roles.MASKS]
        if fatal:
            msg = f"{hit.name}: has no file for {', '.join(fatal)}; select other files or products"
            raise ProductError(msg)
        if missing:
            warnings.append(f"{hit.name}: has no {', '.join(missing)}, as products of its baseline")
        return AssetGroup(root_dir, tuple(sorted(assets.values(), key=lambda asset: _ORDER[asset.role])))

    def _as_it_is(self, hit: Hit, asset: Asset) -> Asset:
        """Mark an asset as present when the dataset holds it: as the index says, or as its checksum does."""
        if self._config.download.overwrite:
            return asset
        known = self._known(hit, asset.role)
        if known is not None and agree(known, asset) and self._is_intact(known):
            checksum = asset.checksum or known.checksum
            return replace(
                known, planned=False, present=True, checksum=checksum, size=asset.size or known.size
            )
        if asset.checksum is not None and self._task(hit, asset).is_at_target():
            return replace(asset, planned=False, present=True)
        return asset

    def _known(self, hit: Hit, role: str) -> Asset | None:
        scene = self._index.scene(hit.key) if self._index is not None else None
        for part in () if scene is None else scene.parts:
            product, group = (
                (part.l1c, part.files_l1c) if hit.name.level == "L1C" else (part.l2a, part.files_l2a)
            )
            if product is None or group is None or product.product_name != hit.name.safe_name:
                continue
            asset = group.asset(role)
            return asset if asset is not None and asset.present else None
        return None

    def _is_intact(self, known: Asset) -> bool:
        """A file that the index calls present must still be there with its size."""
        try:
            if not InputFile.of(known, self._root).is_available():
                return False
            if known.member is not None or known.size is None:
                return True
            return InputFile.of(known, self._root).path.stat().st_size == known.size
        except (OSError, PathEscapeError):
            return False

    def _task(self, hit: Hit, asset: Asset) -> FetchTask:
        path = asset.product_path or ""
        return FetchTask(
            what=f"{hit.name}: {path.rpartition('/')[2]}",
            url=node_url(self._host, hit.product_id, hit.name.safe_name, path),
            target=InsidePath(self._root, asset.path).owned(),
            quarantine=InsidePath(
                self._root, f"meta/step1/quarantine/{hit.name.stem}/{path.rpartition('/')[2]}"
            ).owned(),
            size=asset.size,
            checksum=asset.checksum,
            limit=hit.size or MAX_FILE_BYTES,
        )

    def _files(self, hit: Hit) -> _Files:
        """The files of a product: from manifest.safe, kept or fetched, else by walking its directories."""
        mode = self._config.nodes_index.mode
        is_link = self._config.download.link
        is_dry = self._config.download.dry_run or is_link
        if mode != "walk":
            kept = self._kept_manifest(hit)
            if kept is not None:
                return kept
            if is_link and (data := manifest_in_storage(hit)) is not None:
                return _Files(listed_files(data, f"{hit.name}: {MANIFEST}"), None)
            if not is_dry:
                try:
                    return self._fetched_manifest(hit)
                except UntrustedServerError:
                    raise
                except (ServiceError, MetadataError, ProductError) as error:
                    if mode == "manifest":
                        raise
                    log.warning("%s; listing the product's directories instead", error)
        try:
            if mode == "manifest":
                return _Files(None, None)
            # Listings are open to all, and so need no token in a dry run.
            get_json = partial(self._transport.get_json, with_token=not is_dry)
            return _Files(walk(get_json, self._host, hit.product_id, hit.name.safe_name), None)
        except UntrustedServerError:
            raise
        except (ServiceError, AuthError) as error:
            if not is_dry:
                raise
            log.warning("%s; its size is that of the whole product", error)
            return _Files(None, None)

    def _manifest_path(self, hit: Hit) -> Path:
        return self._root / "meta/step1/products" / f"{hit.name.stem}.manifest.safe"

    def _kept_manifest(self, hit: Hit) -> _Files | None:
        if not self._config.nodes_index.cache or self._config.download.overwrite:
            return None
        path = self._manifest_path(hit)
        try:
            return _Files(listed_files(path.read_bytes(), f"{hit.name}: {MANIFEST}"), path)
        except (OSError, S2PipeError):
            return None

    def _is_kept(self, hit: Hit, found: _Files) -> bool:
        """Tell whether a list of files is of a manifest.safe that an earlier run kept, and a fresh one can be had."""
        is_fresh = found.manifest is None or hit.name.stem in self._fetched
        return not (is_fresh or self._config.download.dry_run)

    def _fetched_manifest(self, hit: Hit) -> _Files:
        what = f"{hit.name}: {MANIFEST}"
        url = node_url(self._host, hit.product_id, hit.name.safe_name, MANIFEST)
        data = self._transport.get_bytes(url, what, MAX_MANIFEST_BYTES)
        files = listed_files(data, f"{hit.name}: {MANIFEST}")
        self._fetched.add(hit.name.stem)
        if not self._config.nodes_index.cache:
            return _Files(files, None)
        path = self._manifest_path(hit)
        try:
            with locked(self._products_lock):
                write_bytes_atomic(path, data)
        except OSError as error:
            raise disk_error(path, error) from error
        return _Files(files, path)
