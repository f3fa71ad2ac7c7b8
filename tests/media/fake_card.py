"""A graphics card for machines without one: software decodes, and gives its pictures in NVDEC's layouts."""

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


class FakeCard:
    """A card that decodes what software does. `install` puts it in the place of a real one."""

    def __init__(self, *, until: int | None = None) -> None:
        """Be able to decode so many pictures of a run; software goes on behind them, as FFmpeg's does."""
        self.until = until
        self.used = 0
        """Decoders that were made on it."""
        self._opening = False

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Let `hwaccel` find this card."""
        patch.setattr(hwaccel, "missing", lambda card=0: None)
        for module in (hwaccel, source):
            patch.setattr(module, "accelerator", self._accelerator)
            patch.setattr(module, "decoder_of", self._decoder_of)

    def pictures(self, frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        """What it makes of software's pictures."""
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
    def __init__(self, card: FakeCard, context: VideoCodecContext) -> None:
        self._card, self._context = card, context
        self._count = 0
        self.pix_fmt: str | None = "cuda"

    @property
    def has_b_frames(self) -> bool:
        return self._context.has_b_frames

    def decode(self, packet: av.Packet[Any] | None) -> list[av.VideoFrame]:
        frames = self._context.decode(packet)
        self._count += len(frames)
        if self._card.until is not None and self._count > self._card.until:
            self.pix_fmt = self._context.pix_fmt
            return frames
        return self._card.pictures(frames)
