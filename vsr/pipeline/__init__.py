"""Upscales a video from file to file, and the frames of a Python program as a stream."""
