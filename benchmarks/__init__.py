"""Measurements beside other programs, and the pictures of the documentation.

Each file is a command, `python -m benchmarks.FOLDER.FILE`, from the root of a checkout. `tables.py` keeps the
results in `results/`, one JSON file a machine, and makes the tables of docs/benchmarks.md from them.
"""
