"""Networks computed with the Winograd F(4x4, 3x3) convolution in float32, for any CPU that LLVM supports.

`backend` says whether the kernels can run here. `lowering` turns a graph into layers, `layers` transforms
their weights, and `program` divides an image among threads. `emit`, `convolution`, `epilogue` and
`input_layer` emit the code through LLVM (package `llvmlite`); `transform` has the mathematics. A 3x3
convolution takes a quarter of the multiplications, and the result is as exact as float32 is. On CPUs without
matrix units this is faster than the 16-bit kernels of other runtimes (docs/benchmarks.md).
"""
