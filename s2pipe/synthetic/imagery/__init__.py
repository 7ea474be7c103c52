"""Pixels of synthetic products."""
