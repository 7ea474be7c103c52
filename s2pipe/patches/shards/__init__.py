"""Shards: which patch goes where, the archive's bytes, and what travels along."""
