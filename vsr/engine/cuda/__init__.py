"""Generators on CUDA: kernels of our own in Triton, and networks replayed as CUDA graphs."""
