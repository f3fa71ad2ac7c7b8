"""Triton's kernels run on the processor where there is no CUDA device: slowly, and in fp16, for Triton's
interpreter does not multiply bfloat16. It must be told before the kernels' module is imported."""

from __future__ import annotations

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
