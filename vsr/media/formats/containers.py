"""The containers that `vsr` writes, and what each can store besides the video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vsr.errors import ConfigError

Family = Literal["matroska", "mp4", "pipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A file format, and how it keeps streams that it does not support directly."""

    name: str
    """The name in messages."""
    muxer: str
    """FFmpeg's name of the muxer."""
    family: Family
    """The family whose rules for timestamps apply."""
    text_subtitles: str
    """The codec to which text subtitles are converted if the container does not support their own."""
    attachments: bool = False
    """Whether files such as fonts can be attached."""
    covers: Literal["attachment", "stream", "none"] = "none"
    """How a cover picture is stored."""


_MATROSKA = Container(
    name="Matroska",
    muxer="matroska",
    family="matroska",
    text_subtitles="subrip",
    attachments=True,
    covers="attachment",
)
_WEBM = Container(name="WebM", muxer="webm", family="matroska", text_subtitles="webvtt")
_MP4 = Container(name="MP4", muxer="mp4", family="mp4", text_subtitles="mov_text", covers="stream")
_MOV = Container(name="QuickTime", muxer="mov", family="mp4", text_subtitles="mov_text")

CONTAINERS: dict[str, Container] = {
    ".mkv": _MATROSKA,
    ".webm": _WEBM,
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": _MOV,
}
"""Maps the suffix of the output's name, in lower case, to its container."""


_OF_PICTURES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff")


def container_of(target: Path) -> Container:
    """Return the container for the suffix of a name.

    Raises:
        ConfigError: no container has this suffix.
    """
    found = CONTAINERS.get(target.suffix.lower())
    if found is None and target.suffix.lower() in _OF_PICTURES:
        raise ConfigError(
            f"{target.name}: is a name of pictures, but the input is no still picture; write a video, as .mkv"
        )
    if found is None:
        known = f"{', '.join(CONTAINERS)}, or for pictures .png, .jpg, .webp or .tif"
        if not target.suffix:
            raise ConfigError(
                f"{target.name}: has no suffix, which chooses the container; add one of {known}"
            )
        raise ConfigError(f"{target.name}: no container has the suffix {target.suffix!r}; use one of {known}")
    return found
