"""The files of products: listed, planned, fetched, verified."""
