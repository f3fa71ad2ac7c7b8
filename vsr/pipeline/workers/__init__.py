"""Segments of one video, made by worker processes, each on a device of its own; no frames travel."""
