"""Hashes of the decoded frames that a segment was made of."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Any

import numpy as np

from vsr.frame import YuvFrame


class SourceHashes:
    """Takes decoded frames in order; knows the hash of each segment that they belong to.

    One thread adds frames; another may ask for the hash of a segment that no frame will be added to.
    """

    def __init__(self, length: int) -> None:
        """With `length` frames in a segment."""
        self._length = length
        self._digests: dict[int, Any] = {}

    def add(self, frame: YuvFrame) -> int:
        """Take the next frame, in host memory; the number of its segment.

        CRCs of the planes are hashed, not their bytes, which would take thrice as long (measured): they are
        asked for what changed by accident.
        """
        number = frame.stamp.index // self._length
        digest = self._digests.setdefault(number, hashlib.sha256())
        digest.update(struct.pack("<qq", frame.stamp.pts, frame.stamp.duration or 0))
        planes = frame.planes if frame.alpha is None else (*frame.planes, frame.alpha)
        for plane in planes:
            # By numpy: torch's operators belong to another thread (see `pipeline.flow.graph`).
            array = np.ascontiguousarray(plane.numpy())
            digest.update(struct.pack("<IQ", zlib.crc32(array.data), array.nbytes))
        return number

    def of(self, number: int) -> str:
        """Hash of the frames of a segment so far, in hexadecimal; of none where there was none."""
        digest = self._digests.get(number)
        return "" if digest is None else str(digest.hexdigest())
