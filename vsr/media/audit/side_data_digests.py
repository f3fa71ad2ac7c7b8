"""Reduces the side data of frames to digests, for comparison."""

from __future__ import annotations

import hashlib

from av import VideoFrame

from vsr.media.metadata.messages import messages_of

SideDataDigests = tuple[tuple[str, bytes], ...]


def side_data_digests(frame: VideoFrame) -> SideDataDigests:
    """Return kind and digest of each item of side data; the digest is empty if no output can carry the
    kind.
    """
    messages, kinds = messages_of(frame)
    made = [(m.kind, hashlib.blake2b(m.payload, digest_size=8).digest()) for m in messages]
    return (*made, *((kind, b"") for kind in kinds if kind not in dict(made)))
