"""A local service like the Copernicus Data Space Ecosystem: three hosts, real sockets, faults on demand."""

from s2pipe.testing.faults import Fault
from s2pipe.testing.products import StoredProduct, catalogue_only, stored
from s2pipe.testing.service import Service

__all__ = ["Fault", "Service", "StoredProduct", "catalogue_only", "stored"]
