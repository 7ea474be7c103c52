"""Products that are already on disk: linked into the dataset's layout and indexed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from s2pipe.dataset.scene_choice import SceneChoice, choice_faults
from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step1_index import (
    Asset,
    AssetGroup,
    Checksum,
    Index,
    Product,
    Scene,
    find_scenes,
    index_path,
    load_index,
)
from s2pipe.dataset.verification import Check, Verification, run_checks, verify_index
from s2pipe.errors import ConfigError, ProductError
from s2pipe.indexing.discover import (
    Found,
    PassedOver,
    Place,
    abridged,
    as_indexed,
    attempt,
    attempt_each,
    choose,
    find,
    recognise,
    refuse_all,
)
from s2pipe.indexing.links import conflict
from s2pipe.indexing.record import Linked, record_scenes
from s2pipe.indexing.remote import RemoteContainer
from s2pipe.runtime.addresses import RemoteAddress, refuse_remote_output
from s2pipe.runtime.disk import full_disk_ends
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.runtime.paths import InsidePath, check_owned, path_fault
from s2pipe.sentinel2 import roles
from s2pipe.sentinel2.safe import MANIFEST, ManifestEntry, ProductName, read_safe_manifest, role_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s2pipe.sentinel2.safe.container import SafeContainer

__all__ = ["IndexResult", "PassedOver", "index_products", "verify_index"]

_T = TypeVar("_T")
_ROLE_ORDER = {role: number for number, role in enumerate(roles.ALL_ROLES)}


@dataclass(frozen=True)
class IndexResult(InNotebooks):
    """What :func:`index_products` did."""

    index_path: Path
    """Where it is."""
    changed: bool
    """Whether something was recorded; false when the index said all this before."""
    scenes: tuple[SceneKey, ...]
    """The scenes of the products given now."""
    passed_over: tuple[PassedOver, ...]
    """What was left out: superseded duplicates, then products that cannot be used and what is none."""
    warnings: tuple[str, ...]
    """What is odd but not wrong: absent files, sizes that differ, renamed or replaced products."""
    verification: Verification | None
    """How many files were verified in which way, ``manifest.safe`` itself aside; None without ``verify``."""

    @functools.cached_property
    def index(self) -> Index:
        """The whole index as it is on disk now, read when it is asked for."""
        return load_index(self.index_path)

    @property
    def verified_files(self) -> int:
        """Number of files whose size and checksum were compared; 0 without ``verify``."""
        return 0 if self.verification is None else self.verification.by_checksum

    @property
    def unusable(self) -> tuple[PassedOver, ...]:
        """What was left out because it cannot be used."""
        return tuple(item for item in self.passed_over if not item.is_usable)


@dataclass(frozen=True)
class _Planned:
    """A product with its files and where they are to be linked."""

    found: Found
    group: AssetGroup
    links: tuple[tuple[Path, str], ...]
    warnings: tuple[str, ...]
    stated: Mapping[str, ManifestEntry]


def index_products(
    paths: Iterable[Path | str],
    out_dir: Path | str,
    *,
    verify: bool = False,
    only: SceneChoice | None = None,
) -> IndexResult:
    """Index products on disk, linking their files into a dataset.

    Parameters
    ----------
    paths : iterable of path
        SAFE directories, zip archives of them, or directories that hold such products; or, as text, addresses of SAFE
        directories or of directories of them (``s3://eodata/...``), whose files stay where they are.
    out_dir : path
        Root of the dataset; an index that is there is extended.
    verify : bool
        Check size and checksum of every file against its product's ``manifest.safe`` first.
    only : SceneChoice, optional
        Index the products of these scenes alone.

    Returns
    -------
    IndexResult
        The index and everything worth telling. What cannot be used is passed over and listed; the rest is indexed.

    Raises
    ------
    ProductError
        A path does not exist, none of them is a product that can be used, or a file in the dataset is in the way; all
        faults are listed, and nothing was written.
    MetadataError, PathEscapeError
        The only product cannot be used for its metadata, or for a path that leaves it.
    ChecksumError
        ``verify``: files differ from ``manifest.safe``; all are listed, and nothing was written.
    """
    refuse_remote_output(out_dir)
    root = Path(out_dir)
    planned, passed_over = _usable(find(paths), only)
    found, superseded = choose([plan.found for plan in planned])
    path = index_path(root)
    check_owned(root, "meta/step1")
    old = find_scenes(path, sorted({product.key for product in found}))
    plans = _beside(old, found, planned)
    checks = [check for plan in plans for check in _checks(plan)]
    verification = run_checks(checks, MANIFEST) if verify else None
    new = _scenes(plans)
    given = _with_links(new, plans, root)
    _refuse_conflicts([link for item in given for link in item.links], root)
    with full_disk_ends(root):
        recorded = record_scenes(root, given, old)
    notes = [note for plan in plans for note in (*plan.found.warnings, *plan.warnings)]
    return IndexResult(
        index_path=path,
        changed=recorded.changed,
        scenes=tuple(scene.key for scene in new),
        passed_over=(*superseded, *passed_over),
        warnings=(*notes, *recorded.replaced),
        verification=verification,
    )


def _beside(
    old: Mapping[tuple[str, str], Scene], found: list[Found], planned: list[_Planned]
) -> list[_Planned]:
    """Return the plans of the chosen products; halves are planned anew, beside those that are indexed already."""
    chosen = {plan.found.container.path: plan for plan in planned}
    return [
        chosen[product.container.path] if product.half is None else _plan(product)
        for product in as_indexed(found, old)
    ]


def _with_links(scenes: Iterable[Scene], plans: Iterable[_Planned], root: Path) -> list[Linked]:
    """Return each scene with the files that are to be linked for it, and where they go."""
    links: dict[SceneKey, list[tuple[Path, Path]]] = {scene.key: [] for scene in scenes}
    for plan in plans:
        links[plan.found.key] += [(source, InsidePath(root, target).owned()) for source, target in plan.links]
    return [Linked(scene, tuple(links[scene.key])) for scene in scenes]


def _usable(places: list[Place], only: SceneChoice | None) -> tuple[list[_Planned], list[PassedOver]]:
    """Recognise and plan the products that are wanted; return them, and what cannot be used."""
    if only is not None:
        places, only = _narrowed(places, only)
    recognised, passed_over, errors = attempt(recognise, places)
    if places and not recognised:
        refuse_all(errors)
    wanted = recognised if only is None or not places else _chosen(recognised, only, lambda found: found.key)
    planned, unplanned, more_errors = attempt_each(_plan, wanted, lambda found: found.container.path)
    if wanted and not planned:
        refuse_all([*errors, *more_errors])
    return planned, [*passed_over, *unplanned]


def _narrowed(places: list[Place], only: SceneChoice) -> tuple[list[Place], SceneChoice]:
    """Leave out products at addresses whose names tell that they are not wanted: a day of them takes hours to open.

    Returns
    -------
    (list of Place, SceneChoice)
        What is to be opened, and what is still to be chosen from it. Names on this machine tell nothing: users rename.
    """
    faults = choice_faults(only)
    if faults:
        msg = "index"
        raise ConfigError(msg, faults)
    keys = {place: key for place in places if (key := _key_at_address(place)) is not None}
    if len(keys) < len(places):
        return [place for place in places if place not in keys or only.takes(keys[place])], only
    # What their metadata say is compared too; which scenes are named, and whose share they are, is settled.
    return _chosen(places, only, keys.__getitem__), replace(only, scenes=None, shard=None)


def _key_at_address(place: Place) -> SceneKey | None:
    name = ProductName.try_parse(place.name) if isinstance(place, RemoteAddress) else None
    return None if name is None else SceneKey.of_product(name)


def _chosen(found: list[_T], only: SceneChoice, key: Callable[[_T], SceneKey]) -> list[_T]:
    """Products of the scenes that are wanted."""
    matching = only.matching(found, key, "the products that were given")
    if not matching:
        msg = f"tiles, dates and scenes leave none of the {len(found)} products that were given; change them"
        raise ProductError(msg)
    return only.share_of_scenes(matching, key)


def _plan(found: Found) -> _Planned:
    """Give each file of a product its role and its place in the dataset."""
    container, level = found.container, found.name.level
    entries = _manifest_entries(container)
    listed = entries or {}
    root_dir = found.key.files_dir(level, found.half)
    archive = f"{root_dir}/{found.name.stem}.zip"
    assets: dict[str, Asset] = {}
    links: list[tuple[Path, str]] = []
    if isinstance(container.path, Path) and container.is_zip:
        links.append((container.path.resolve(), archive))
    for product_path in sorted({*container.sizes, *listed}):
        role = role_of(product_path, level)
        if role is None:
            continue
        fault = path_fault(product_path)
        if fault is not None:
            msg = f"{container.path}: {product_path!a} {fault}, so no index can name it; restore the file's name"
            raise ProductError(msg)
        if role in assets:
            msg = (
                f"{container.path}: two files have the role {role}: {assets[role].product_path} and "
                f"{product_path}; expected one granule per product; fetch the product again"
            )
            raise ProductError(msg)
        target = archive if container.is_zip else f"{root_dir}/{product_path.rpartition('/')[2]}"
        if isinstance(container.path, RemoteAddress):
            target = str(container.path / product_path)
        assets[role] = _asset(role, target, product_path, found, listed.get(product_path))
        if assets[role].present and isinstance(container.path, Path) and not container.is_zip:
            links.append(((container.path / product_path).resolve(), target))
    items = tuple(sorted(assets.values(), key=lambda item: _ROLE_ORDER[item.role]))
    warnings = _warnings(container, items, entries)
    return _Planned(found, AssetGroup(root_dir, items), tuple(links), tuple(warnings), listed)


def _manifest_entries(container: SafeContainer) -> dict[str, ManifestEntry] | None:
    if MANIFEST not in container.sizes:
        return None
    entries = read_safe_manifest(container.read(MANIFEST), container.display(MANIFEST))
    return {entry.product_path: entry for entry in entries}


def _asset(role: str, target: str, product_path: str, found: Found, entry: ManifestEntry | None) -> Asset:
    present = product_path in found.container.sizes
    checksum = None
    if entry is not None and entry.checksum_algorithm is not None and entry.checksum_value is not None:
        checksum = Checksum(entry.checksum_algorithm, entry.checksum_value)
    return Asset(
        role=role,
        path=target,
        planned=not present,
        present=present,
        # What is on disk counts; a manifest may state the size that a file had before it was processed again.
        size=found.container.sizes.get(product_path, None if entry is None else entry.size),
        checksum=checksum,
        product_path=product_path,
        member=found.container.member(product_path),
        etag=found.container.etags.get(product_path)
        if isinstance(found.container, RemoteContainer)
        else None,
    )


def _warnings(
    container: SafeContainer, items: tuple[Asset, ...], entries: Mapping[str, ManifestEntry] | None
) -> list[str]:
    warnings = []
    if entries is None:
        warnings.append(f"{container.path}: has no {MANIFEST}: its files cannot be verified")
    absent = [item.role for item in items if not item.present]
    if absent:
        warnings.append(
            f"{container.path}: {len(absent)} file(s) of {MANIFEST} are absent: {abridged(absent)}"
        )
    for item in items:
        path = item.product_path or ""
        stated = None if entries is None or path not in entries else entries[path].size
        if item.present and stated not in (None, item.size):
            warnings.append(
                f"{container.display(path)}: has {item.size} bytes, but {MANIFEST} says {stated}; the index records "
                "what is on disk: fetch the file again unless --verify finds that it is whole"
            )
    return warnings


def _checks(plan: _Planned) -> list[Check]:
    """Checks of a product's files against its manifest, which cannot be checked itself."""
    container = plan.found.container
    checks = []
    for item in plan.group.items:
        path = item.product_path
        if path is None or not item.present or path == MANIFEST:
            continue
        stated = plan.stated[path].size if path in plan.stated else None
        compute = partial(container.hash, path)
        checks.append(Check(container.display(path), container.sizes[path], stated, item.checksum, compute))
    return checks


def _scenes(plans: list[_Planned]) -> list[Scene]:
    """Make scenes of products; the other halves of a scene go by their datastrips."""
    scenes: dict[SceneKey, dict[str | None, Scene]] = {}
    for plan in plans:
        halves = scenes.setdefault(plan.found.key, {})
        scene = halves.get(plan.found.half, Scene(plan.found.key))
        product = _product(plan.found)
        if plan.found.name.level == "L1C":
            scene = replace(scene, l1c=product, files_l1c=plan.group)
        else:
            scene = replace(scene, l2a=product, files_l2a=plan.group)
        halves[plan.found.half] = scene
    return [_whole(halves) for halves in scenes.values()]


def _whole(halves: dict[str | None, Scene]) -> Scene:
    """Make one scene of its halves; one that is given alone will be merged into the scene that has it."""
    first, *others = (halves[half] for half in sorted(halves, key=lambda half: half or ""))
    return replace(first, others=tuple(others))


def _product(found: Found) -> Product:
    info = found.info
    return Product(
        product_name=found.name.safe_name,
        baseline=found.name.baseline_code,
        rel_orbit=found.name.orbit_code,
        cloud_cover=info.cloud_cover if info else None,
        geofootprint=info.geofootprint if info else None,
        scl_percentages=info.scl_percentages if info else None,
    )


def _refuse_conflicts(links: list[tuple[Path, Path]], root: Path) -> None:
    conflicts = [text for source, target in links if (text := conflict(source, target)) is not None]
    if conflicts:
        raise ProductError(
            "\n".join(
                [
                    f"{root}: real files of this dataset are in the way of links:",
                    *(f"  {text}" for text in conflicts),
                    "remove them, or index into another directory",
                ]
            )
        )
