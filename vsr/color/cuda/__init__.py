"""Planes to R'G'B' and back in one kernel on a card, compiled where it runs (`vsr.kernels.nvrtc`).

The same operations in the same order as `vsr.color.convert` does with torch, and so the same bits as on the
processor, without its 25 launches a picture and their temporary planes. `backend` says for which pictures;
`convert.cu` has both directions.
"""
