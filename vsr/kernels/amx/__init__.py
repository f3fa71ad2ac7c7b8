"""Networks computed by kernels of our own, for processors with AMX: matrix units for bfloat16.

`backend` says whether they can be had; `compact` and `rrdb` see networks as layers, `layers` their weights as
tiles, and `program` says who computes which part of a picture. What is emitted, through LLVM (the package
`llvmlite`), is in `emit`, `convolution` (a row) and `rolling` (from row to row and layer to
layer). General runtimes write each layer's result to memory and read it back; here a few rows of each stay in
the core's own cache (docs/benchmarks.md).
"""
