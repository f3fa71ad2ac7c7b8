"""Clips in memory, and batches of their crops, on the host or on a GPU."""
