"""Candidate patches: windows, their split, scores, filters, limits."""
