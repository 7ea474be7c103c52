"""Finding products on disk: what the given paths hold, what each product is, and which of several counts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import PathEscapeError, ProductError, S2PipeError
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
    from collections.abc import Callable, Iterable, Sequence

LEVELS: tuple[Level, ...] = ("L1C", "L2A")
"""Processing levels in the order in which they are indexed."""


@dataclass(frozen=True)
class PassedOver:
    """Something found on disk that did not enter the index."""

    path: Path
    """The product, or the directory that is none."""
    reason: str
    """Why it was left out."""


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

    @property
    def key(self) -> SceneKey:
        """Key of the scene that the product belongs to."""
        return SceneKey.of_product(self.name)


_In = TypeVar("_In")
_Out = TypeVar("_Out")


def collect(step: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
    """Apply a step to every item; if any fail, raise all their errors as one."""
    results: list[_Out] = []
    errors: list[S2PipeError] = []
    for item in items:
        try:
            results.append(step(item))
        except S2PipeError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ProductError("\n".join(str(error) for error in errors))
    return results


def find(paths: Iterable[Path | str]) -> tuple[list[Path], list[PassedOver]]:
    """Return the products that the paths name, each once, and what else their directories hold."""
    products: dict[Path, Path] = {}
    passed_over: list[PassedOver] = []

    def look(path: Path) -> None:
        if path.name in MARKERS and path.is_file():
            path = path.parent
        if not path.exists():
            msg = f"{path}: no such file or directory; check the path"
            raise ProductError(msg)
        inside = [] if not path.is_dir() or is_product_directory(path) else _look_inside(path, passed_over)
        for product in inside or [path]:
            products.setdefault(product.resolve(), product)

    collect(look, [Path(path) for path in paths])
    if not products:
        msg = "no product was named: expected at least one SAFE directory, zip archive or directory"
        raise ProductError(msg)
    return list(products.values()), passed_over


def _look_inside(directory: Path, passed_over: list[PassedOver]) -> list[Path]:
    """Products of a directory; what looks like a product and is none is added to ``passed_over``."""
    children = sorted(directory.iterdir())
    found: list[Path] = []
    for child in children:
        if child.suffix.lower() not in (".safe", ".zip") and not is_product_directory(child):
            continue
        try:
            open_container(child)
        except (ProductError, PathEscapeError) as error:
            passed_over.append(PassedOver(child, str(error)))
        else:
            found.append(child)
    if not found:
        msg = (
            f"{directory}: holds no product: expected SAFE directories or zip archives of them, got "
            f"{abridged(child.name for child in children)}; check the path, it is searched one level deep"
        )
        raise ProductError(msg)
    return found


def abridged(names: Iterable[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return (", ".join(listed[:3]) + more) or "nothing"


def recognise(path: Path) -> Found:
    """Open a product and establish its name: the metadata's, since users rename directories."""
    container = open_container(path)
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
    """Return the newest product of each scene and level, in the order of scenes, and the others."""

    def place(product: Found) -> tuple[SceneKey, str]:
        return product.key, product.name.level

    chosen: list[Found] = []
    passed_over: list[PassedOver] = []
    for _, group in groupby(sorted(found, key=place), key=place):
        # Of two copies of one product the directory is read faster than the archive.
        *others, best = sorted(group, key=lambda p: (*p.name.age_key, not p.container.is_zip))
        chosen.append(best)
        passed_over += [PassedOver(other.container.path, _why_not(other, best)) for other in others]
    return chosen, passed_over


def _why_not(other: Found, best: Found) -> str:
    if other.name == best.name:
        return f"is the same product as {best.container.path}"
    if other.name.baseline == THIRD_PARTY_BASELINE:
        return f"is a third party's product (N9999); {best.name} is preferred"
    reason = f"is superseded by {best.name}"
    strips = [_strip_start(product.info) for product in (other, best)]
    if None not in strips and strips[0] != strips[1]:
        reason += "; it comes from another datastrip, so the two may cover different parts of the tile"
    return reason


def _strip_start(info: ProductInfo | None) -> str | None:
    """``S20251210T100316`` of a datastrip's identifier."""
    parts = (info.datastrip_id or "").split("_") if info else []
    return next((part for part in parts if len(part) == 16 and part.startswith("S")), None)
