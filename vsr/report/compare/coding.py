"""Images for a page: lossless WebP, and sequences of AVIF whose error is measured by decoding them again."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import torch
import torch.nn.functional as F
from av import Packet, VideoCodecContext, VideoStream
from torch import Tensor

from vsr.color.convert import to_planes, to_rgb
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, PixelLayout, Primaries, Range, Transfer
from vsr.frame import Stamp, YuvFrame
from vsr.media.encode.encoder_trial import open_encoder
from vsr.media.pixels.planes import to_av_frame
from vsr.media.pixels.planes import to_planes as planes_of
from vsr.report.compare.inputs import eight_bit
from vsr.system.scheduling import kept_priority

AVIF_LEAST = 64
"""Smallest side that SVT-AV1 encodes."""
HALF_CHROMA = PixelLayout(family="yuv", bit_depth=10, chroma_shift=(1, 1))
COLOR = ColorSpec(
    matrix=Matrix.SMPTE170M,
    transfer=Transfer.SRGB,
    primaries=Primaries.BT709,
    range=Range.LIMITED,
    chroma_location=ChromaLocation.CENTER,
)
"""What browsers show without a change of colours: matrix and range of an AV1 stream that states none, because
Chromium 156 reads them from the stream, which SVT-AV1 leaves unspecified, and not from the AVIF file. SVT-AV1
has 4:2:0 only; with 10 bits the rounding of Y'CbCr is finer than that of the 8 bits that are shown."""
TICK = Fraction(1, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """The images of a panel at some moments: a WebP file for each, one AVIF sequence, or packets of VP9."""

    kind: str
    """`image/webp`, `image/avif` or `full_chroma.KIND`."""
    files: tuple[bytes, ...]
    square_error: float
    """The largest mean square error of a frame in 8-bit levels; 0 is lossless."""


def lossless(images: Sequence[Tensor]) -> Coded:
    """Encode images `(3, H, W)` uint8 as lossless WebP."""
    return Coded(kind="image/webp", files=tuple(map(_webp, images)), square_error=0.0)


def _webp(image: Tensor) -> bytes:
    frame = _bgra(image)
    encoder = av.CodecContext.create("libwebp", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, frame.format.name
    encoder.time_base, encoder.options = (
        Fraction(1),
        {"lossless": "1", "quality": "40", "compression_level": "2"},
    )
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


def _bgra(image: Tensor) -> av.VideoFrame:
    alpha = torch.full_like(image[:1], 255)
    array = torch.cat([image[[2, 1, 0]], alpha]).permute(1, 2, 0).contiguous().numpy()
    return av.VideoFrame.from_ndarray(array, format="bgra")


def animated_webp(images: Sequence[Tensor], *, milliseconds: int, quality: int) -> bytes:
    """Encode images `(3, H, W)` uint8 as an animation that repeats without end."""
    written = io.BytesIO()
    with av.open(written, "w", format="webp", options={"loop": "0"}) as container:
        stream = container.add_stream("libwebp_anim", rate=1000)
        stream.height, stream.width = images[0].shape[-2:]
        stream.pix_fmt, stream.time_base = "bgra", TICK
        stream.codec_context.time_base = TICK
        stream.options = {"quality": str(quality), "compression_level": "4"}
        for number, image in enumerate(images):
            frame = _bgra(image)
            frame.pts, frame.time_base = number * milliseconds, TICK
            frame.duration = milliseconds
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return written.getvalue()


def sequence(images: Sequence[Tensor], *, crf: int) -> Coded:
    """Encode images `(3, H, W)` uint8 as one AVIF sequence, and measure its error."""
    padded = [_padded(image) for image in images]
    if len(padded) == 1:
        padded *= 2  # the muxer makes a still picture of one frame, which browsers do not step through
    packets, header = _encoded(padded, crf)
    height, width = images[0].shape[-2:]
    decoded = [image[:, :height, :width] for image in _decoded(packets, header)]
    errors = [square_error(a, b) for a, b in zip(images, decoded, strict=False)]
    data = _boxed(packets, header, padded[0].shape[-1], padded[0].shape[-2])
    return Coded(kind="image/avif", files=(data,), square_error=max(errors))


def square_error(a: Tensor, b: Tensor) -> float:
    """Return the mean square difference of two uint8 images in 8-bit levels."""
    return F.mse_loss(a.to(torch.float32), b.to(torch.float32)).item()


def decibel(square: float) -> float:
    """Return the PSNR of a mean square error in 8-bit levels; infinite for 0."""
    return 10 * math.log10(255**2 / square) if square else math.inf


def _padded(image: Tensor) -> Tensor:
    """Extend an image to sides that are even and large enough, by repeating its last row and column."""
    height, width = image.shape[-2:]
    down, right = (max(AVIF_LEAST, side + side % 2) - side for side in (height, width))
    if not (down or right):
        return image
    return F.pad(image[None].to(torch.float32), (0, right, 0, down), mode="replicate")[0].to(torch.uint8)


def _encoded(images: Sequence[Tensor], crf: int) -> tuple[list[Packet[VideoStream]], bytes]:
    encoder = av.CodecContext.create("libsvtav1", "w")
    encoder.height, encoder.width = images[0].shape[-2:]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p10le", TICK, Fraction(25)
    encoder.colorspace, encoder.color_range = int(COLOR.matrix), int(COLOR.range)
    encoder.color_trc, encoder.color_primaries = int(COLOR.transfer), int(COLOR.primaries)
    encoder.flags |= av.codec.context.Flags.global_header
    encoder.options = {"crf": str(crf), "preset": "9", "g": str(len(images)), "svtav1-params": "lp=1"}
    open_encoder(encoder)
    packets = []
    for number, image in enumerate(images):
        packets += encoder.encode(_frame(image, number))
    return [*packets, *encoder.encode(None)], bytes(encoder.extradata or b"")


def _frame(image: Tensor, number: int) -> av.VideoFrame:
    planes = to_planes(image.to(torch.float32) / 255, COLOR, HALF_CHROMA)
    stamp = Stamp(index=number, pts=40 * number, duration=40, time_base=TICK)
    return to_av_frame(YuvFrame(planes=planes, layout=HALF_CHROMA, color=COLOR, stamp=stamp), "yuv420p10le")


def _decoded(packets: Sequence[Packet[VideoStream]], header: bytes) -> list[Tensor]:
    decoder = VideoCodecContext.create("libdav1d", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = header
    frames = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    return [eight_bit(to_rgb(planes_of(frame)[0], COLOR, HALF_CHROMA).clamp_(0, 1)) for frame in frames]


def _boxed(packets: Sequence[Packet[VideoStream]], header: bytes, width: int, height: int) -> bytes:
    written = io.BytesIO()
    with av.open(written, "w", format="avif") as container:
        stream = container.add_stream("libsvtav1", rate=25)
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt, stream.time_base = width, height, "yuv420p10le", TICK
        context.colorspace, context.color_range = int(COLOR.matrix), int(COLOR.range)
        context.color_trc, context.color_primaries = int(COLOR.transfer), int(COLOR.primaries)
        with kept_priority():  # opens SVT-AV1, although only its packets are written
            container.start_encoding()
        for packet in packets:
            packet.stream = stream
            container.mux(packet)
    return written.getvalue()
