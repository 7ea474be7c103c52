"""Small but faithful Sentinel-2 products, made from a seed: for demonstrations, tests and benchmarks.

Importing this package is light: NumPy and GDAL are imported when products are made.
"""

from __future__ import annotations

from pathlib import Path

from s2pipe.synthetic.spec import ProductPaths, ProductSpec

__all__ = ["ProductPaths", "ProductSpec", "make_products"]


def make_products(out_dir: Path, spec: ProductSpec | None = None) -> ProductPaths:
    """Make a synthetic L1C product and, if wanted, its L2A twin.

    The same specification gives the same bytes with the same GDAL and OpenJPEG.

    Parameters
    ----------
    out_dir : Path
        Directory that the SAFE directories are put into; synthetic products of the same name are replaced.
    spec : ProductSpec, optional
        What to make; None for the default scene.

    Returns
    -------
    ProductPaths
        The SAFE directories.

    Raises
    ------
    ConfigError
        The specification is not consistent.
    ProductError
        Something else lies there under the name of a product; nothing was written.
    DependencyError
        GDAL is missing or cannot write JPEG 2000.
    """
    from s2pipe.synthetic.build import build_products

    return build_products(Path(out_dir), spec or ProductSpec())
