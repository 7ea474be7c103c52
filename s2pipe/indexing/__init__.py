"""Products that are already on disk: found, linked into the dataset's layout, verified, indexed."""
