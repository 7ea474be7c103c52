"""Step 1: find, fetch and index Sentinel-2 products."""
