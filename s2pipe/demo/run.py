"""The demonstration: two small products through the whole pipeline, with a table and a picture at the end."""

from __future__ import annotations

import importlib.util
import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from s2pipe.demo.picture import can_draw, draw_panels
from s2pipe.errors import S2PipeError
from s2pipe.indexing.run import index_products
from s2pipe.patches.cfg import PatchConfig, QualityConfig, SplitConfig
from s2pipe.patches.run import plan_patches, run_patches
from s2pipe.preprocess.cfg import LabelConfig, NormalizeConfig, PreprocessConfig, ScreeningConfig
from s2pipe.preprocess.run import PreprocessResult, run_preprocess
from s2pipe.report.places import REPORT_NAME
from s2pipe.report.run import write_report
from s2pipe.runtime.addresses import refuse_remote_output
from s2pipe.runtime.files import write_bytes_atomic
from s2pipe.runtime.notebook import InNotebooks
from s2pipe.synthetic import ProductSpec, make_products
from s2pipe.synthetic.land_cover import COVER_CLASSES, COVER_COLORS, write_land_cover

if TYPE_CHECKING:
    from collections.abc import Callable

    from s2pipe.sentinel2.bands import BandName

log = logging.getLogger("s2pipe.demo")
DEMO_BANDS: tuple[BandName, ...] = ("B02", "B03", "B04", "B08", "B11", "B12")
_RGB = (3, 2, 1)
_PICTURE = "demo.png"
_COVER = "land_cover.tif"
DemoLabels = Literal["scl", "land_cover"]
"""What a demonstration may take labels from."""


@dataclass
class DemoResult(InNotebooks):
    """What a demonstration made."""

    out_dir: Path
    """Directory of everything."""
    picture: Path | None = None
    """PNG of input, validity, labels and normalised output; None without Matplotlib."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each part."""
    report: Path | None = None
    """Page about the whole dataset."""

    def summary(self) -> dict[str, object]:
        """Plain values for ``--json``."""
        return {
            "out_dir": str(self.out_dir),
            "picture": None if self.picture is None else str(self.picture),
            "report": None if self.report is None else str(self.report),
            "seconds": {part: round(value, 2) for part, value in self.seconds.items()},
            "files": [{"path": path, "bytes": size, "what": what} for path, size, what in self.files()],
        }

    def files(self) -> list[tuple[str, int, str]]:
        """Path relative to ``out_dir``, size in bytes, and meaning of what was made; one line per product."""
        meanings = {
            "index.json": "manifest",
            "stats.json": "dataset statistics",
            "histogram.npz": "histogram",
            "x.tif": "bands and validity mask",
            "y.tif": "labels",
            "q.tif": "scene classes, cloud probability",
            "source.tif": "tile of each pixel",
            _COVER: "land cover",
            "stack.vrt": "declared resampling",
            "meta.json": "record of the sample",
            "split.json": "split of the ground",
            "shards.json": "list of the shards",
            "patches.parquet": "database of all candidates",
            _PICTURE: "picture of the result",
            "reach.png": "picture of the result",
            REPORT_NAME: "report for a browser",
        }
        rows = []
        for product in sorted((self.out_dir / "products").glob("*.SAFE")):
            size = sum(path.stat().st_size for path in product.rglob("*") if path.is_file())
            rows.append((str(product.relative_to(self.out_dir)), size, "synthetic product"))
        for path in sorted(self.out_dir.rglob("*")):
            inside_product = "products" in path.relative_to(self.out_dir).parts
            meaning = "shard of patches" if path.suffix == ".tar" else meanings.get(path.name)
            if path.is_file() and not inside_product and meaning:
                rows.append((str(path.relative_to(self.out_dir)), path.stat().st_size, meaning))
        return rows

    def timed(self, part: str, work: Callable[[], object]) -> None:
        """Do a part of the demonstration, and note how long it took."""
        start = time.monotonic()
        work()
        self.seconds[part] = time.monotonic() - start


