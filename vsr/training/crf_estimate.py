"""Estimates how strongly a video is compressed, as the CRF at which x264 needs the same number of bits.

The estimate decodes a few excerpts of the video and encodes them again with libx264 at several
CRFs. The result is the CRF at which the new packets are as large as those of the source.
Keyframes stay where the source has them, and x264 may use no more consecutive B-frames than the
source does, so that the two sizes can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import av
from av import Packet, VideoFrame
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from vsr.errors import InputError
from vsr.frame import VideoInfo
from vsr.media.decode.facts.probe import probe
from vsr.media.decoders.decoder import READ_ERRORS, choose_stream, decoder_of, leave_out_others, read_packets
from vsr.media.encode.encoder_options import has_avx512
from vsr.media.encode.encoder_table import ENCODERS
from vsr.media.files.opening import open_media, shown

X264_BITS = {
    "av1": 1.7,
    "vvc": 2.0,
    "hevc": 1.5,
    "vp9": 1.4,
    "vp8": 0.85,
    "vc1": 0.85,
    "wmv3": 0.85,
    "mpeg4": 0.65,
    "theora": 0.6,
    "mjpeg": 0.6,
    "h263": 0.55,
    "flv1": 0.55,
    "mpeg2video": 0.5,
    "mpeg1video": 0.45,
}
"""Number of bits that x264 needs where another codec needs one bit, at equal quality. These
are rough values from published comparisons, which differ from each other by a third. A codec
that is not in the table counts as 1.0."""
MAX_EXCERPTS = 6
"""Largest number of excerpts, spread evenly over the video."""
MIN_COUNTED_FRAMES = 24
"""Smallest number of frames of an excerpt whose bits are counted; a video
with fewer excerpts counts more of each."""
CONTEXT_FRAMES = 24
"""Number of frames that are encoded after the counted ones but not counted. x264 needs them because it spends
more bits on a frame that later frames refer to."""
MAX_PIXELS = 200_000_000
"""Largest number of pixels that are encoded at each CRF, unless a single excerpt has more.
This takes about ten seconds on one core."""
START, STEP, LOWEST, HIGHEST = 24, 6, 6, 48
"""CRFs: the first one to try, the distance to the next, and the limits of the range. CRF +
6 halves the bits approximately. Between two tries half that distance apart, the logarithm
of the bits is interpolated linearly."""
REENCODE_OFFSET = 0.8
"""CRF that is added to the estimate, because video that was compressed before is easier to compress. The
value was 0.2 to 1.5 on three clips of film and animation at CRF 18 to 33. With it, the estimates for seven
clips that name their CRF (18 or 23) were between 1.4 too low and 1.0 too high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """Estimated compression of a video."""

    codec: str
    """FFmpeg's name for the codec of the source."""
    crf: float | None
    """CRF at which x264 (preset medium) needs as many bits; None if the source has more bits than x264 needs
    at CRF `LOWEST`, so it is hardly compressed or lossless."""
    bits_per_pixel: float
    """Bits for each pixel in the source, over the excerpts."""
    note: str
    """A sentence for the user: the result and its accuracy."""


@dataclass(frozen=True, slots=True, eq=False)
class _Excerpt:
    frames: list[VideoFrame]
    """The frames in display order, as 8-bit 4:2:0."""
    keys: list[bool]
    """For each frame, whether it is a keyframe."""
    counted: int
    """The number of frames, from the first in decoding order, whose bits are counted."""
    bits: int
    """The size in bits of the source's packets for the counted frames."""
    b_frames: int
    """The largest number of consecutive B-frames if the source is H.264, otherwise x264's default of 3. On
    some content, two instead of three change the size by a third."""


