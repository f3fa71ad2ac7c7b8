"""How strongly a video is compressed, as the CRF at which x264 would spend as many bits on it.

A few stretches are decoded and encoded again with libx264 at several CRFs; the CRF at which their packets
are as large as the source's is the answer. Key pictures are put where the source has them, and no more B
pictures in a row are allowed than it has, so that like is compared with like.
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
from vsr.media.decode.probe import probe
from vsr.media.decoders.decoder import READ_ERRORS, choose_stream, decoder_of, leave_out_others, read_packets
from vsr.media.files.opening import open_media, shown

EFFICIENCY = {
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
"""Bits that x264 needs for what a codec does with one; rough guesses from published comparisons, which differ
by content and encoder by a third. What is not listed counts as x264 itself."""
PLACES = 6
"""Stretches that are looked at, evenly spread."""
COUNTED = 24
"""Pictures of a stretch whose bits are counted, at least; more where there are fewer stretches."""
CONTEXT = 24
"""Pictures after them that are only encoded: x264 spends on a picture by what later ones take from it."""
PIXELS = 200_000_000
"""Encoded at each CRF at most, unless one stretch has more: some ten seconds on one core."""
START, STEP, LOWEST, HIGHEST = 24, 6, 6, 48
"""CRFs: the first that is tried, how far apart they are at first, and the ends of the range. CRF + 6 halves
the bits, about; between two tries, half as far apart, the logarithm of the bits is taken as straight."""
REENCODED = 0.8
"""Added: what was compressed before is easier to compress. Measured on three clips of film and animation at
CRF 18 to 33: 0.2 to 1.5. Seven clips into which x264 wrote its CRF (18 or 23) then came out 1.4 below
to 1.0 above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """How strongly a video is compressed."""

    codec: str
    """FFmpeg's name of the source's codec."""
    crf: float | None
    """Of x264 (preset medium) for as many bits; None where the source has more than CRF `LOWEST` would need:
    hardly compressed, or lossless."""
    bits_per_pixel: float
    """Of the stretches that were looked at, as the source has them."""
    note: str
    """A sentence for people: what was found, and how sure it is."""


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    frames: list[VideoFrame]
    """4:2:0, 8 bits, in the order in which they are shown."""
    keys: list[bool]
    """Which of them are key pictures."""
    counted: int
    """The first so many in the order of decoding are counted."""
    bits: int
    """Of the source's packets of those."""
    b_pictures: int
    """Most B pictures in a row where the source is H.264 too, else x264's default of 3; on some content two
    instead of three make a third of the bits."""


def estimate_compression(path: Path) -> Compression:
    """Estimate how strongly a video is compressed.

    Encodes at three to five CRFs: 1 to 10 seconds on one core up to 720 lines, up to a minute beyond.

    Args:
        path: Of a local video file.

    Raises:
        InputError: it cannot be opened, or no picture can be decoded.
    """
    info = probe(path)
    stretches = list(_stretches(info))
    if not stretches:
        raise InputError(f"{shown(path)}: no key picture can be decoded. Try to play it")
    bits = sum(stretch.bits for stretch in stretches)
    pictures = sum(stretch.counted for stretch in stretches)
    factor = EFFICIENCY.get(info.codec, 1.0)
    crf = _find_crf(stretches, info.frame_rate or Fraction(25), bits * factor)
    return Compression(
        codec=info.codec,
        crf=crf,
        bits_per_pixel=bits / (pictures * info.width * info.height),
        note=_note(info.codec, crf, pictures, len(stretches)),
    )


def _note(codec: str, crf: float | None, pictures: int, stretches: int) -> str:
    seen = f"from {pictures} pictures in {stretches} places"
    if crf is None:
        return f"{codec}, hardly compressed: more bits than x264 needs at CRF {LOWEST} ({seen})"
    sure = "within about 3" if codec == "h264" else "roughly, for codecs differ"
    more = " or more" if crf >= HIGHEST else ""
    return f"{codec}, as compressed as by x264 at CRF {crf:.0f}{more}, {sure} ({seen})"


def _find_crf(stretches: Sequence[_Stretch], rate: Fraction, bits: float) -> float | None:
    """The CRF at which x264 spends `bits`: walk until it lies between two tries, halve, then interpolate."""
    spend = cache(lambda tried: _spend(stretches, rate, tried))
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
            return min(float(HIGHEST), crf + step * share + REENCODED)


def _spend(stretches: Sequence[_Stretch], rate: Fraction, crf: int) -> int:
    return sum(_encoded_bits(stretch, rate, crf) for stretch in stretches)


