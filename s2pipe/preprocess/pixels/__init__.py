"""Pixels of a scene on the target grid: bands as windows, read ahead, cached, calibrated."""
