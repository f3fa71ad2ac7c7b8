"""Clips in memory, and batches of crops of them, on the CPU or on a GPU."""
