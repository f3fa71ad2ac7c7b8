"""Networks computed on CUDA devices by a convolution for Hopper GPUs, in CUDA C++."""
