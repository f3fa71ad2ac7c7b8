"""The report of a run as data."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsr.errors import DAMAGED_INPUT
from vsr.frame import Damage, VideoInfo
from vsr.writing import write_whole


@dataclass(slots=True, kw_only=True)
class Report:
    """The result of a run; `as_dict` is the content of `--report`."""

    source: str
    target: str
    info: VideoInfo
    height: int
    """Height of the result in pixels."""
    width: int
    model: dict[str, Any]
    """Name, family, scale, and SHA-256 of the weights."""
    engine: dict[str, Any]
    """Device, precision, batch, tile, and what was recomputed."""
    encoder: dict[str, Any]
    decoder: str = "software"
    """`software` or `cuda:N`."""
    frames_in: int = 0
    frames_out: int = 0
    frames_kept: int = 0
    """Number of `frames_out` that an earlier, interrupted run had written."""
    bytes_out: int = 0
    streams: list[str] = field(default_factory=list)
    """Streams of the output besides the video."""
    seconds: float = 0.0
    """Time from reading the first packet to the final file; loading the model is not included."""
    busy_seconds: dict[str, float] = field(default_factory=dict)
    bottleneck: str = ""
    damage: Damage = field(default_factory=Damage)
    warnings: list[str] = field(default_factory=list)

    @property
    def decoded(self) -> str:
        """The device that decodes, as text to follow the source's name; empty for software decoding."""
        return "" if self.decoder == "software" else f" decoded on {self.decoder}"

    @property
    def fps(self) -> float:
        """Frames a second of the whole run."""
        return (self.frames_out - self.frames_kept) / self.seconds if self.seconds else 0.0

    @property
    def exit_code(self) -> int:
        """0, or `errors.DAMAGED_INPUT`."""
        return DAMAGED_INPUT if self.damage else 0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain types; fractions are "a/b", colour tags are lower-case names."""
        table = plain(self)
        return {**table, "fps": round(self.fps, 3), "exit_code": self.exit_code}

    def write(self, path: Path) -> None:
        """Write the report as JSON in one step, so that no reader sees an incomplete file.

        Raises:
            OutputError: The file cannot be written.
        """
        write_whole(path, (as_json(self.as_dict()) + "\n").encode())


def as_json(value: Any, *, ascii_only: bool = False) -> str:
    """Return plain values as JSON that is safe for terminals: control characters (ESC, C1) are escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=ascii_only, default=str)
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 1 << 16 else json.dumps(char)[1:-1]


def plain(value: Any) -> Any:
    """Convert dataclasses, enums and fractions to JSON types; file names that are not UTF-8 are escaped."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return value.encode("utf-8", "backslashreplace").decode()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return round(value, 3) if isinstance(value, float) else value
