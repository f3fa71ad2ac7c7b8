"""Networks computed by Winograd's way in float32, for any processor that LLVM writes code for.

`backend` says whether it can be had; `compact` and `rrdb` see networks as layers, `layers` has their weights
transformed, and `program` says who computes which rows. What is emitted, through LLVM (the package
`llvmlite`), is in `emit`, `convolution`, `ends` and `entry`; `transform` has the
mathematics. A 3x3 convolution takes a quarter of the multiplications, and the result is as near to the exact
one as float32 is: on processors without matrix units faster than the 16-bit kernels of others
(docs/benchmarks.md).
"""
