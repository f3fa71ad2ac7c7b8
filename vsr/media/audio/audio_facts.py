"""Reads facts of audio streams that PyAV does not expose from FFmpeg's printed description.

Do not ask PyAV for a channel layout or the number of channels, and do not let it decode audio, if the layout
is custom (channels in a non-standard order, as in some MOV files). PyAV then frees a table that belongs to
FFmpeg, and the process aborts (PyAV 18.1 and 19.0, `audio/layout.py`). FFmpeg's description of the file has
the same facts.
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
"""FFmpeg's names of layouts that contain no number."""
_BITS = {"u8": 8, "s16": 16, "s32": 32, "s64": 64, "flt": 32, "dbl": 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """Facts of an audio stream, from the container and the first packets."""

    rate: int
    """Samples per second in each channel."""
    channels: int
    layout: str
    """FFmpeg's description: "stereo", "5.1(side)", "2 channels", "2 channels (FR+FL)"."""
    sample_format: str
    """Format of decoded samples, without the suffix for planar: u8, s16, s32, s64, flt, dbl; empty if
    unknown."""
    bits: int
    """Significant bits of an integer sample; 24 and 20 bits are in the upper part of 32."""

    @property
    def nameless(self) -> bool:
        """Whether only the number of channels is known."""
        return _COUNTED.fullmatch(self.layout) is not None

    @property
    def custom(self) -> bool:
        """Whether the channels are listed individually, or are not loudspeakers (ambisonic)."""
        return _LISTED.match(self.layout) is not None


def audio_facts(media: InputContainer) -> dict[int, AudioFacts]:
    """Return FFmpeg's facts of each audio stream, by its index. Streams about which FFmpeg knows too little
    are left out.

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
    """Return the number of channels that a layout's name states ("5.1(side)" is six); 0 if it states none."""
    if counted := _COUNTED.match(layout):
        return int(counted[1])
    if layout in _CHANNELS:
        return _CHANNELS[layout]
    if ambisonic := _AMBISONIC.match(layout):
        return (int(ambisonic[1]) + 1) ** 2
    return sum(int(part) for part in re.findall(r"\d+", layout.partition("(")[0]))
