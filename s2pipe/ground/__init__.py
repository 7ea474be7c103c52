"""Places on the ground: projections, the global grid of cells, and which cell is in which split."""
