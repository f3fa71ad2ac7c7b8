"""Y'CbCr planes to R'G'B' and back in one pass over the frame, by code emitted for this CPU.

The operations and their order are those of `vsr.color.convert`, which computes with torch, so the results
have the same bits, without its ten passes and temporary planes. `planes` and `rgb` emit the two directions
with the operations in `rows`. `vsr.color.fast_cpu` decides for which frames they are used, and calls them.
"""
