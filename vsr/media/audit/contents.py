"""The data of a file that is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vsr.frame import VideoInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """The frames of the video stream in display order."""

    times: tuple[Fraction, ...]
    """Seconds after the first frame."""
    last_duration: Fraction | None
    """Seconds for which the last frame is shown; None where the file does not say."""
    thumbnails: NDArray[np.int16]
    """`(N, 3, 8, 8)`, in units of 1/128 of an 8-bit code; see `thumbnails`."""
    side_data: tuple[tuple[tuple[str, bytes], ...], ...]
    """For each frame, FFmpeg's kind and a digest of each item of side data; the digest is empty if no output
    can carry the kind."""
    broken: int
    """The number of packets that cannot be decoded, and of frames with concealed errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedAudio:
    """The decoded samples of an audio stream."""

    rate: int
    """Samples per second."""
    channels: int
    digest: str
    """Digest of all samples as numbers in [-1, 1]; it is equal for PCM and FLAC of the same audio."""
    blocks: tuple[bytes, ...]
    """A digest of the samples of each block; see `audio_blocks`."""
    places: NDArray[np.int64]
    """The number of samples before each block."""
    starts: NDArray[np.float64]
    """`(N, 2)`: the number of samples before each decoded block, and its time in seconds after the first
    frame."""
    samples: int
    """The number of decoded samples in each channel."""
    padding: int
    """How many of them at the end MP4 hides by the duration of the last packet, and FFmpeg decodes."""

    @property
    def heard(self) -> int:
        """The number of samples in each channel that a player plays."""
        return self.samples - self.padding

    @property
    def begin(self) -> float:
        """In seconds after the first frame."""
        return float(self.starts[0, 1])

    @property
    def end(self) -> float:
        """In seconds after the first frame."""
        before, time = self.starts[-1]
        return float(time + (self.samples - before) / self.rate)


FOREVER = 1e9
"""End in seconds of a text that is shown until the next one, if there is none."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and when it is shown, in seconds after the first frame; `FOREVER` means no end."""

    begin: float
    end: float
    text: str
    """Without markup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """A stream other than the video."""

    kind: str
    """FFmpeg's media type."""
    codec: str
    """FFmpeg's name; empty if there is none."""
    language: str
    dispositions: frozenset[str]
    """FFmpeg's names of the flags that are set."""
    packets: tuple[bytes, ...]
    """A digest of each packet's bytes."""
    times: tuple[Fraction, ...]
    """When each packet is shown, in seconds after the first frame."""
    audio: DecodedAudio | None = None
    """For audio that can be decoded."""
    lines: tuple[Line, ...] | None = None
    """For subtitles that are text."""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter, in seconds after the first frame."""

    begin: Fraction
    end: Fraction
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The compared data of a file."""

    info: VideoInfo
    dispositions: frozenset[str]
    """Of the video stream."""
    frames: Frames
    tracks: tuple[Track, ...]
    attachments: tuple[tuple[str, str], ...]
    """Name, empty for a cover, and a digest of the content."""
    chapters: tuple[Chapter, ...]
    layered_chapters: tuple[tuple[str, Fraction], ...]
    """Of Matroska: each with its edition and parents in words, and its begin in seconds after the first
    frame; empty if `chapters` has all of them."""
    layered_tags: tuple[str, ...]
    """Of Matroska: each with its level and parents; empty if they are one list of single values."""
    matroska: bool
    """Whether the container has layers."""
    tags: dict[str, str]
    """Metadata of the file, limited to the keys that every container supports."""
    timecode: str | None

    def of_kind(self, kind: str) -> Sequence[Track]:
        """Return the streams of a media type."""
        return [track for track in self.tracks if track.kind == kind]
