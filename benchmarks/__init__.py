"""Benchmarks: of kernels by pytest-benchmark, of whole runs by commands of their own."""
