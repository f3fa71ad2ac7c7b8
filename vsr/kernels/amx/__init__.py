"""Networks computed with AMX, the matrix units of some CPUs for bfloat16.

`backend` says whether the kernels can run here. `lowering` turns a graph into groups of layers, `layers`
arranges their weights as tiles, and `program` divides an image among threads. `emit`, `convolution` (a row of
a layer), `layer_fusion` (rows of a group) and `input_layer` emit the code through LLVM (package `llvmlite`).
Other runtimes write each layer's result to memory and read it back; these kernels keep a few rows of it in
the core's L2 cache (docs/benchmarks.md).
"""
