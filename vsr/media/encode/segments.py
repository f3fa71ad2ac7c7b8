"""Segments of the video stream on the disk, from which a run is resumed.

Each segment comes from an encoder of its own, so it begins with a key frame, refers to nothing outside, and
is the same whether the frames before it were encoded in this run or in an earlier one. The file holds
packets as the encoder gave them, then what is known of them all; it gets its name only when it is whole.
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
from vsr.media.encode.video_encoder import PictureEncoder
from vsr.media.formats.containers import Container
from vsr.settings.toml import from_table
from vsr.writing import move_over, new_file

_PACKET = struct.Struct("<qqqBI")
"""Presentation time, decoding time, duration, flags, size."""
_END = struct.Struct("<I8s")
"""Size of the JSON before it, and `_MAGIC`."""
_MAGIC = b"vsr-seg2"
_NO_TIME = -(2**63)
_KEY = 1
_SPARE = frozenset({"quality_stats", "cpb_properties"})
"""Data beside packets that no container holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What is known of a finished segment."""

    frames: int
    first_pts: int
    """Of the first frame shown, in the source's time base."""
    end: int
    """When the last frame ends, in the same."""
    extradata: str
    """The encoder's global header in hexadecimal, which all segments of a file must share."""
    bytes: int
    """Of all packets."""
    source: str
    """Hash of the source's frames that it was made of; see `SourceHashes`."""


def resumable(plan: EncoderPlan) -> bool:
    """Whether packets can be kept: VP9 has transparency beside its packets, where PyAV cannot put it back."""
    return not (plan.codec == "libvpx-vp9" and plan.pixel_format.startswith("yuva"))


class SegmentWriter:
    """Encodes frames into a segment; the file exists once `finish` has returned."""

    def __init__(self, path: Path, plan: EncoderPlan, info: VideoInfo, container: Container) -> None:
        """Open an encoder as `container` wants it.

        Raises:
            DeviceError, ConfigError: see `PictureEncoder`.
            OSError: the folder cannot be written.
        """
        self._path, self._plan, self._frames = path, plan, 0
        self._first_pts = 0
        # Nothing is muxed: encoders only ask their container whether headers go into it.
        self._shell = av.open(io.BytesIO(), "w", format=container.muxer)
        self._encoder = PictureEncoder(self._shell, plan, info)
        self._file = new_file(path.with_suffix(".part"))

    def write(self, frame: YuvFrame) -> None:
        """Encode one frame.

        Raises:
            DeviceError: the encoder failed.
            OSError: the disk is full.
        """
        if not self._frames:
            self._first_pts = frame.stamp.pts
        try:
            packets = self._encoder.encode(frame)
        except av.FFmpegError as error:
            raise _failed(self._plan, f"frame {frame.stamp.index}", error) from error
        self._frames += 1
        self._keep(packets)

    def finish(self, source: str) -> tuple[Segment, str]:
        """Empty the encoder and give the file its name, safe on the disk.

        Args:
            source: Hash of the source's frames that it was made of.

        Returns:
            The segment, and the file's sha256.
        """
        try:
            packets = self._encoder.flush()
        except av.FFmpegError as error:
            raise _failed(self._plan, "its end", error) from error
        self._keep(packets)
        segment = Segment(
            frames=self._frames,
            first_pts=self._first_pts,
            end=self._encoder.end,
            extradata=(self._encoder.stream.codec_context.extradata or b"").hex(),
            bytes=self._encoder.bytes,
            source=source,
        )
        text = json.dumps(asdict(segment)).encode()
        self._file.write(text + _END.pack(len(text), _MAGIC))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        part = self._path.with_suffix(".part")
        digest = sha256_of(part)
        move_over(part, self._path)
        self._shell.close()
        return segment, digest

    def drop(self) -> None:
        """Leave nothing behind; harmless when repeated, or when finished."""
        with suppress(OSError):
            self._file.close()
        self._path.with_suffix(".part").unlink(missing_ok=True)
        self._shell.close()

    def _keep(self, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            _check_side_data(packet, self._plan)
            flags = _KEY * packet.is_keyframe
            times = [_NO_TIME if t is None else t for t in (packet.pts, packet.dts, packet.duration)]
            self._file.write(_PACKET.pack(*times, flags, packet.size))
            self._file.write(bytes(packet))


def _check_side_data(packet: Packet[Any], plan: EncoderPlan) -> None:
    strange = sorted({data.data_type for data in packet.iter_sidedata()} - _SPARE)
    if strange:
        raise DeviceError(
            f"{plan.codec} gives {', '.join(strange)} beside its packets, which a run that can be resumed "
            "would lose; use --no-resume"
        )


def _failed(plan: EncoderPlan, where: str, error: av.FFmpegError) -> DeviceError:
    return DeviceError(f"{plan.codec} failed at {where} ({error.strerror}); try another --encoder")


def read_segment(path: Path) -> Segment:
    """What is known of a finished segment.

    Raises:
        OutputError: the file is not a whole segment, or cannot be read.
    """
    with _reading(path), path.open("rb") as file:
        return _trailer(file)[0]


def read_packets(path: Path, time_base: Fraction) -> Iterator[Packet[Any]]:
    """The packets of a segment in the encoder's order, in ticks of `time_base`.

    Raises:
        OutputError: the file is not a whole segment, or cannot be read.
    """
    with ExitStack() as stack:
        with _reading(path):
            file = stack.enter_context(path.open("rb"))
            _, end = _trailer(file)
            file.seek(0)
        while True:
            with _reading(path):
                packet = _packet(file, end)
            if packet is None:
                return
            packet.time_base = time_base
            yield packet


def _packet(file: BinaryIO, end: int) -> Packet[Any] | None:
    """The next packet before `end`."""
    if file.tell() >= end:
        return None
    pts, dts, duration, flags, size = _PACKET.unpack(file.read(_PACKET.size))
    data = file.read(min(size, end))
    if len(data) != size:
        raise ValueError("a packet is cut off")
    packet: Packet[Any] = Packet(data)
    packet.pts = None if pts == _NO_TIME else pts
    packet.dts = None if dts == _NO_TIME else dts
    packet.duration = None if duration == _NO_TIME else duration
    packet.is_keyframe = bool(flags & _KEY)
    return packet


@contextmanager
def _reading(path: Path) -> Generator[None, None, None]:
    """What may go wrong with a part on the disk, in one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path.name}: a finished part cannot be read ({error.strerror}); see to the disk, then the same "
            "command goes on, or --restart begins anew"
        ) from error
    except (ValueError, TypeError, RecursionError, ConfigError, struct.error) as error:
        raise OutputError(f"{path.name}: is no whole part ({error}); --restart begins anew") from error


def _trailer(file: BinaryIO) -> tuple[Segment, int]:
    """What is known of the segment, and where its packets end."""
    whole = file.seek(0, os.SEEK_END)
    file.seek(max(0, whole - _END.size))
    size, magic = _END.unpack(file.read(_END.size))
    if magic != _MAGIC:
        raise ValueError("no end mark")
    end = whole - _END.size - size
    file.seek(end)
    return from_table(json.loads(file.read(size)), Segment, where="its end"), end


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
