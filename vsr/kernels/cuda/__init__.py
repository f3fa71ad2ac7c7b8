"""Networks computed by kernels of our own on CUDA devices."""
