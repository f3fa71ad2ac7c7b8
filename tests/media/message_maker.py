"""Makes clips whose frames have side data: captions, active format, HDR10+, ambient light, user data."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av

from tests.media_maker import picture
from vsr.frame import Message
from vsr.media.metadata.bits import BitWriter
from vsr.media.metadata.bitstream import with_messages

UUID = bytes(range(16))


def caption(number: int, triples: int = 2) -> Message:
    """Return two CEA-608 characters that differ from frame to frame, and padding."""
    words = bytes([0xFC, 0x80 | 0x41 + number % 26, 0x80 | 0x61]) + bytes([0xF8, 0x80, 0x80]) * (triples - 1)
    payload = b"\xb5\0\x31GA94\x03" + bytes([0xC0 | triples, 0xFF]) + words + b"\xff"
    return Message(kind="A53_CC", payload_type=4, payload=payload)


def active_format(number: int) -> Message:
    payload = b"\xb5\0\x31DTG1\x41" + bytes([0xF0 | 8 + number % 4])
    return Message(kind="AFD", payload_type=4, payload=payload)


def user_data(number: int) -> Message:
    return Message(kind="SEI_UNREGISTERED", payload_type=5, payload=UUID + bytes([0, 0, 0, number, 0, 0, 1]))


def ambient(number: int) -> Message:
    payload = struct.pack(">IHH", 3_140_000, 15635, 16450)
    return Message(kind="AMBIENT_VIEWING_ENVIRONMENT", payload_type=148, payload=payload)


def dynamic(number: int) -> Message:
    """Return HDR10+ metadata of one window, with a tone curve (CTA-861-H, annex S)."""
    bits = BitWriter()
    fields = [(1, 8), (1, 2), (400, 27), (0, 1), (100 + number, 17), (90, 17), (80, 17), (50, 17), (2, 4)]
    fields += [(1, 7), (11, 17), (99, 7), (99_000, 17), (7, 10), (0, 1)]
    fields += [(1, 1), (1000, 12), (2000, 12), (3, 4), (100, 10), (200, 10), (1023, 10), (1, 1), (9, 6)]
    for value, width in fields:
        bits.put(value, width)
    return Message(kind="DYNAMIC_HDR_PLUS", payload_type=4, payload=b"\xb5\0\x3c\0\1\4" + bits.done())


def carrying_clip(
    path: Path, codec: str, *makers: Callable[[int], Message], frames: int = 8, pix_fmt: str = ""
) -> Path:
    """Write a clip of `codec` (FFmpeg's name) in which every frame has a message from each maker, given its
    number.
    """
    encoder = {"h264": "libx264", "hevc": "libx265"}[codec]
    with av.open(str(path), "w") as box:
        stream = box.add_stream(
            encoder, rate=25, options={"x265-params": "log-level=error"} if codec == "hevc" else {}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt or "yuv420p"
        packets = []
        for number in range(frames):
            frame = picture(number, pix_fmt=stream.pix_fmt)
            frame.pts = number
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)]:
            number = round(packet.pts * packet.time_base * 25)
            made = av.Packet(with_messages(codec, bytes(packet), [make(number) for make in makers]))
            made.stream, made.pts, made.dts, made.duration = stream, packet.pts, packet.dts, packet.duration
            made.time_base, made.is_keyframe = packet.time_base, packet.is_keyframe
            box.mux(made)
    return path