def _encoded_bits(stretch: _Stretch, rate: Fraction, crf: int) -> int:
    """Bits of the counted pictures of a stretch when x264 encodes it."""
    encoder = VideoCodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = stretch.frames[0].width, stretch.frames[0].height
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", rate, 1 / rate
    encoder.thread_count = 1  # with more, x264's choices depend on how many
    encoder.options = {"crf": str(crf), "preset": "medium", "forced-idr": "1"}
    encoder.flags |= Flags.global_header  # else the first packet also holds 700 bytes about x264 itself
    encoder.max_b_frames = min(16, stretch.b_pictures)  # 16 is x264's limit
    packets: list[Packet[Any]] = []
    for number, (frame, key) in enumerate(zip(stretch.frames, stretch.keys, strict=True)):
        frame.pts, frame.time_base = number, 1 / rate
        frame.pict_type = PictureType.I if key else PictureType.NONE
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return 8 * sum(packet.size for packet in packets[: stretch.counted])


def _stretches(info: VideoInfo) -> Iterator[_Stretch]:
    """Decode what is looked at: from the first key pictures after `PLACES` points of time on."""
    starts = _key_stamps(info)
    fit = max(1, int(PIXELS / (info.width * info.height * (COUNTED + CONTEXT))))
    starts = starts[:: -(-len(starts) // fit)]
    share = int(min(PIXELS / (info.width * info.height), PLACES * (COUNTED + CONTEXT)) / max(1, len(starts)))
    counted = max(COUNTED, min(4 * COUNTED, share - CONTEXT))
    for start in starts:
        stretch = _stretch(info, start, counted)
        if stretch is not None:
            yield stretch


def _key_stamps(info: VideoInfo) -> list[int | None]:
    """Timestamps of up to `PLACES` different key pictures; None for the beginning of the file."""
    found: list[int | None] = [None]
    begin = (info.start_seconds or Fraction(0)) / info.time_base
    length = (info.duration_seconds or Fraction(0)) / info.time_base
    first = next((_time_of(packet) for packet in _packets(info, None)), None)
    for place in range(1, PLACES if length and first is not None else 1):
        packets = _packets(info, round(begin + length * place / PLACES))
        stamp = next((_time_of(packet) for packet in packets if packet.is_keyframe), None)
        if stamp is not None and stamp != first and stamp not in found:
            found.append(stamp)
    return found


def _time_of(packet: Packet[Any]) -> int | None:
    """Return a packet's presentation time, or its decoding time where the container has no other (AVI)."""
    return packet.dts if packet.pts is None else packet.pts


def _packets(info: VideoInfo, start: int | None) -> Iterator[Packet[Any]]:
    """The video's packets, on from the key picture at or before a timestamp."""
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


def _stretch(info: VideoInfo, start: int | None, counted: int) -> _Stretch | None:
    """Decode a stretch on its own; None where nothing comes out."""
    packets = list(islice(_from_key(_packets(info, start)), counted + CONTEXT))
    frames = _decode(info, packets)
    counted = min(counted, len(frames))
    if not frames:
        return None
    bits = 8 * sum(packet.size for packet in packets[:counted])
    return _Stretch(
        frames=[_as_420(frame) for frame in frames],
        keys=[frame.key_frame for frame in frames],
        counted=counted,
        bits=bits,
        b_pictures=_longest_run(f.pict_type == PictureType.B for f in frames) if info.codec == "h264" else 3,
    )


def _longest_run(flags: Iterable[bool]) -> int:
    return max((sum(1 for _ in run) for flag, run in groupby(flags) if flag), default=0)


def _from_key(packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
    """Packets from a key picture on, without those that are shown before it: they need what is not there."""
    first: int | None = None
    begun = False
    for packet in packets:
        if not begun and packet.is_keyframe:
            begun, first = True, packet.pts
        if begun and (first is None or packet.pts is None or packet.pts >= first):
            yield packet


def _decode(info: VideoInfo, packets: Sequence[Packet[Any]]) -> list[VideoFrame]:
    """The pictures of packets; what cannot be decoded is missing."""
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
    """8-bit 4:2:0 with even sides, which is what x264 takes by default."""
    width, height = frame.width - frame.width % 2, frame.height - frame.height % 2
    odd = (width, height) != (frame.width, frame.height)
    # POINT drops a row or column, where a filter would blur. One thread: see
    # `vsr.media.pixels.planes.repacked`.
    return frame.reformat(
        width=width,
        height=height,
        format="yuv420p",
        interpolation="POINT" if odd else "BICUBIC",
        threads=1,
    )
