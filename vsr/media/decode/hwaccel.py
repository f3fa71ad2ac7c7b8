"""Decoding on an NVIDIA GPU (FFmpeg's hwaccel `cuda`, NVDEC).

FFmpeg copies the card's pictures to the host, as NV12 or P010; they are put into planes there, so that all
behind the decoder is the same for both. Nothing here chooses what runs the generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import torch
from av import VideoFrame
from av.codec.hwaccel import HWAccel

from vsr.color.spec import Range
from vsr.errors import DeviceError, InputError
from vsr.frame import VideoInfo
from vsr.media.decode.probe import first_picture
from vsr.media.decoders.decoder import READ_ERRORS, FrameDecoder, choose_stream, decoder_of
from vsr.media.files.opening import MAX_PIXELS, open_media, shown
from vsr.media.pixels.layouts import layout_of
from vsr.media.pixels.planes import repacked, to_planes
from vsr.settings.schema import Hwaccel

CODECS = ("h264", "hevc")
"""FFmpeg's names of what a card may decode. Their standards give every bit of a picture; those of MPEG-2 and
MPEG-4 leave the rounding of a transform open, and FFmpeg's decoder of AV1 for cards has no fallback."""
PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le"}
"""Pixel formats of a card to those that hold the same samples in planes."""
_ON_CARD = "cuda"
"""FFmpeg's pixel format of a decoder whose pictures lie on an NVIDIA card."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """What decodes a video."""

    card: int | None = None
    """Number of the card; None is software."""
    note: str | None = None
    """A sentence, where a card was wished for and software decodes."""

    @property
    def name(self) -> str:
        """`software` or `cuda:N`, for reports."""
        return "software" if self.card is None else f"cuda:{self.card}"

    @property
    def kind(self) -> str:
        """`software` or `cuda`: where damaged pictures may differ, because only software conceals errors."""
        return self.name.partition(":")[0]


SOFTWARE = Decoding()


def choose_decoding(
    info: VideoInfo, wish: Hwaccel, *, card: int = 0, strict: bool = False, max_pixels: int = MAX_PIXELS
) -> Decoding:
    """What is to decode a video. The card has to give its first picture as software does, bit for bit.

    Args:
        info: Of the video, as software sees it.
        wish: `none` is software; `auto` a card where it can; `cuda` a card, or no run at all.
        card: Number of the card.
        strict: Whether all damage must be noticed.
        max_pixels: Larger pictures are refused.

    Raises:
        DeviceError: `cuda`, and the card cannot; the message says why.
    """
    if wish == "none":
        return SOFTWARE
    why = _why_not(info, card, strict=strict, max_pixels=max_pixels)
    if why is None:
        return Decoding(card)
    if wish == "auto":
        return Decoding(note=f"--hwaccel auto: {why}; software decodes, to the same pictures")
    raise DeviceError(
        f"{shown(info.path)}: --hwaccel {wish} is impossible: {why}; use --hwaccel auto, or leave it out"
    )


def accelerator(card: int | None) -> HWAccel | None:
    """What `open_media` takes to decode on a card; None for software."""
    if card is None:
        return None
    # With the fallback, a stream that changes on the way to what the card cannot decode goes on in software.
    return HWAccel("cuda", device=card, allow_software_fallback=True)


def is_on_card(decoder: FrameDecoder) -> bool:
    """Whether a card decoded what came last; known from the first picture on."""
    return decoder.pix_fmt == _ON_CARD


def as_software(frame: VideoFrame, pixel_format: str) -> VideoFrame:
    """A picture that a card decoded, as software gives it: in planes, with the same samples, tags and times.

    Args:
        frame: Of a card, copied to the host; any other comes back as it is.
        pixel_format: Of software's first picture: FFmpeg's decoders may call full range `yuvj420p`.
    """
    planar = PLANAR.get(frame.format.name)
    if planar is None:
        return frame
    named_j = pixel_format == "yuvj420p" and planar == "yuv420p" and frame.color_range == Range.FULL
    return repacked(frame, layout_of(planar), name=pixel_format if named_j else planar)


def missing(card: int = 0) -> str | None:
    """Why a card cannot be reached, or None."""
    try:
        HWAccel("cuda", device=card).create(av.Codec(CODECS[0], "r"))
    except NotImplementedError:
        return "this build of FFmpeg decodes nothing on NVIDIA cards"
    except READ_ERRORS as error:
        return f"no NVIDIA driver, or no card {card} ({getattr(error, 'strerror', None) or error})"
    return None


def to_be_had() -> dict[str, str]:
    """What can decode beside software, each with what it decodes or what is missing; a picture is tried."""
    why = missing()
    if why is None and not _decodes_a_picture():
        why = "the card's driver lacks its libraries for video (in a container, its capability `video`)"
    return {"cuda": f"is there, for {' and '.join(CODECS)}" if why is None else f"not here: {why}"}


def _why_not(info: VideoInfo, card: int, *, strict: bool, max_pixels: int) -> str | None:
    """Why a card may not decode a video, or None; what costs nothing to find out comes first."""
    if strict:
        return "--strict has to notice damage within pictures, and a card does not tell"
    if info.codec not in CODECS:
        return f"a card decodes {' and '.join(CODECS)} here, not {info.codec}"
    if info.pixel_format.replace("yuvj", "yuv") not in PLANAR.values():
        return f"a card decodes 4:2:0 of 8 and 10 bits here, not {info.pixel_format}"
    return missing(card) or _at_first_picture(info, card, max_pixels)


def _decodes_a_picture() -> bool:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width = encoder.height = 256
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    packets = [*encoder.encode(av.VideoFrame(256, 256, "yuv420p")), *encoder.encode(None)]
    decoder = av.CodecContext.create("h264", "r", hwaccel=accelerator(0))
    pictures = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    return bool(pictures) and is_on_card(decoder)


def _at_first_picture(info: VideoInfo, card: int, max_pixels: int) -> str | None:
    try:
        ours, by_card = _first_picture(info, card, max_pixels)
        expected, _ = _first_picture(info, None, max_pixels)
    except InputError as error:
        return f"the card fails at the first picture ({error})"
    if not by_card:
        size = f"{info.width}x{info.height}"
        return f"card {card} or its driver cannot decode {info.codec} {info.pixel_format} of {size}"
    if not _same(as_software(ours, info.pixel_format), expected):
        return "the card's first picture is not the one of software"
    return None


def _first_picture(info: VideoInfo, card: int | None, max_pixels: int) -> tuple[VideoFrame, bool]:
    """The first picture of a video, and whether a card decoded it."""
    with open_media(info.path, max_pixels=max_pixels, hwaccel=accelerator(card)) as container:
        stream = choose_stream(container, info.path, index=info.stream_index)
        decoder = decoder_of(stream, threads=1, max_pixels=max_pixels)
        return first_picture(container, stream, decoder, info.path), is_on_card(decoder)


def _same(one: VideoFrame, other: VideoFrame) -> bool:
    """Whether two pictures have one size, one format and the same samples."""
    if (one.width, one.height, one.format.name) != (other.width, other.height, other.format.name):
        return False
    return all(torch.equal(a, b) for a, b in zip(to_planes(one)[0], to_planes(other)[0], strict=True))
