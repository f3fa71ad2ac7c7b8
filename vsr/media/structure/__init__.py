"""Checks of what a container's structure promises, by walking the file: pages, packets, keys, frames,
indexes.
"""
