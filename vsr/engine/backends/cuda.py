"""The backend `cuda`: convolutions in 16 bits on the tensor cores of Hopper GPUs."""

from __future__ import annotations

from vsr.engine.backends.own_kernels import own

BACKEND = own(
    "cuda",
    takes="networks of 3x3 convolutions whose channels are multiples of 32, in bf16 or fp16",
    needs="a GPU of compute capability 9.0 (Hopper) and NVRTC",
    device="cuda",
)
