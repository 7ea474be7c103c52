"""Cost against size: what datasets of a thousand to a hundred thousand scenes cost, step by step.

    python -m benchmarks.scale --data DIR [--sizes 1000,10000,100000] [--rows TEXT] [--json FILE] [--plot FILE]
    python -m benchmarks.scale --small

Each row is a function of a module in ``MODULES`` of :mod:`benchmarks.scale.frame`, and runs in a process of its own, so
that its memory is its own. Datasets are kept in DIR and made when they are missing. Index entries are those that
``s2pipe index`` writes for a synthetic product, with the keys of others; rasters are hard links to tiny ones.
"""
