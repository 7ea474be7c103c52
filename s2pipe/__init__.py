"""s2pipe: Copernicus Sentinel-2 products to machine-learning datasets, reproducibly.

Importing this package is light: no GDAL, no Numba, no pandas.
"""

__version__ = "0.1.0"
