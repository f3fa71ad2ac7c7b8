"""Facts of audio streams that PyAV has no name for, as FFmpeg prints them.

PyAV must not be asked for a channel layout, nor for the number of channels, nor to decode audio whose layout
is custom (channels in an order of their own, as in some MOV): it frees a table that belongs to FFmpeg, and
the process aborts (PyAV 18.1 and 19.0, `audio/layout.py`). FFmpeg's description of the file says the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from av.container import InputContainer

from vsr.media.files.ffmpeg_log import log_level_info

_STREAM = re.compile(
    r"^  Stream #0:(?P<index>\d+).*?: Audio: .*?, (?P<rate>\d+) Hz, "
    r"(?P<layout>\d+ channels(?: \([^)]*\))?|[^,(\n]+(?:\([^)]*\))?)"
    r"(?:, (?P<format>u8|s16|s32|s64|flt|dbl)p?\b(?: \((?P<bits>\d+) bit\))?)?",
    re.MULTILINE,
)
_COUNTED = re.compile(r"(\d+) channels")
_LISTED = re.compile(r"\d+ channels \(|ambisonic")
_AMBISONIC = re.compile(r"ambisonic (\d+)")
_CHANNELS = dict.fromkeys(("mono", "1 channels"), 1) | {
    "stereo": 2,
    "downmix": 2,
    "binaural": 2,
    "quad": 4,
    "quad(side)": 4,
    "hexagonal": 6,
    "octagonal": 8,
    "cube": 8,
    "hexadecagonal": 16,
}
"""FFmpeg's names of layouts without a number in them."""
_BITS = {"u8": 8, "s16": 16, "s32": 32, "s64": 64, "flt": 32, "dbl": 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """An audio stream, as the container and the first packets describe it."""

    rate: int
    """Samples per second and channel."""
    channels: int
    layout: str
    """FFmpeg's words: "stereo", "5.1(side)", "2 channels", "2 channels (FR+FL)"."""
    sample_format: str
    """Of decoded samples, without the mark for planes: u8, s16, s32, s64, flt, dbl; empty where unknown."""
    bits: int
    """That carry information in an integer sample; 24 and 20 lie at the top of 32."""

    @property
    def nameless(self) -> bool:
        """Whether the channels are counted only."""
        return _COUNTED.fullmatch(self.layout) is not None

    @property
    def custom(self) -> bool:
        """Whether the channels are listed one by one, or are no loudspeakers (ambisonic)."""
        return _LISTED.match(self.layout) is not None


def audio_facts(media: InputContainer) -> dict[int, AudioFacts]:
    """Return what FFmpeg says of each audio stream, by its index; streams that it knows too little of lack.

    Args:
        media: An open file.
    """
    with log_level_info():
        text: str = media.dumps_format()  # type: ignore[attr-defined]
    found = (_facts(match) for match in _STREAM.finditer(text))
    return dict(pair for pair in found if pair[1].channels)


def _facts(match: re.Match[str]) -> tuple[int, AudioFacts]:
    layout, kind = match["layout"].strip(), match["format"] or ""
    return int(match["index"]), AudioFacts(
        rate=int(match["rate"]),
        channels=_channels(layout),
        layout=layout,
        sample_format=kind,
        bits=int(match["bits"] or _BITS.get(kind, 0)),
    )


def _channels(layout: str) -> int:
    """The number of channels that a layout's name states ("5.1(side)" is six); 0 where it states none."""
    if counted := _COUNTED.match(layout):
        return int(counted[1])
    if layout in _CHANNELS:
        return _CHANNELS[layout]
    if ambisonic := _AMBISONIC.match(layout):
        return (int(ambisonic[1]) + 1) ** 2
    return sum(int(part) for part in re.findall(r"\d+", layout.partition("(")[0]))
