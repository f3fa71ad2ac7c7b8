"""Comparison of what frames carry beside their samples."""

from __future__ import annotations

import hashlib

from av import VideoFrame

from vsr.media.metadata.messages import messages_of

Beside = tuple[tuple[str, bytes], ...]


def beside(frame: VideoFrame) -> Beside:
    """Kind and digest of what a frame carries; what no result can carry has no digest."""
    messages, kinds = messages_of(frame)
    made = [(m.kind, hashlib.blake2b(m.payload, digest_size=8).digest()) for m in messages]
    return (*made, *((kind, b"") for kind in kinds if kind not in dict(made)))
