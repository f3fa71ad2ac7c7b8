"""Decoding on an NVIDIA GPU (FFmpeg's hwaccel `cuda`, NVDEC).

FFmpeg copies the GPU's frames to host memory as NV12 or P010. They are converted to planar formats there, so
that all later steps are the same as for software decoding. This module does not choose the device that runs
the generator.
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
from vsr.media.decode.facts.probe import first_frame
from vsr.media.decoders.decoder import READ_ERRORS, FrameDecoder, choose_stream, decoder_of
from vsr.media.files.opening import MAX_PIXELS, open_media, shown
from vsr.media.pixels.layouts import layout_of
from vsr.media.pixels.planes import repacked, to_planes
from vsr.settings.schema import Hwaccel

CODECS = ("h264", "hevc")
"""FFmpeg's names of the codecs that a GPU may decode. Their standards define every bit of a frame. MPEG-2 and
MPEG-4 leave the rounding of a transform open, and FFmpeg's AV1 decoder for GPUs has no software fallback."""
PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le"}
"""Maps the GPU's pixel formats to planar formats that hold the same samples."""
_ON_CARD = "cuda"
"""FFmpeg's pixel format of a decoder whose frames are in the memory of an NVIDIA GPU."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """The device that decodes a video."""

    card: int | None = None
    """CUDA index of the GPU; None for software."""
    note: str | None = None
    """A sentence that says why software decodes although a GPU was requested; else None."""

    @property
    def name(self) -> str:
        """`software` or `cuda:N`, for reports."""
        return "software" if self.card is None else f"cuda:{self.card}"

    @property
    def kind(self) -> str:
        """`software` or `cuda`. Damaged frames may differ between the two, because only software conceals
        errors.
        """
        return self.name.partition(":")[0]


SOFTWARE = Decoding()


def choose_decoding(
    info: VideoInfo, requested: Hwaccel, *, card: int = 0, strict: bool = False, max_pixels: int = MAX_PIXELS
) -> Decoding:
    """Choose the decoder of a video. A GPU is chosen only if its first frame equals software's, bit for bit.

    Args:
        info: Of the video, as software decodes it.
        requested: `none` is software; `auto` is a GPU if it can decode it; `cuda` is a GPU or an error.
        card: CUDA index of the GPU.
        strict: Whether all damage must be noticed.
        max_pixels: Larger frames are refused.

    Raises:
        DeviceError: `requested` is `cuda`, and the GPU cannot decode the video; the message says why.
    """
    if requested == "none":
        return SOFTWARE
    why = _why_not(info, card, strict=strict, max_pixels=max_pixels)
    if why is None:
        return Decoding(card)
    if requested == "auto":
        return Decoding(note=f"`hwaccel='auto'`: {why}; software decodes the same frames instead")
    raise DeviceError(
        f"{shown(info.path)}: `hwaccel={requested!r}` is impossible: {why}; use `hwaccel='auto'`, or leave "
        "it out"
    )


def accelerator(card: int | None) -> HWAccel | None:
    """Return the argument for `open_media` that selects decoding on a GPU; None for software."""
    if card is None:
        return None
    # With the fallback, software takes over where the stream changes to a format that the GPU cannot decode.
    return HWAccel("cuda", device=card, allow_software_fallback=True)


def is_decoded_on_gpu(decoder: FrameDecoder) -> bool:
    """Return whether a GPU decoded the latest frame; defined from the first frame on."""
    return decoder.pix_fmt == _ON_CARD


def as_software(frame: VideoFrame, pixel_format: str) -> VideoFrame:
    """Convert a frame that a GPU decoded to what software gives: planar, with the same samples, tags and
    times.

    Args:
        frame: In host memory. A frame that software decoded is returned unchanged.
        pixel_format: Of software's first frame. FFmpeg's decoders may call full range `yuvj420p`.
    """
    planar = PLANAR.get(frame.format.name)
    if planar is None:
        return frame
    named_j = pixel_format == "yuvj420p" and planar == "yuv420p" and frame.color_range == Range.FULL
    return repacked(frame, layout_of(planar), name=pixel_format if named_j else planar)


def missing(card: int = 0) -> str | None:
    """Return why a GPU cannot be used, or None if it can."""
    try:
        HWAccel("cuda", device=card).create(av.Codec(CODECS[0], "r"))
    except NotImplementedError:
        return "this build of FFmpeg cannot decode on NVIDIA GPUs"
    except READ_ERRORS as error:
        return f"there is no NVIDIA driver, or no GPU {card} ({getattr(error, 'strerror', None) or error})"
    return None


def available() -> dict[str, str]:
    """Return the decoders beside software: a name, and which codecs it decodes or what is missing. A test
    frame is decoded.
    """
    why = missing()
    if why is None and not _decodes_a_frame():
        why = "the GPU's driver lacks its video libraries (in a container, the capability `video`)"
    return {"cuda": f"is there, for {' and '.join(CODECS)}" if why is None else f"not here: {why}"}


def _why_not(info: VideoInfo, card: int, *, strict: bool, max_pixels: int) -> str | None:
    """Return why a GPU may not decode a video, or None. The cheapest checks come first."""
    if strict:
        return "`strict=True` has to notice damage within frames, and a GPU does not report it"
    if info.codec not in CODECS:
        return f"only {' and '.join(CODECS)} are decoded on a GPU, not {info.codec}"
    if info.pixel_format.replace("yuvj", "yuv") not in PLANAR.values():
        return f"only 4:2:0 with 8 or 10 bits is decoded on a GPU, not {info.pixel_format}"
    return missing(card) or _why_not_at_first_frame(info, card, max_pixels)


def _decodes_a_frame() -> bool:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width = encoder.height = 256
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    packets = [*encoder.encode(av.VideoFrame(256, 256, "yuv420p")), *encoder.encode(None)]
    decoder = av.CodecContext.create("h264", "r", hwaccel=accelerator(0))
    frames = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    return bool(frames) and is_decoded_on_gpu(decoder)


def _why_not_at_first_frame(info: VideoInfo, card: int, max_pixels: int) -> str | None:
    try:
        ours, on_gpu = _first_frame(info, card, max_pixels)
        expected, _ = _first_frame(info, None, max_pixels)
    except InputError as error:
        return f"the GPU fails at the first frame ({error})"
    if not on_gpu:
        size = f"{info.width}x{info.height}"
        return f"GPU {card} or its driver cannot decode {info.codec} {info.pixel_format} of {size}"
    if not _same(as_software(ours, info.pixel_format), expected):
        return "the GPU's first frame differs from the one that software decodes"
    return None


def _first_frame(info: VideoInfo, card: int | None, max_pixels: int) -> tuple[VideoFrame, bool]:
    """Return the first frame of a video, and whether a GPU decoded it."""
    with open_media(info.path, max_pixels=max_pixels, hwaccel=accelerator(card)) as container:
        stream = choose_stream(container, info.path, index=info.stream_index)
        decoder = decoder_of(stream, threads=1, max_pixels=max_pixels)
        return first_frame(container, stream, decoder, info.path), is_decoded_on_gpu(decoder)


def _same(one: VideoFrame, other: VideoFrame) -> bool:
    """Return whether two frames have the same size, format and samples."""
    if (one.width, one.height, one.format.name) != (other.width, other.height, other.format.name):
        return False
    return all(torch.equal(a, b) for a, b in zip(to_planes(one)[0], to_planes(other)[0], strict=True))
