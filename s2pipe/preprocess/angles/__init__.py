"""Sun and view angles: from the nodes of the tile metadata to a raster."""
