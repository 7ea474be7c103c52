"""Finding products on disk: what the given paths hold, what each product is, and which of several counts."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import AuthError, ProductError, S2PipeError, UntrustedServerError
from s2pipe.indexing.halves import are_halves, cover, strip_start
from s2pipe.indexing.remote import open_remote, place_of, products_at
from s2pipe.runtime.addresses import RemoteAddress
from s2pipe.runtime.paths import seen_from
from s2pipe.sentinel2.safe import (
    THIRD_PARTY_BASELINE,
    Level,
    ProductInfo,
    ProductName,
    product_metadata_name,
    read_product_info,
)
from s2pipe.sentinel2.safe.container import MARKERS, SafeContainer, is_product_directory, open_container

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from s2pipe.dataset.step1_index import Scene

LEVELS: tuple[Level, ...] = ("L1C", "L2A")
"""Processing levels in the order in which they are indexed."""


@dataclass(frozen=True)
class PassedOver:
    """Something found on disk that did not enter the index."""

    path: Path | RemoteAddress
    """The product, or what is none."""
    reason: str
    """Why it was left out."""
    is_usable: bool = False
    """Whether it could have been indexed: another product of the same scene is preferred."""


@dataclass(frozen=True)
class Found:
    """A product that was recognised."""

    container: SafeContainer
    """Its files."""
    name: ProductName
    """Its name: that of its metadata where there is any, since users rename directories."""
    info: ProductInfo | None
    """Its metadata; None when it has none."""
    warnings: tuple[str, ...]
    """What is odd about it."""
    half: str | None = None
    """Start of its datastrip where it is the other half of an acquisition that was cut in two."""

    @property
    def key(self) -> SceneKey:
        """Key of the scene that the product belongs to."""
        return SceneKey.of_product(self.name)


_In = TypeVar("_In")
_Out = TypeVar("_Out")
Place = Path | RemoteAddress
"""Where a product is."""
_CONNECTIONS = 8
_PRODUCT_NAME = re.compile(r"S[1-9][A-DP_]_[A-Z]")
"""How the names of products of the Sentinel missions begin."""
_ARCHIVES = (".tar", ".tgz", ".gz", ".7z", ".rar")
"""Archives that cannot be read where they are."""


def attempt(
    step: Callable[[Place], _Out], paths: Sequence[Place]
) -> tuple[list[_Out], list[PassedOver], list[S2PipeError]]:
    """Apply a step to every path; what fails is passed over, and the others go on.

    Returns
    -------
    (list, list of PassedOver, list of S2PipeError)
        Results of those that did not fail, and the others with their errors.
    """
    return attempt_each(step, paths, lambda path: path)


def waiting_pool(paths: Iterable[str]) -> ThreadPoolExecutor:
    """Return threads that wait for a network side by side; one where all paths are on this machine."""
    return ThreadPoolExecutor(_CONNECTIONS if any("://" in path for path in paths) else 1)


def attempt_each(
    step: Callable[[_In], _Out], items: Iterable[_In], path_of: Callable[[_In], Place]
) -> tuple[list[_Out], list[PassedOver], list[S2PipeError]]:
    """Apply a step to every item as :func:`attempt` does, which ``path_of`` gives a path."""
    results: list[_Out] = []
    passed_over: list[PassedOver] = []
    errors: list[S2PipeError] = []
    given = list(items)
    # Products on a network are waited for side by side; each takes a few requests.
    with waiting_pool(str(path_of(item)) for item in given) as pool:
        pending = [pool.submit(step, item) for item in given]
    for item, future in zip(given, pending, strict=True):
        try:
            results.append(future.result())
        except (AuthError, UntrustedServerError):
            raise  # no other product could be read either
        except (S2PipeError, OSError) as error:
            path = path_of(item)
            known = (
                error if isinstance(error, S2PipeError) else ProductError(f"{path}: cannot be read: {error}")
            )
            errors.append(known)
            passed_over.append(PassedOver(path, str(known)))
    return results, passed_over, errors


def refuse_all(errors: Sequence[S2PipeError]) -> NoReturn:
    """Raise all errors as one; a single one as it is.

    Raises
    ------
    S2PipeError
        Always.
    """
    if len(errors) == 1:
        raise errors[0]
    raise ProductError("\n".join(map(str, errors)))


def find(paths: Iterable[Path | str]) -> list[Place]:
    """Return what the paths name: products, each once, and what looks like one in directories of them.

    Raises
    ------
    ProductError
        No path is given, or paths do not exist: all of them are listed.
    """
    products: dict[str, Place] = {}
    missing: list[S2PipeError] = []
    for given in paths:
        address = place_of(given)
        if address is not None:
            products.update((str(product), product) for product in products_at(address))
            continue
        path = Path(given)
        try:
            for product in _look(path):
                products.setdefault(os.path.realpath(product), product)  # resolve() fails on loops of links
        except (FileNotFoundError, ValueError):  # ValueError: a NUL in the name
            missing.append(
                ProductError(f"{path}: no such file or directory{seen_from(path)}; check the path")
            )
        except OSError:
            products.setdefault(str(path), path)  # opening it will say what is wrong
    if missing:
        refuse_all(missing)
    if not products:
        msg = "no product was named: expected at least one SAFE directory, zip archive or directory"
        raise ProductError(msg)
    return list(products.values())


def _look(path: Path) -> list[Path]:
    """Products that a path names; the path itself when it holds none."""
    if path.name in MARKERS and path.is_file():
        path = path.parent
    if not path.is_dir():
        path.stat()
        return [path]
    if is_product_directory(path) or _looks_like_product(path.name):
        return [path]
    return [child for child in sorted(path.iterdir()) if _is_candidate(child)] or [path]


def _looks_like_product(name: str) -> bool:
    return name.lower().endswith(".safe") or _PRODUCT_NAME.match(name) is not None


def _is_candidate(path: Path) -> bool:
    """Tell whether something in a directory is a product, or looks so much like one that its absence must be said."""
    suffix = path.suffix.lower()
    if suffix in (".safe", ".zip"):
        return True
    try:
        if not path.is_dir():
            return suffix in _ARCHIVES and _looks_like_product(path.name)
        return _looks_like_product(path.name) or is_product_directory(path)
    except OSError:
        return True  # a directory that cannot be read may be one


def abridged(names: Iterable[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return (", ".join(listed[:3]) + more) or "nothing"


def recognise(path: Place) -> Found:
    """Open a product and establish its name: the metadata's, since users rename directories."""
    container = open_remote(path) if isinstance(path, RemoteAddress) else open_container(path)
    levels = [level for level in LEVELS if product_metadata_name(level) in container.sizes]
    if len(levels) > 1:
        msg = f"{path}: holds the metadata of an L1C and of an L2A product; separate the two"
        raise ProductError(msg)
    info: ProductInfo | None = None
    if levels:
        metadata = product_metadata_name(levels[0])
        info = read_product_info(container.read(metadata), container.display(metadata))
    stated = ProductName.try_parse((info.product_uri or "") if info else "")
    named = ProductName.try_parse(container.name) or ProductName.try_parse(path.name)
    name = stated or named
    if name is None:
        msg = (
            f"{path}: the product cannot be identified: expected a name such as "
            "S2A_MSIL1C_20251210T100319_N0511_R122_T33UWQ_20251212T162649.SAFE, or one as PRODUCT_URI in "
            f"its metadata, got {repr(info.product_uri) if info else 'no metadata'}; restore the name"
        )
        raise ProductError(msg)
    if info is not None and info.level != name.level:
        msg = f"{path}: is named as {name.level}, but its metadata is that of {info.level}"
        raise ProductError(msg)
    warnings = []
    if info is None:
        warnings.append(f"{path}: has no product metadata; identified by its name")
    elif named is not None and named != name:
        warnings.append(f"{path}: was renamed; its metadata says {name}")
    return Found(container, name, info, tuple(warnings))


