"""Finds the key frame from which a later part of a video is decoded exactly, without decoding all before it.

The packets before it are read, not decoded: their times say how many frames come before, whatever index the
container has or lacks. `find_entry` returns None wherever a run from the start could give other frames,
numbers or times; then all is decoded. What it returns is proved once more while it is used
(`VideoSource.frames`): the first frames must have the times that the packets promised.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappush, heappushpop
from itertools import islice, takewhile
from math import ceil
from typing import Any

from av import Packet, VideoFrame
from av.video.codeccontext import VideoCodecContext

from vsr.frame import VideoInfo
from vsr.media.decoders.decoder import READ_ERRORS, choose_stream, decoder_of, leave_out_others, read_packets
from vsr.media.decoders.entry_points import PacketReader, reader_for
from vsr.media.files.opening import MAX_PIXELS, open_media
from vsr.media.files.pyav import fraction
from vsr.media.files.stdio import is_pipe

BEYOND = 32
"""Packets that are read after the wanted frame's: frames are never reordered by more than 16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """The first frame of the stream, from which later ones are judged."""

    pts: int
    width: int
    height: int
    pixel: Fraction | None
    """Sample aspect ratio that the decoder states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A frame from which decoding can begin, and what a run from the start would know there."""

    packets: int
    """Packets of the video before that of the frame."""
    index: int
    """Number of the frame in presentation order."""
    pts: int
    """In ticks, as the next two."""
    previous: int
    """Of the frame before it in presentation order."""
    expected: tuple[int, ...]
    """Of the frames from this one to the wanted one; decoding must give these."""
    first: First

    @property
    def wanted(self) -> int:
        """Number of the wanted frame, or of the last one where the video ends before it."""
        return self.index + len(self.expected) - 1


def find_entry(
    info: VideoInfo,
    *,
    index: int = 0,
    start: Fraction | None = None,
    run_up: int = 0,
    threads: int = 0,
    max_pixels: int = MAX_PIXELS,
    stopped: Callable[[], bool] = lambda: False,
) -> Entry | None:
    """Return the last frame from which the wanted frame and all later ones are decoded exactly.

    Args:
        info: Of the video.
        index: Number of the wanted frame.
        start: Or else its time at the earliest, in seconds after the first frame.
        run_up: The number of frames before the wanted one that are needed as well.
        threads: As in `open_video`.
        max_pixels: As in `open_video`.
        stopped: Called for each packet; returns whether to give up, because nobody waits for the frames.

    Returns:
        None where everything must be decoded from the start.

    Raises:
        InputError: the file cannot be opened.
    """
    if is_pipe(info.path) or (not index and (start is None or start <= 0)):
        return None
    with open_media(info.path, max_pixels=max_pixels) as container:
        stream = choose_stream(container, info.path, index=info.stream_index)
        decoder = decoder_of(stream, threads=threads, max_pixels=max_pixels)
        context = stream.codec_context
        reader = reader_for(
            context.codec.canonical_name, context.extradata or b"", intra_only=context.codec.intra_only
        )
        if reader is None or not isinstance(decoder, VideoCodecContext):
            return None
        leave_out_others(container, stream)
        faults: list[Exception] = []
        read = read_packets(container, faults.append, path=info.path)
        found = takewhile(lambda _: not stopped(), read)
        packets = (packet for packet in found if packet.stream_index == stream.index)
        survey = Survey(reader, decoder)
        try:
            survey.read(packets, index=index, start=start, time_base=info.time_base)
        except (UnprovableError, *READ_ERRORS):
            return None
        return None if faults or stopped() else survey.entry(run_up)


class UnexpectedFrameError(Exception):
    """Decoding from an entry gives other frames than its packets promise."""


def as_expected(
    frames: Iterable[tuple[VideoFrame, int | None]], entry: Entry
) -> Iterator[tuple[VideoFrame, int | None]]:
    """Yield the frames from an entry on; up to the wanted one, each must have the time that its packet has.

    Raises:
        UnexpectedFrameError: they are others.
    """
    promised = deque(entry.expected)
    for frame, time in frames:
        if promised and (frame.is_corrupt or time != promised.popleft()):
            raise UnexpectedFrameError
        yield frame, time
    if promised:
        raise UnexpectedFrameError


class UnprovableError(Exception):
    """Frames, numbers or times cannot be told from the packets."""


