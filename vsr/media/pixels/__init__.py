"""How samples lie in memory: pixel formats, and planes of PyAV's frames as tensors and back."""
