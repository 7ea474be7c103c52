"""Rasters: the grid value type, VRT text, and the only modules that open GDAL datasets."""
