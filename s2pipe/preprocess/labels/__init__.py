"""Labels: backends that classify, and the raster y.tif made with them."""
