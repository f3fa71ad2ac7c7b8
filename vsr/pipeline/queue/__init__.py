"""A queue of inputs in one run: finds the files, names their results, and upscales one after the other.

`record` keeps which results are finished, so that the same command skips them.
"""
