"""Code that this package writes itself for CPUs (through LLVM) and for CUDA devices (CUDA C++)."""
