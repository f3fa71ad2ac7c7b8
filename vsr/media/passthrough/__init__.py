"""Streams, metadata and chapters of a source other than its video: which are copied, converted or left out,
and how.
"""
