"""Jobs: one video from file to file, and frames of a Python program as a stream."""