def estimate_compression(path: Path) -> Compression:
    """Estimate how strongly a video is compressed.

    The function encodes the excerpts at three to five CRFs. On one core this takes 1 to 10 seconds for up to
    720 lines, and up to a minute for more.

    Args:
        path: A local video file.

    Raises:
        InputError: The file cannot be opened, or no frame can be decoded.
    """
    info = probe(path)
    excerpts = list(_excerpts(info))
    if not excerpts:
        raise InputError(
            f"{shown(path)}: no keyframe can be decoded. Check that the file plays in a video player"
        )
    bits = sum(excerpt.bits for excerpt in excerpts)
    frame_count = sum(excerpt.counted for excerpt in excerpts)
    factor = X264_BITS.get(info.codec, 1.0)
    crf = _find_crf(excerpts, info.frame_rate or Fraction(25), bits * factor)
    return Compression(
        codec=info.codec,
        crf=crf,
        bits_per_pixel=bits / (frame_count * info.width * info.height),
        note=_sentence(info.codec, crf, frame_count, len(excerpts)),
    )


def _sentence(codec: str, crf: float | None, frame_count: int, excerpts: int) -> str:
    basis = f"measured on {frame_count} frames in {excerpts} places"
    if crf is None:
        return f"{codec}, hardly compressed: more bits than x264 needs at CRF {LOWEST} ({basis})"
    accuracy = "accurate to about 3" if codec == "h264" else "a rough estimate because codecs differ"
    more = " or more" if crf >= HIGHEST else ""
    return f"{codec}, compressed about as strongly as by x264 at CRF {crf:.0f}{more}, {accuracy} ({basis})"


def _find_crf(excerpts: Sequence[_Excerpt], rate: Fraction, bits: float) -> float | None:
    """Return the CRF at which x264 needs `bits`: step until two tries
    enclose it, halve the step, interpolate."""
    spend = cache(lambda tried: _spend(excerpts, rate, tried))
    crf, spent = START, spend(START)
    step = STEP if spent > bits else -STEP
    while True:
        if not LOWEST <= crf + step <= HIGHEST:
            return None if step < 0 else float(HIGHEST)
        following = spend(crf + step)
        if (following > bits) == (spent > bits):
            crf, spent = crf + step, following
        elif abs(step) == STEP:
            step //= 2
        else:
            share = math.log(spent / bits) / math.log(spent / following)
            return min(float(HIGHEST), crf + step * share + REENCODE_OFFSET)


def _spend(excerpts: Sequence[_Excerpt], rate: Fraction, crf: int) -> int:
    return sum(_encoded_bits(excerpt, rate, crf) for excerpt in excerpts)


def _encoded_bits(excerpt: _Excerpt, rate: Fraction, crf: int) -> int:
    """Return the size in bits of the counted frames of an excerpt after x264 has encoded it."""
    encoder = VideoCodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = excerpt.frames[0].width, excerpt.frames[0].height
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", rate, 1 / rate
    encoder.thread_count = 1  # x264's decisions depend on the number of threads
    # With AVX-512, x264 codes the same frames differently in each call: Note [x264 without AVX-512].
    repeats = ENCODERS["libx264"].wide if has_avx512() else {}
    encoder.options = {"crf": str(crf), "preset": "medium", "forced-idr": "1", **repeats}
    encoder.flags |= Flags.global_header  # otherwise the first packet contains 700 bytes about x264 itself
    encoder.max_b_frames = min(16, excerpt.b_frames)  # 16 is x264's limit
    packets: list[Packet[Any]] = []
    for number, (frame, key) in enumerate(zip(excerpt.frames, excerpt.keys, strict=True)):
        frame.pts, frame.time_base = number, 1 / rate
        frame.pict_type = PictureType.I if key else PictureType.NONE
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return 8 * sum(packet.size for packet in packets[: excerpt.counted])


