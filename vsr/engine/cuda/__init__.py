"""Generators on CUDA: kernels of our own, and networks replayed as graphs; `nvrtc` under this name, too."""

from vsr import nvrtc

__all__ = ["nvrtc"]
