"""Hashes of the decoded frames from which segments are made."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Any

import numpy as np

from vsr.frame import YuvFrame


class SourceHashes:
    """Takes decoded frames in order, and returns the hash of each segment to which they belong.

    One thread adds frames. Another may read the hash of a segment to which no more frames will be added.
    """

    def __init__(self, length: int) -> None:
        """Start before the first frame, with `length` frames in a segment."""
        self._length = length
        self._digests: dict[int, Any] = {}

    def add(self, frame: YuvFrame) -> int:
        """Add the next frame, in host memory, and return the number of its segment.

        The hash covers CRCs of the planes and not their bytes, which would take three times as long
        (measured). It only needs to detect accidental changes.
        """
        number = frame.stamp.index // self._length
        digest = self._digests.setdefault(number, hashlib.sha256())
        digest.update(struct.pack("<qq", frame.stamp.pts, frame.stamp.duration or 0))
        planes = frame.planes if frame.alpha is None else (*frame.planes, frame.alpha)
        for plane in planes:
            # numpy, because only another thread may use torch's operators (see `pipeline.flow.graph`).
            array = np.ascontiguousarray(plane.numpy())
            digest.update(struct.pack("<IQ", zlib.crc32(array.data), array.nbytes))
        return number

    def of(self, number: int) -> str:
        """Return the hash of the frames in a segment so far, in hexadecimal; empty if there are none."""
        digest = self._digests.get(number)
        return "" if digest is None else str(digest.hexdigest())

    def numbers(self) -> set[int]:
        """Return the numbers of the segments to which a frame was added."""
        return set(self._digests)
