"""Pixel formats, and the planes of PyAV's frames as tensors and back."""
