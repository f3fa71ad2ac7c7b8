"""The containers that `vsr` writes, one line each, and what each can hold besides the frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vsr.errors import ConfigError

Family = Literal["matroska", "mp4", "pipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A file format, and how streams that it has no place for can still be kept."""

    name: str
    """For people."""
    muxer: str
    """FFmpeg's name of the muxer."""
    family: Family
    """Whose rules for timestamps apply."""
    text_subtitles: str
    """Codec into which text subtitles go when their own has no place here."""
    attachments: bool = False
    """Whether files (fonts) can be attached."""
    covers: Literal["attachment", "stream", "none"] = "none"
    """As what a cover picture is stored."""


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
"""Suffix of the output's name, in lower case, to its container."""


def container_of(target: Path) -> Container:
    """The container that a name asks for.

    Raises:
        ConfigError: the suffix is none that we write.
    """
    found = CONTAINERS.get(target.suffix.lower())
    if found is None:
        known = ", ".join(CONTAINERS)
        raise ConfigError(f"{target.name}: no container is known by {target.suffix!r}; use one of {known}")
    return found