def choose(found: list[Found]) -> tuple[list[Found], list[PassedOver]]:
    """Return the newest product of each scene and level, in the order of scenes, and the others.

    Of an acquisition that was cut into several datastrips, all halves are chosen: the larger is the scene's product,
    and the others are marked as its halves.
    """

    def place(product: Found) -> tuple[SceneKey, str]:
        return product.key, product.name.level

    chosen: list[Found] = []
    passed_over: list[PassedOver] = []
    for _, of_scene in groupby(sorted(found, key=place), key=lambda product: product.key):
        levels: list[list[Found]] = []
        for _, group in groupby(of_scene, key=lambda product: product.name.level):
            halves, others = _versions(list(group))
            levels.append(halves)
            passed_over += others
        largest = max(levels[0], key=lambda product: (cover(product.info), product.name.age_key))
        is_cut = max(map(len, levels)) > 1
        for halves in levels:
            chosen += _marked(halves, strip_start(largest.info)) if is_cut else halves
    return chosen, passed_over


def _versions(products: list[Found]) -> tuple[list[Found], list[PassedOver]]:
    """Return the newest product of each half of a scene's level, and the others."""
    halves: list[Found] = []
    passed_over = []
    # Of two copies of one product the directory is read faster than the archive.
    for product in sorted(products, key=lambda p: (*p.name.age_key, not p.container.is_zip), reverse=True):
        better = next((half for half in halves if not are_halves(product.info, half.info)), None)
        if better is None:
            halves.append(product)
        else:
            reason = _why_not(product, better)
            passed_over.append(PassedOver(product.container.path, reason, is_usable=True))
    return halves, passed_over


def _marked(halves: list[Found], strip: str | None) -> list[Found]:
    """Mark all products but that of one datastrip as halves."""
    starts = [strip_start(product.info) for product in halves]
    return [
        product if start in (strip, None) else replace(product, half=start)
        for product, start in zip(halves, starts, strict=True)
    ]


def as_indexed(found: list[Found], known: Mapping[tuple[str, str], Scene]) -> list[Found]:
    """Mark a half that is given alone as such if the index has it as one already."""
    cut = {product.key for product in found if product.half is not None}

    def marked(product: Found) -> Found:
        scene = known.get(product.key.identity)
        others = () if scene is None or product.key in cut else scene.others
        names = {item.product_name for other in others for item in (other.l1c, other.l2a) if item is not None}
        is_half = product.name.safe_name in names
        return replace(product, half=strip_start(product.info)) if is_half else product

    return list(map(marked, found))


def _why_not(other: Found, best: Found) -> str:
    if other.name == best.name:
        return f"is the same product as {best.container.path}"
    if other.name.baseline == THIRD_PARTY_BASELINE:
        return f"is a third party's product (N9999); {best.name} is preferred"
    reason = f"is superseded by {best.name}"
    strips = [strip_start(product.info) for product in (other, best)]
    if None not in strips and strips[0] != strips[1]:
        reason += "; it comes from another datastrip, so the two may cover different parts of the tile"
    return reason
