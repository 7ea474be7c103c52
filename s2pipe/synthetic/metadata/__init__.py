"""XML documents of synthetic products."""
