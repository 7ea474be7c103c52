"""Targets of whole patches, joined from a table."""
