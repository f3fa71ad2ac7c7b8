"""Sequences of VP9 in 4:4:4, for images whose colours 4:2:0 would spoil; browsers decode them with WebCodecs.

No encoder of AVIF in PyAV has 4:4:4. JPEG has it, and takes eight times the space of VP9 (moving photographs
with strong colours, at 42 dB).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import torch
from av import Packet, VideoCodecContext, VideoStream
from torch import Tensor

from vsr.color.convert import to_planes, to_rgb
from vsr.color.spec import PixelLayout
from vsr.frame import Stamp, YuvFrame
from vsr.media.encode.encoder_trial import open_encoder
from vsr.media.pixels.planes import to_av_frame
from vsr.media.pixels.planes import to_planes as planes_of
from vsr.report.compare.coding import COLOR, HALF_CHROMA, TICK, Coded, square_error
from vsr.report.compare.inputs import eight_bit

KIND = "video/vp9"
"""Of `Coded`: each file is a packet of one frame, and the first one is a key frame."""
_LAYOUT = PixelLayout(family="yuv", bit_depth=8, chroma_shift=(0, 0))
_OPTIONS = {
    "deadline": "good",
    "cpu-used": "5",
    "lag-in-frames": "0",  # a packet for each frame, with no hidden frames between them
    "auto-alt-ref": "0",
    "threads": "1",
}


def chroma_error(image: Tensor) -> float:
    """Return the mean square error that 4:2:0 alone makes in an image `(3, H, W)` uint8, in 8-bit levels."""
    planes = to_planes(image.to(torch.float32) / 255, COLOR, HALF_CHROMA)
    return square_error(image, eight_bit(to_rgb(planes, COLOR, HALF_CHROMA).clamp_(0, 1)))


def full_chroma(images: Sequence[Tensor], *, crf: int) -> Coded:
    """Encode images `(3, H, W)` uint8 as one sequence, and measure its error by decoding it again.

    Args:
        images: One or more, of one size.
        crf: Quality of libvpx, 0 (best) to 63.
    """
    packets = _encoded(images, crf)
    errors = map(square_error, images, _decoded(packets))
    return Coded(kind=KIND, files=tuple(map(bytes, packets)), square_error=max(errors))


def _encoded(images: Sequence[Tensor], crf: int) -> list[Packet[VideoStream]]:
    encoder = av.CodecContext.create("libvpx-vp9", "w")
    encoder.height, encoder.width = images[0].shape[-2:]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv444p", TICK, Fraction(25)
    encoder.colorspace, encoder.color_range = int(COLOR.matrix), int(COLOR.range)
    encoder.bit_rate = 0  # quality alone decides
    encoder.options = {"crf": str(crf), "g": str(len(images)), **_OPTIONS}
    open_encoder(encoder)
    packets = [
        packet for number, image in enumerate(images) for packet in encoder.encode(_frame(image, number))
    ]
    return [*packets, *encoder.encode(None)]


def _frame(image: Tensor, number: int) -> av.VideoFrame:
    planes = to_planes(image.to(torch.float32) / 255, COLOR, _LAYOUT)
    stamp = Stamp(index=number, pts=40 * number, duration=40, time_base=TICK)
    return to_av_frame(YuvFrame(planes=planes, layout=_LAYOUT, color=COLOR, stamp=stamp), "yuv444p")


def _decoded(packets: Sequence[Packet[VideoStream]]) -> list[Tensor]:
    decoder = VideoCodecContext.create("vp9", "r")
    assert isinstance(decoder, VideoCodecContext)
    frames = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    return [eight_bit(to_rgb(planes_of(frame)[0], COLOR, _LAYOUT).clamp_(0, 1)) for frame in frames]
