"""Writes H.264 whose fields are coded as pictures of their own (PAFF), which no encoder here can."""

from __future__ import annotations

from pathlib import Path

import av


class Bits:
    """Bits of a NAL unit; u(v) and ue(v) of ITU-T H.264, 7.2 and 9.1."""

    def __init__(self, *pairs: tuple[int, int]) -> None:
        self.text = "".join(f"{value:0{bits}b}" for value, bits in pairs if bits)

    def u(self, value: int, bits: int) -> Bits:
        self.text += f"{value:0{bits}b}"
        return self

    def ue(self, *values: int) -> Bits:
        for value in values:
            length = (value + 1).bit_length()
            self.text += "0" * (length - 1) + f"{value + 1:b}"
        return self

    def aligned(self) -> Bits:
        self.text += "0" * (-len(self.text) % 8)
        return self

    def unit(self, kind: int) -> bytes:
        self.text += "1"
        raw = int("1" + self.aligned().text, 2).to_bytes(len(self.text) // 8 + 1, "big")[1:]
        escaped, zeros = bytearray([3 << 5 | kind]), 0
        for byte in raw:
            if zeros >= 2 and byte <= 3:
                escaped.append(3)
                zeros = 0
            escaped.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes(escaped)


def headers(width: int, height: int, rate: int) -> bytes:
    """Return the parameter sets: Main profile, frame_mbs_only_flag 0, CAVLC, timing of single fields."""
    sps = Bits((77, 8), (0, 8), (30, 8)).ue(0, 0, 0, 4, 1).u(0, 1).ue(width // 16 - 1, height // 32 - 1)
    sps.u(0, 1).u(0, 1).u(1, 1).u(0, 1)  # no MBAFF, direct_8x8_inference, no cropping
    sps.u(1, 1).u(0, 1).u(0, 1).u(0, 1).u(0, 1)  # a VUI of timing only
    sps.u(1, 1).u(1, 32).u(2 * rate, 32).u(1, 1).u(0, 4)
    pps = Bits().ue(0, 0).u(0, 2).ue(0, 0, 0).u(0, 3).ue(0, 0, 0).u(0, 3)
    return sps.unit(7) + pps.unit(8)


def field(
    width: int, height: int, number: int, order: int, *, bottom: bool, idr: bool, luma: int, key: int
) -> bytes:
    """Return a field of one brightness, of I_PCM macroblocks; `height` is that of the frame."""
    slice_ = Bits().ue(0, 7, 0).u(number % 16, 4).u(1, 1).u(int(bottom), 1)
    if idr:
        slice_.ue(key % 2)
    slice_.u(order % 256, 8).u(0, 2 if idr else 1).ue(0)
    samples = f"{luma:08b}" * 256 + "10000000" * 128
    for _ in range(width // 16 * height // 32):
        slice_.ue(25).aligned().text += samples
    return slice_.unit(5 if idr else 1)


def field_pairs(
    frames: int, *, bottom_first: bool = False, every: int = 1000, width: int = 64, height: int = 64
) -> list[bytes]:
    """Return the access units of a video of 25 frames a second, two for each frame; `every` tells how often
    there is a key frame.
    """
    made = []
    for number in range(frames):
        head = headers(width, height, 25) if number % every == 0 else b""
        for second in (False, True):
            bottom, luma = second != bottom_first, 20 + 5 * (number % 40) + second
            made.append(
                (b"" if second else head)
                + field(
                    width,
                    height,
                    number % every,
                    2 * (number % every) + second,
                    bottom=bottom,
                    idr=not (number % every or second),
                    luma=luma,
                    key=number // every,
                )
            )
    return [b"\0\0\0\1\x09\xf0" + unit for unit in made]


def write_paff(path: Path, frames: int, *, bottom_first: bool = False, every: int = 1000) -> None:
    """Mux such a video into a container that vsr reads, each field as a packet, as FFmpeg does."""
    raw = path.with_suffix(".h264")
    raw.write_bytes(b"".join(field_pairs(frames, bottom_first=bottom_first, every=every)))
    with av.open(str(raw), options={"framerate": "25"}) as source, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(source.streams.video[0], opaque=True)
        made.start_encoding()
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            packet.time_base = source.streams.video[0].time_base
            step = round(1 / (50 * packet.time_base))
            packet.pts = packet.dts = number * step
            packet.duration = step
            packet.stream = stream
            made.mux(packet)
