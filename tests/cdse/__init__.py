"""A local service like the Copernicus Data Space Ecosystem: three hosts, real sockets, faults on demand."""

from tests.cdse.faults import Fault
from tests.cdse.products import StoredProduct, catalogue_only, stored
from tests.cdse.server import Service

__all__ = ["Fault", "Service", "StoredProduct", "catalogue_only", "stored"]
