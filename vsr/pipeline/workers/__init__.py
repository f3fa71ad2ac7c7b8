"""Worker processes that make the segments of one video, each on a device of its own; no frames travel."""
