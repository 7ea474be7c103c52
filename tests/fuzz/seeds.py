"""Small valid files of every kind, to start from; made by s2pipe itself, once a process."""

from __future__ import annotations

import functools
import io
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from s2pipe.dataset.proof import SEAL
from s2pipe.indexing.run import index_products
from s2pipe.patches.cfg import PatchConfig, QualityConfig, ShardConfig, SplitConfig
from s2pipe.patches.run import plan_patches, run_patches
from s2pipe.preprocess.stats.histogram import save_histogram
from s2pipe.synthetic import ProductSpec, make_products
from tests.patches.patchdata import Scene, write_step2
from tests.preprocess.stats.stats_support import histogram_of

PRODUCT = "S2B_MSIL1C_20251210T100319_N0511_R122_T33UWQ_20251212T162649.SAFE"


@functools.cache
def scratch() -> Path:
    """A directory of this process, removed at its end."""
    holder = tempfile.TemporaryDirectory(prefix="s2pipe-fuzz-")
    _HOLDERS.append(holder)
    return Path(holder.name)


_HOLDERS: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def products() -> dict[str, list[bytes]]:
    """XML of products by its name, and the Step-1 index of one of them."""
    root = scratch() / "products"
    found: dict[str, list[bytes]] = {}
    for baseline in ("05.11", "02.06"):
        spec = ProductSpec(
            side_m=1200, bands=("B02",), quality_masks=False, baseline=baseline, l2a_resolutions=(20,)
        )
        make_products(root / baseline, spec)
    for path in sorted(root.rglob("*")):
        if path.suffix in (".xml", ".gml", ".safe"):
            found.setdefault(path.name.split("_B")[0], []).append(path.read_bytes())
    index_products([root / "05.11"], root / "out")
    found["index.json"] = [(root / "out" / "meta" / "step1" / "index.json").read_bytes()]
    return found


@functools.cache
def zip_archive() -> list[bytes]:
    """Archives of one product, packed and not."""
    archives = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            archive.writestr(f"{PRODUCT}/manifest.safe", products()["manifest.safe"][0])
            archive.writestr(f"{PRODUCT}/MTD_MSIL1C.xml", products()["MTD_MSIL1C.xml"][0])
        archives.append(stream.getvalue())
    return archives


@functools.cache
def patches() -> Path:
    """Directory of shards made from one small sample; the index of that is beside it."""
    root = scratch() / "patches"
    index = write_step2(root, [Scene(shape_yx=(96, 128))])
    config = PatchConfig(
        index,
        root / "out",
        patch_size=32,
        quality=QualityConfig(min_valid=0.0),
        split=SplitConfig(1.0, 0.0, 0.0, cell_m=2000),
        shards=ShardConfig(max_count=4),
    )
    plan_patches(config)
    run_patches(config)
    return root / "out"


def unsealed(path: Path) -> bytes:
    """A document without its seal, which would refuse every change at once."""
    document = json.loads(path.read_bytes())
    document.pop(SEAL, None)
    return json.dumps(document).encode()


@functools.cache
def copied_shards() -> Path:
    """A copy of the shards whose ``shards.json`` does not hash what lies beside it, which would refuse every change."""
    copy = shutil.copytree(patches(), scratch() / "copied")
    document = json.loads(unsealed(copy / "shards.json"))
    document.pop("files", None)
    (copy / "shards.json").write_text(json.dumps(document), encoding="utf-8")
    return copy


@functools.cache
def histogram() -> bytes:
    """A scene's ``histogram.npz``."""
    path = scratch() / "histogram.npz"
    save_histogram(path, histogram_of(np.arange(100, dtype=np.int64).reshape(2, 50)))
    return path.read_bytes()
