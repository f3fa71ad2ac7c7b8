"""A fake GPU for machines without one: software decodes, and returns its frames in NVDEC's layouts."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from vsr.media.decode import hwaccel, source
from vsr.media.decoders import decoder

_LAYOUTS = {
    "yuv420p": ("nv12", np.uint8),
    "yuvj420p": ("nv12", np.uint8),
    "yuv420p10le": ("p010le", np.uint16),
}
"""Maps planar formats to the GPU's formats, and to the dtype of a sample."""
_UP = {"nv12": 0, "p010le": 6}
"""Bits by which a sample is shifted up compared to the planar format."""


def semi_planar(frame: av.VideoFrame) -> av.VideoFrame:
    """Convert a frame to a GPU's layout: U and V interleaved, 10 bits in the upper part of 16."""
    name, kind = _LAYOUTS[frame.format.name]
    matrix, frame.colorspace = frame.colorspace, 2  # swscale refuses some, and only allocates memory here
    out = frame.reformat(format=name, threads=1)
    frame.colorspace = out.colorspace = matrix
    y, u, v = (_rows(plane, kind)[:, : plane.width] << _UP[name] for plane in frame.planes)
    luma, chroma = (_rows(plane, kind) for plane in out.planes)
    luma[:, : y.shape[1]] = y
    chroma[:, 0 : 2 * u.shape[1] : 2], chroma[:, 1 : 2 * v.shape[1] : 2] = u, v
    return out


def _rows(plane: av.video.plane.VideoPlane, kind: type[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
    """Return the samples of a plane, including the padding of each row."""
    return np.frombuffer(plane, kind).reshape(plane.height, -1)


class FakeGpu:
    """A GPU that decodes like software. `install` replaces the real one."""

    def __init__(self, *, until: int | None = None) -> None:
        """Decode this many frames of a run; then software continues, as in FFmpeg."""
        self.until = until
        self.used = 0
        """The number of decoders created on it."""
        self._opening = False

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Make `hwaccel` find this GPU."""
        patch.setattr(hwaccel, "missing", lambda card=0: None)
        for module in (hwaccel, source):
            patch.setattr(module, "accelerator", self._accelerator)
            patch.setattr(module, "decoder_of", self._decoder_of)

    def converted(self, frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        """Convert software's frames to the GPU's."""
        return [semi_planar(frame) for frame in frames]

    def _accelerator(self, card: int | None) -> None:
        self._opening = card is not None

    def _decoder_of(self, stream: av.VideoStream, **more: Any) -> Any:
        context = decoder.decoder_of(stream, **more)
        if not self._opening:
            return context
        self.used += 1
        return _FakeDecoder(self, context)


class _FakeDecoder:
    def __init__(self, gpu: FakeGpu, context: VideoCodecContext) -> None:
        self._gpu, self._context = gpu, context
        self._count = 0
        self.pix_fmt: str | None = "cuda"

    @property
    def has_b_frames(self) -> bool:
        return self._context.has_b_frames

    def decode(self, packet: av.Packet[Any] | None) -> list[av.VideoFrame]:
        frames = self._context.decode(packet)
        self._count += len(frames)
        if self._gpu.until is not None and self._count > self._gpu.until:
            self.pix_fmt = self._context.pix_fmt
            return frames
        return self._gpu.converted(frames)
