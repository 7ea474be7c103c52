"""Configurations: dataclasses to schemas, files, command-line options and checks that report every fault."""
