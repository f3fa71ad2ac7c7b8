"""Segments of the video stream on the disk, from which a run is resumed.

Each segment comes from its own encoder. So it begins with a key frame, refers to no other segment, and is the
same whether the earlier frames were encoded in this run or in a previous one. The file contains the encoder's
packets, then a JSON trailer. It gets its final name when it is complete.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.packet import Packet

from vsr.errors import ConfigError, DeviceError, OutputError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.media.encode.video_encoder import VideoEncoder
from vsr.media.files.opening import open_own
from vsr.media.formats.containers import Container
from vsr.settings.toml import from_table
from vsr.system.files import sync
from vsr.writing import move_over, new_file

_PACKET = struct.Struct("<qqqBI")
"""Presentation time, decoding time, duration, flags, size."""
_END = struct.Struct("<I8s")
"""Size of the JSON before it, and `_MAGIC`."""
_MAGIC = b"vsr-seg2"
_NO_TIME = -(2**63)
_KEY = 1
_BOX = 2
"""Flag of the first record if its data is a Matroska file with all packets, whose records have no data."""
_SPARE = frozenset({"quality_stats", "cpb_properties"})
"""Side data of packets that no container stores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The trailer of a finished segment."""

    frames: int
    first_pts: int
    """Time of the first frame shown, in ticks of the source."""
    end: int
    """Time at which the last frame ends, in ticks of the source."""
    extradata: str
    """The encoder's global header in hexadecimal; it must be the same in all segments of a file."""
    bytes: int
    """Size of all packets."""
    source: str
    """Hash of the source frames from which it was made; see `SourceHashes`."""


def _is_boxed(plan: EncoderPlan) -> bool:
    """Return whether the packets are stored inside a Matroska file: VP9's alpha is side data of packets,
    which only a demuxer can restore.
    """
    return plan.codec == "libvpx-vp9" and plan.pixel_format.startswith("yuva")


