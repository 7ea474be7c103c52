"""The demonstration: small synthetic products through the whole pipeline, and a picture of the result."""

from s2pipe.synthetic import ProductPaths, ProductSpec, make_products

__all__ = ["ProductPaths", "ProductSpec", "make_products"]
