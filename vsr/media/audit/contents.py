"""What is known of a file for a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vsr.frame import VideoInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """The frames of the video stream, in the order in which they are shown."""

    times: tuple[Fraction, ...]
    """Seconds from the first one."""
    last_duration: Fraction | None
    """Seconds for which the last frame is shown; None where the file does not say."""
    thumbnails: NDArray[np.int16]
    """`(N, 3, 8, 8)`, 1/128 of an 8-bit code; see `thumbnails`."""
    beside: tuple[tuple[tuple[str, bytes], ...], ...]
    """What each frame carries beside its samples: kinds, as FFmpeg names them, and digests; these are
    empty where no result can carry it."""
    broken: int
    """Packets that do not decode, and frames in which errors were concealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a player makes of an audio stream."""

    rate: int
    """Samples a second."""
    channels: int
    digest: str
    """Of all samples, as numbers in [-1, 1]: the same for PCM and for FLAC of the same audio."""
    blocks: tuple[bytes, ...]
    """A digest of the samples of each decoded block."""
    starts: NDArray[np.float64]
    """`(N, 2)`: samples before each decoded block, and its time in seconds from the first frame."""
    samples: int
    """In each channel."""

    @property
    def begin(self) -> float:
        """Seconds from the first frame."""
        return float(self.starts[0, 1])

    @property
    def end(self) -> float:
        """Seconds from the first frame."""
        before, time = self.starts[-1]
        return float(time + (self.samples - before) / self.rate)


FOREVER = 1e9
"""Seconds: the end of a text that is shown until the next one, where there is none."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and when it is shown, in seconds from the first frame; `FOREVER` is no end."""

    begin: float
    end: float
    text: str
    """Without markup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """A stream beside the video."""

    kind: str
    """FFmpeg's media type."""
    codec: str
    """FFmpeg's name; empty where there is none."""
    language: str
    dispositions: frozenset[str]
    """FFmpeg's names of the flags that are set."""
    packets: tuple[bytes, ...]
    """A digest of each packet's bytes."""
    times: tuple[Fraction, ...]
    """When each packet is shown, in seconds from the first frame."""
    heard: Heard | None = None
    """Of audio that could be decoded."""
    lines: tuple[Line, ...] | None = None
    """Of subtitles that are text."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter, in seconds from the first frame."""

    begin: Fraction
    end: Fraction
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file carries."""

    info: VideoInfo
    dispositions: frozenset[str]
    """Of the video stream."""
    frames: Frames
    tracks: tuple[Track, ...]
    attachments: tuple[tuple[str, str], ...]
    """Name, empty for a cover, and a digest of the bytes."""
    chapters: tuple[Chapter, ...]
    tags: dict[str, str]
    """Of the file, those that every container has a place for."""
    timecode: str | None

    def of_kind(self, kind: str) -> Sequence[Track]:
        """The streams of a media type."""
        return [track for track in self.tracks if track.kind == kind]
