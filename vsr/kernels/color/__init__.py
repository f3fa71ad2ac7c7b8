"""Y'CbCr planes to R'G'B' and back in one pass over the frame, by code emitted for this CPU.

The operations and their order are those of `vsr.color.convert`, which computes with torch, and so are the
bits; its ten passes and their temporary planes are saved. `planes` and `rgb` emit the two directions from
what `rows` has for both; `vsr.color.fast_cpu` says for which frames, and calls them.
"""