def run_demo(out_dir: Path, spec: ProductSpec | None = None, labels: DemoLabels = "scl") -> DemoResult:
    """Make two small products, index them, run both passes, and draw the result.

    Parameters
    ----------
    out_dir : Path
        Directory to fill; the files of an earlier demonstration are replaced.
    spec : ProductSpec, optional
        The scene; None for the default one of 22 km.
    labels : str
        ``scl``: labels are the scene classes; ``land_cover``: classes of a land cover, which knows no clouds.

    Raises
    ------
    S2PipeError
        A scene failed.
    """
    refuse_remote_output(out_dir)
    result = DemoResult(out_dir)
    timed = result.timed
    data, normalised = out_dir / "data", out_dir / "normalized"

    products = out_dir / "products"
    timed("make products", lambda: make_products(products, spec))
    timed("index and verify", lambda: index_products([products], data, verify=True))
    patches = _patch_config(out_dir)
    label_config = LabelConfig(enabled=True)
    if labels == "land_cover":
        cover = out_dir / _COVER
        timed("make land cover", lambda: write_land_cover(cover, spec or ProductSpec()))
        label_config = _cover_labels(cover)
    for part, config in _passes((data, normalised), patches, label_config).items():
        timed(part, lambda config=config: complete(run_preprocess(config)))  # type: ignore[misc]
    scene = next((data / "processed").glob("tile=*/sensing=*")).relative_to(data)
    timed("picture", lambda: add_picture(result, data / scene, normalised / scene))
    if can_write_shards():
        timed("patches", lambda: run_patches(patches))
    else:
        log.warning("no shards were written: they need PyArrow, `pip install 's2pipe[shards]'`")
    write_bytes_atomic(out_dir / "README.txt", _README.encode())
    timed("report", lambda: add_report(result))
    return result


def add_report(result: DemoResult) -> None:
    """Write the page about everything that was made."""
    result.report = write_report(result.out_dir).path


def add_picture(result: DemoResult, plain: Path, normalised: Path) -> None:
    """Draw the plain and the normalised sample of a scene, or say in one line why that is left out."""
    picture = result.out_dir / _PICTURE
    if can_draw():
        draw_panels(picture, plain, normalised, _RGB)
        result.picture = picture
    else:
        picture.unlink(missing_ok=True)
        log.warning("no picture was drawn: it needs Matplotlib, `pip install 's2pipe[figures]'`")


def _patch_config(out_dir: Path) -> PatchConfig:
    return PatchConfig(
        index_json=out_dir / "normalized" / "meta" / "step2" / "index.json",
        out_dir=out_dir / "patches",
        patch_size=64,
        quality=QualityConfig(min_valid=0.5, max_cloud=0.4),
        split=SplitConfig(cell_m=5000),
    )


def _cover_labels(cover: Path) -> LabelConfig:
    return LabelConfig(
        enabled=True,
        backend="raster",
        path=cover.as_posix(),
        resampling="mode",
        class_names=COVER_CLASSES,
        class_colors=COVER_COLORS,
        source="land cover",
    )


def _passes(
    out_dirs: tuple[Path, Path], patches: PatchConfig, labels: LabelConfig
) -> dict[str, PreprocessConfig]:
    """Configurations of Step 2 by what they are for; statistics are those of the training ground."""
    data, normalised = out_dirs
    stats = data / "normalize" / "stats.json"
    plain = PreprocessConfig(
        index_json=data / "meta" / "step1" / "index.json",
        out_dir=data,
        target_grid_ref="scl_20m",
        l1c_bands=DEMO_BANDS,
        labels=labels,
        quality=ScreeningConfig(enabled=True),
    )
    split = plan_patches(replace(patches, index_json=plain.index_json)).split_path
    training = NormalizeConfig(
        mode="compute_only", stats_path=stats, save_histograms=True, split="train", split_plan=split
    )
    applied = NormalizeConfig(mode="apply_with_stats", stats_path=stats)
    return {
        "plain reflectance": plain,
        "pass 1: statistics": replace(plain, normalize=training),
        "pass 2: normalise": replace(plain, out_dir=normalised, normalize=applied),
    }


def can_write_shards() -> bool:
    """Tell whether the libraries of the extra ``shards`` are here."""
    return importlib.util.find_spec("pyarrow") is not None


def complete(result: PreprocessResult) -> None:
    """Refuse a run of which a scene failed.

    Raises
    ------
    S2PipeError
        With the reasons.
    """
    if result.exit_code:
        raise S2PipeError("\n".join([*(item.error for item in result.failed), result.error or ""]).strip())


_README = """\
Made by `s2pipe demo` from a seed: synthetic data, no real place.

products/    an L1C and an L2A product as SAFE directories
data/        their manifest (meta/step1), plain samples (processed), statistics (normalize)
normalized/  the same samples, normalised with statistics of the training ground
patches/     the split of the ground, shards of patches, their database
demo.png     input, validity, labels and normalised output side by side
report.html  all of this in a browser
"""
