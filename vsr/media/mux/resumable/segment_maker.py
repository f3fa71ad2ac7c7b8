"""Encodes frames to segments, one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vsr.frame import VideoInfo, YuvFrame
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.media.encode.segments import Segment, SegmentWriter
from vsr.media.formats.containers import Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """Where segments are made, and who learns of them."""

    length: int
    """The number of frames in a segment."""
    path: Callable[[int], Path]
    """Returns the path of the segment with a number."""
    source: Callable[[int], str]
    """Returns the hash of the source frames of a segment, see `SourceHashes`."""
    before: Callable[[], None]
    """Called before each segment."""
    done: Callable[[int, Segment, str], None]
    """Called with the number, the trailer and the SHA-256 of each finished segment."""


class SegmentMaker:
    """Takes frames in order; each segment begins at a multiple of the length and has its own encoder."""

    def __init__(self, plan: EncoderPlan, info: VideoInfo, container: Container, making: Making) -> None:
        self._plan, self._info, self._container, self._making = plan, info, container, making
        self._writer: SegmentWriter | None = None
        self._number = -1

    def write(self, frame: YuvFrame) -> None:
        """Encode a frame; its number in the video decides the segment.

        Raises:
            DeviceError: the encoder failed.
            OSError: the disk refuses.
        """
        number = frame.stamp.index // self._making.length
        if self._writer is None or number != self._number:
            self.end()
            self._making.before()
            path = self._making.path(number)
            self._writer = SegmentWriter(path, self._plan, self._info, self._container)
            self._number = number
        self._writer.write(frame)

    def end(self) -> None:
        """Finish the current segment, if there is one.

        Raises:
            DeviceError: the encoder failed.
            OSError: the disk refuses.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            segment, digest = writer.finish(self._making.source(self._number))
        except BaseException:
            writer.drop()
            raise
        self._making.done(self._number, segment, digest)

    def drop(self) -> None:
        """Remove what is unfinished; may be called repeatedly."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.drop()