def _excerpts(info: VideoInfo) -> Iterator[_Excerpt]:
    """Decode the excerpts, each from the first keyframe at or after one
    of `MAX_EXCERPTS` evenly spaced times."""
    starts = _keyframe_times(info)
    fit = max(1, int(MAX_PIXELS / (info.width * info.height * (MIN_COUNTED_FRAMES + CONTEXT_FRAMES))))
    starts = starts[:: -(-len(starts) // fit)]
    share = int(
        min(MAX_PIXELS / (info.width * info.height), MAX_EXCERPTS * (MIN_COUNTED_FRAMES + CONTEXT_FRAMES))
        / max(1, len(starts))
    )
    counted = max(MIN_COUNTED_FRAMES, min(4 * MIN_COUNTED_FRAMES, share - CONTEXT_FRAMES))
    for start in starts:
        excerpt = _excerpt(info, start, counted)
        if excerpt is not None:
            yield excerpt


def _keyframe_times(info: VideoInfo) -> list[int | None]:
    """Return the times of up to `MAX_EXCERPTS` different keyframes; None
    stands for the beginning of the file."""
    found: list[int | None] = [None]
    begin = (info.start_seconds or Fraction(0)) / info.time_base
    length = (info.duration_seconds or Fraction(0)) / info.time_base
    first = next((_packet_time(packet) for packet in _packets(info, None)), None)
    for place in range(1, MAX_EXCERPTS if length and first is not None else 1):
        packets = _packets(info, round(begin + length * place / MAX_EXCERPTS))
        stamp = next((_packet_time(packet) for packet in packets if packet.is_keyframe), None)
        if stamp is not None and stamp != first and stamp not in found:
            found.append(stamp)
    return found


def _packet_time(packet: Packet[Any]) -> int | None:
    """Return a packet's presentation time, or its decoding time if the container stores no other (AVI)."""
    return packet.dts if packet.pts is None else packet.pts


def _packets(info: VideoInfo, start: int | None) -> Iterator[Packet[Any]]:
    """Yield the packets of the video stream, from the keyframe at or before a timestamp."""
    with open_media(info.path) as container:
        stream = choose_stream(container, info.path, index=info.stream_index)
        leave_out_others(container, stream)
        if start is not None:
            try:
                container.seek(start, stream=stream)
            except av.FFmpegError:
                return
        for packet in read_packets(container, lambda _: None):
            if packet.stream_index == stream.index:
                yield packet


def _excerpt(info: VideoInfo, start: int | None, counted: int) -> _Excerpt | None:
    """Decode one excerpt; None if no frame can be decoded."""
    packets = list(islice(_from_key(_packets(info, start)), counted + CONTEXT_FRAMES))
    frames = _decode(info, packets)
    counted = min(counted, len(frames))
    if not frames:
        return None
    bits = 8 * sum(packet.size for packet in packets[:counted])
    return _Excerpt(
        frames=[_as_420(frame) for frame in frames],
        keys=[frame.key_frame for frame in frames],
        counted=counted,
        bits=bits,
        b_frames=_longest_run(f.pict_type == PictureType.B for f in frames) if info.codec == "h264" else 3,
    )


def _longest_run(flags: Iterable[bool]) -> int:
    return max((sum(1 for _ in run) for flag, run in groupby(flags) if flag), default=0)


def _from_key(packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
    """Yield packets from the first keyframe on, without those displayed
    before it: their references are missing."""
    first: int | None = None
    begun = False
    for packet in packets:
        if not begun and packet.is_keyframe:
            begun, first = True, packet.pts
        if begun and (first is None or packet.pts is None or packet.pts >= first):
            yield packet


def _decode(info: VideoInfo, packets: Sequence[Packet[Any]]) -> list[VideoFrame]:
    """Decode packets to frames; packets that cannot be decoded are left out."""
    frames: list[VideoFrame] = []
    with open_media(info.path) as container:
        decoder = decoder_of(choose_stream(container, info.path, index=info.stream_index), threads=1)
        for packet in (*packets, None):
            try:
                frames += decoder.decode(packet)
            except READ_ERRORS:
                continue
    return frames


def _as_420(frame: VideoFrame) -> VideoFrame:
    """Return the frame as 8-bit 4:2:0 with even sides, which is x264's default input."""
    width, height = frame.width - frame.width % 2, frame.height - frame.height % 2
    odd = (width, height) != (frame.width, frame.height)
    # POINT removes a row or column, where another filter would blur. See
    # `vsr.media.pixels.planes.repacked` for the single thread.
    return frame.reformat(
        width=width,
        height=height,
        format="yuv420p",
        interpolation="POINT" if odd else "BICUBIC",
        threads=1,
    )
