"""Planes to R'G'B' and back in one pass over the picture, by code written for this CPU (`vsr.kernels.llvm`).

The same operations in the same order as `vsr.color.convert` does with torch, and so the same bits, without
its ten passes and their temporary planes. `backend` says for which pictures; `planes` and `rgb` emit the two
directions, from what `rows` has for both.
"""
