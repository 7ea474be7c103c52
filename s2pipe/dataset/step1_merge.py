"""Two accounts of one Step-1 dataset made one: scenes, products and files that were recorded at different times."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from s2pipe.dataset.assets import PRODUCT_KEYS, Asset, AssetGroup, Product
from s2pipe.dataset.input_file import InputFile
from s2pipe.dataset.scenes import Scene
from s2pipe.errors import PathEscapeError

if TYPE_CHECKING:
    from pathlib import Path

_Level = tuple[Product | None, AssetGroup | None]


def merge_scene(old: Scene, new: Scene, root: Path) -> Scene:
    """Add the products and files of ``new`` to ``old``, the same scene as it was known before.

    Per level: a product of another name replaces the old one with all its files; the same product gains new roles, and
    what ``new`` says about a role wins, unless it calls a file absent that is on disk below ``root`` as ``old`` says.
    Values that ``new`` does not know are kept. Other halves of an acquisition are told by the names of their products.
    """
    known = known_half(old, new)
    if known is not None:
        halves = (merge_scene(half, new, root) if half is known else half for half in old.others)
        return replace(old, others=tuple(halves))
    l1c, files_l1c = _merge_level((old.l1c, old.files_l1c), (new.l1c, new.files_l1c), root)
    l2a, files_l2a = _merge_level((old.l2a, old.files_l2a), (new.l2a, new.files_l2a), root)
    merged = Scene(old.key, l1c, l2a, files_l1c, files_l2a, (), {**old.extra, **new.extra})
    others = [other for other in old.others if not _shares_product(other, merged)]
    for other in new.others:
        place = next((n for n, kept in enumerate(others) if _shares_product(kept, other)), None)
        if place is None:
            others.append(other)
        else:
            others[place] = merge_scene(others[place], other, root)
    return replace(merged, others=tuple(others))


def known_half(old: Scene, new: Scene) -> Scene | None:
    """Return the other half of a scene that a new account is of; None where it is of the scene itself."""
    if new.others:
        return None
    return next((other for other in old.others if _shares_product(other, new)), None)


def _shares_product(one: Scene, other: Scene) -> bool:
    names = [
        {product.product_name for product in (scene.l1c, scene.l2a) if product is not None}
        for scene in (one, other)
    ]
    return bool(names[0] & names[1] - {None})


def _merge_level(old: _Level, new: _Level, root: Path) -> _Level:
    (old_product, old_files), (new_product, new_files) = old, new
    if new_product is None and new_files is None:
        return old
    if old_product is None or new_product is None or old_product.product_name != new_product.product_name:
        return new
    product = replace(
        new_product,
        extra={**old_product.extra, **new_product.extra},
        **{
            name: getattr(old_product, name)
            for name in PRODUCT_KEYS
            if getattr(new_product, name) is None and getattr(old_product, name) is not None
        },
    )
    if old_files is None or new_files is None:
        return product, new_files or old_files
    items = {item.role: item for item in old_files.items}
    for item in new_files.items:
        known = items.get(item.role)
        if known is None or item.present or not (known.present and _is_there(known, root)):
            items[item.role] = item if known is None else _with_known_header(item, known)
    extra = {**old_files.extra, **new_files.extra}
    return product, AssetGroup(new_files.root_dir, tuple(items.values()), extra)


def _with_known_header(item: Asset, known: Asset) -> Asset:
    """Keep the header of a raster where ``item`` is the same file, and says nothing of it."""
    same = (item.path, item.member, item.size, item.checksum) == (
        *(known.path, known.member, known.size, known.checksum),
    )
    return replace(item, raster=known.raster) if same and item.raster is None else item


def _is_there(asset: Asset, root: Path) -> bool:
    try:
        return InputFile.of(asset, root).is_available()
    except PathEscapeError:
        return False