class Survey:
    """Reads packets up to the wanted frame.

    The first group of pictures is decoded, because only a decoder tells how many frames it makes of a
    beginning that may lack its references, and whether frames have the times of their packets. From the
    second entry point on, packets are counted.
    """

    def __init__(self, reader: PacketReader, decoder: VideoCodecContext) -> None:
        self._reader, self._decoder = reader, decoder
        self._packets = 0
        self._latest: int | None = None
        self._decoded: int | None = None
        self._entries: list[tuple[int, int]] = []
        """The number of packets before each entry point, and its time."""
        self._head: list[int] = []
        """Times of the frames before the second entry point."""
        self._first: First | None = None
        self._times: list[int] = []
        """Times of the shown packets from the second entry point on."""
        self._order: list[int] = []
        self._settled: int | None = None
        self._wanted: int | None = None
        self._index = 0

    def read(
        self, packets: Iterator[Packet[Any]], *, index: int, start: Fraction | None, time_base: Fraction
    ) -> None:
        """Read the packets up to the wanted frame and `BEYOND`.

        Raises:
            UnprovableError: the frames do not follow from the packets.
        """
        self._index = index
        self._decode_head(packets)
        assert self._first is not None
        if start is not None:
            self._wanted = self._first.pts + ceil(start / time_base)
        for packet in packets:
            self._take(packet)
            if self._is_reached():
                break
        for packet in islice(packets, BEYOND):
            self._take(packet)

    def entry(self, run_up: int) -> Entry | None:
        """Return the last entry point before the wanted frame and its run-up."""
        assert self._first is not None
        times, before = sorted(self._times), len(self._head)
        wanted = self._index - before if self._wanted is None else bisect_left(times, self._wanted)
        wanted = min(wanted, len(times) - 1)  # beyond the end, the last frames prove the entry
        needed = wanted - run_up
        if needed < 0:
            return None
        packets, pts = max((one for one in self._entries if one[1] <= times[needed]), key=lambda one: one[1])
        number = bisect_left(times, pts)
        return Entry(
            packets=packets,
            index=before + number,
            pts=pts,
            previous=times[number - 1] if number else self._head[-1],
            expected=tuple(times[number : wanted + 1]),
            first=self._first,
        )

    def _decode_head(self, packets: Iterator[Packet[Any]]) -> None:
        """Decode until a frame of the second entry point or a later one comes."""
        for packet in packets:
            self._take(packet)
            for frame in self._decoder.decode(packet):
                if self._is_counted(frame):
                    return
        raise UnprovableError  # too short to be worth it

    def _is_counted(self, frame: VideoFrame) -> bool:
        """Take a frame of the beginning; return whether it belongs to what is counted by packets."""
        if frame.pts is None or frame.is_corrupt:
            raise UnprovableError
        if len(self._entries) > 1 and frame.pts >= self._entries[1][1]:
            if not self._head:
                raise UnprovableError
            del self._entries[0]
            return True
        if self._head and frame.pts <= self._head[-1]:
            raise UnprovableError
        if self._first is None:
            pixel = fraction(self._decoder.sample_aspect_ratio) or None
            self._first = First(pts=frame.pts, width=frame.width, height=frame.height, pixel=pixel)
        self._head.append(frame.pts)
        return False

    def _take(self, packet: Packet[Any]) -> None:
        content = self._reader.read(bytes(packet), key=packet.is_keyframe)
        if content is None or packet.is_corrupt or packet.pts is None:
            raise UnprovableError
        if packet.dts is not None:
            if self._decoded is not None and packet.dts < self._decoded:
                raise UnprovableError
            self._decoded = packet.dts
        if content.shown and not packet.is_discard:
            self._show(packet.pts, entry=content.entry)
        self._packets += 1

    def _show(self, pts: int, *, entry: bool) -> None:
        latest = self._latest is None or pts > self._latest
        if not latest and not self._reader.ordered:
            raise UnprovableError
        if latest:
            self._latest = pts
        if entry and latest:
            self._entries.append((self._packets, pts))
        counting = bool(self._times) or len(self._entries) > 1
        if counting and pts >= (self._times[0] if self._times else self._entries[1][1]):
            self._count(pts)

    def _count(self, pts: int) -> None:
        """Count a shown frame; the frames must leave a decoder in order of their times."""
        self._times.append(pts)
        if len(self._order) < self._reader.reorder:
            heappush(self._order, pts)
            return
        leaves = heappushpop(self._order, pts)
        if self._settled is not None and leaves <= self._settled:
            raise UnprovableError
        self._settled = leaves

    def _is_reached(self) -> bool:
        if self._wanted is not None:
            return self._latest is not None and self._latest >= self._wanted
        return len(self._head) + len(self._times) > self._index
