"""Networks computed by kernels of our own, for processors with AMX: matrix units for bfloat16.

`emit` writes code for LLVM (the package `llvmlite`, the extra `amx`), `convolution` a row of a 3x3
convolution, `rolling` the way from row to row and layer to layer, `compact` a whole network of them. General
runtimes reach a fifth of what the units can do, as they write each layer's result to memory and read it back.
Here a few rows of each layer stay in the core's own cache (docs/benchmarks.md).
"""
