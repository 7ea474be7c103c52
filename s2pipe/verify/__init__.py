"""``s2pipe verify``: the files of a dataset against what was recorded when they were written."""
