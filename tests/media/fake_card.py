"""What a graphics card decodes, for machines without one: software's pictures in NVDEC's layout."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

_LAYOUTS = {
    "yuv420p": ("nv12", np.uint8),
    "yuvj420p": ("nv12", np.uint8),
    "yuv420p10le": ("p010le", np.uint16),
}
"""Planar formats to the card's, and what holds a sample."""
_UP = {"nv12": 0, "p010le": 6}
"""Bits by which a sample stands higher than in a planar format."""


def semi_planar(frame: av.VideoFrame) -> av.VideoFrame:
    """A picture as a card gives it: U and V in turn, 10 bits at the upper end of 16; tags and times stay."""
    name, kind = _LAYOUTS[frame.format.name]
    matrix, frame.colorspace = frame.colorspace, 2  # swscale refuses some, and only makes room here
    out = frame.reformat(format=name, threads=1)
    frame.colorspace = out.colorspace = matrix
    y, u, v = (_rows(plane, kind)[:, : plane.width] << _UP[name] for plane in frame.planes)
    luma, chroma = (_rows(plane, kind) for plane in out.planes)
    luma[:, : y.shape[1]] = y
    chroma[:, 0 : 2 * u.shape[1] : 2], chroma[:, 1 : 2 * v.shape[1] : 2] = u, v
    return out


def _rows(plane: av.video.plane.VideoPlane, kind: type[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
    """The samples of a plane, with what is behind each row."""
    return np.frombuffer(plane, kind).reshape(plane.height, -1)