class SegmentWriter:
    """Encodes frames to a segment; the file exists when `finish` has returned."""

    def __init__(self, path: Path, plan: EncoderPlan, info: VideoInfo, container: Container) -> None:
        """Open an encoder with the settings that `container` needs.

        Raises:
            DeviceError, ConfigError: see `VideoEncoder`.
            OSError: the folder cannot be written to.
        """
        self._path, self._plan, self._frames = path, plan, 0
        self._first_pts = 0
        # Only packets with alpha are muxed: encoders need a container to decide where headers are stored.
        self._box = io.BytesIO()
        self._shell = av.open(self._box, "w", format=container.muxer)
        self._is_boxed, self._heads = _is_boxed(plan), b""
        self._encoder = VideoEncoder(self._shell, plan, info)
        self._file = new_file(path.with_suffix(".part"))

    def write(self, frame: YuvFrame) -> None:
        """Encode one frame.

        Raises:
            DeviceError: the encoder failed.
            OSError: the disk is full.
        """
        if not self._frames:
            self._first_pts = frame.stamp.pts
        packets = self._encoder.encode(frame)
        self._frames += 1
        self._keep(packets)

    def finish(self, source: str) -> tuple[Segment, str]:
        """Flush the encoder, store the file on the disk, and rename it to its final name.

        Args:
            source: Hash of the source frames from which it was made.

        Returns:
            The segment, and the file's SHA-256.

        Raises:
            DeviceError: the encoder failed.
            OSError: the disk is full.
        """
        self._keep(self._encoder.flush())
        segment = Segment(
            frames=self._frames,
            first_pts=self._first_pts,
            end=self._encoder.end,
            extradata=(self._encoder.stream.codec_context.extradata or b"").hex(),
            bytes=self._encoder.bytes,
            source=source,
        )
        self._shell.close()
        if self._is_boxed:
            data = self._box.getvalue()
            self._file.write(_PACKET.pack(0, 0, 0, _BOX, len(data)) + data + self._heads)
        text = json.dumps(asdict(segment)).encode()
        self._file.write(text + _END.pack(len(text), _MAGIC))
        self._file.flush()
        sync(self._file.fileno())
        self._file.close()
        part = self._path.with_suffix(".part")
        digest = sha256_of(part)
        move_over(part, self._path)
        return segment, digest

    def drop(self) -> None:
        """Remove what is unfinished; may be called repeatedly, also after `finish`."""
        with suppress(OSError):
            self._file.close()
        self._path.with_suffix(".part").unlink(missing_ok=True)
        self._shell.close()

    def _keep(self, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            flags = _KEY * packet.is_keyframe
            times = [_NO_TIME if t is None else t for t in (packet.pts, packet.dts, packet.duration)]
            if self._is_boxed:
                self._heads += _PACKET.pack(*times, flags, 0)
                self._shell.mux(packet)
                continue
            _check_side_data(packet, self._plan)
            self._file.write(_PACKET.pack(*times, flags, packet.size))
            self._file.write(bytes(packet))


def _check_side_data(packet: Packet[Any], plan: EncoderPlan) -> None:
    strange = sorted({data.data_type for data in packet.iter_sidedata()} - _SPARE)
    if strange:
        raise DeviceError(
            f"{plan.codec} adds {', '.join(strange)} to its packets, which a resumable run "
            "would lose; use `resume=False`"
        )


def read_segment(path: Path) -> Segment:
    """Read the trailer of a finished segment.

    Raises:
        OutputError: the file is not a complete segment, or cannot be read.
    """
    with _reading(path), path.open("rb") as file:
        return _trailer(file)[0]


def read_packets(path: Path, time_base: Fraction) -> Iterator[Packet[Any]]:
    """Yield the packets of a segment in the encoder's order, in ticks of `time_base`.

    Raises:
        OutputError: the file is not a complete segment, or cannot be read.
    """
    with ExitStack() as stack:
        with _reading(path):
            file = stack.enter_context(path.open("rb"))
            _, end = _trailer(file)
            boxed = _boxed(file, end, stack)
        while True:
            with _reading(path):
                packet = _packet(file, end, boxed)
            if packet is None:
                return
            packet.time_base = time_base
            yield packet


def _boxed(file: BinaryIO, end: int, stack: ExitStack) -> Iterator[Packet[Any]] | None:
    """Return the packets of the Matroska file in a segment, with `file` at their times; None, with `file` at
    the start, if the segment contains none. The stack closes it."""
    file.seek(0)
    head = file.read(_PACKET.size) if end >= _PACKET.size else b""
    if head and _PACKET.unpack(head)[3] == _BOX:
        data = file.read(min(_PACKET.unpack(head)[4], end))
        box = stack.enter_context(open_own(data, "matroska"))
        return (packet for packet in box.demux(video=0) if packet.size)
    file.seek(0)
    return None


def _packet(file: BinaryIO, end: int, boxed: Iterator[Packet[Any]] | None) -> Packet[Any] | None:
    """Read the next packet before `end`, or None; its data may be in a Matroska file."""
    if file.tell() >= end:
        return None
    pts, dts, duration, flags, size = _PACKET.unpack(file.read(_PACKET.size))
    data = file.read(min(size, end))
    packet = Packet(data) if boxed is None else next(boxed, None)
    if len(data) != size or packet is None:
        raise ValueError("a packet is cut off")
    packet.pts = None if pts == _NO_TIME else pts
    packet.dts = None if dts == _NO_TIME else dts
    packet.duration = None if duration == _NO_TIME else duration
    packet.is_keyframe = bool(flags & _KEY)
    return packet


@contextmanager
def _reading(path: Path) -> Generator[None, None, None]:
    """Translate errors of reading a segment to one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path.name}: a finished part cannot be read ({error.strerror}); check the disk and run it "
            "again to resume, or start again with `restart=True`"
        ) from error
    except (ValueError, TypeError, RecursionError, ConfigError, struct.error, av.FFmpegError) as error:
        raise OutputError(
            f"{path.name}: is not a complete part ({error}); start again with `restart=True`"
        ) from error


def _trailer(file: BinaryIO) -> tuple[Segment, int]:
    """Read the trailer of a segment, and return where its packets end."""
    whole = file.seek(0, os.SEEK_END)
    file.seek(max(0, whole - _END.size))
    size, magic = _END.unpack(file.read(_END.size))
    if magic != _MAGIC:
        raise ValueError("no end mark")
    end = whole - _END.size - size
    file.seek(end)
    return from_table(json.loads(file.read(size)), Segment, where="its end"), end


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
