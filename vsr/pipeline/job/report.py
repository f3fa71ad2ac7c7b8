"""The report of a run as data."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsr.errors import DAMAGED_INPUT
from vsr.frame import Damage, VideoInfo
from vsr.media.passthrough.stream_kinds import StreamFate
from vsr.writing import write_whole

VERSION = 1
"""Of the keys of a report. It rises when a key is removed or changes its meaning; keys may be added."""


@dataclass(slots=True, kw_only=True)
class Report:
    """The result of a run; `as_dict` is the content of `--report`, which docs/report.md describes."""

    command: list[str] | None = None
    """The words of the command line; None for a run that a Python program started."""
    started: str = ""
    """Local time with its zone (ISO 8601), when the input was opened."""
    ended: str = ""
    """The same, when the result was complete and checked."""
    host: dict[str, Any] = field(default_factory=dict)
    """Name, system, processor and memory of the machine."""
    software: dict[str, str] = field(default_factory=dict)
    """Versions of `vsr`, Python and libraries."""
    source: str
    target: str
    source_file: dict[str, Any] | None = None
    """Absolute path, bytes, time of modification and SHA-256 of the input. The hash is None unless it was
    asked for, or where not all of a pipe was read."""
    target_file: dict[str, Any] | None = None
    """The same of the result."""
    info: VideoInfo
    height: int
    """Height of the result in pixels."""
    width: int
    model: dict[str, Any]
    """Name, family, scale, and path and SHA-256 of the weights and of the partner's."""
    engine: dict[str, Any]
    """Device, precision, batch, tile, and what was recomputed."""
    encoder: dict[str, Any]
    """Encoder, CRF, preset, pixel format, all options and colour tags."""
    filters: dict[str, Any] = field(default_factory=dict)
    """FFmpeg's filters before and after the generator, and how interlaced frames are treated."""
    pipeline: dict[str, str] | None = None
    """Name, path and SHA-256 of the preset or pipeline file; None without one."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Value and origin of every setting, by its key in a pipeline file."""
    decoder: str = "software"
    """`software` or `cuda:N`."""
    frames_in: int = 0
    frames_out: int = 0
    frames_kept: int = 0
    """Number of `frames_out` that an earlier, interrupted run had written."""
    bytes_out: int = 0
    streams: list[StreamFate] = field(default_factory=list)
    """What became of each stream of the source."""
    seconds: float = 0.0
    """Time from reading the first packet to the final file; loading the model is not included."""
    busy_seconds: dict[str, float] = field(default_factory=dict)
    occupancy: dict[str, Any] = field(default_factory=dict)
    """When each stage was busy: `interval_seconds`, and under `busy` the busy seconds of each stage in each
    interval from the start of the run."""
    stage_threads: list[list[str]] = field(default_factory=list)
    """The stages of each thread, in the order of a frame's path."""
    bottleneck: str = ""
    verification: dict[str, Any] | None = None
    """Numbers of frames, streams, packets and bytes that were found when the result was read back, and of
    frames that were decoded and encoded; they agree, or there is no result. None before the end."""
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
    def status(self) -> str:
        """`unfinished`, `complete`, or `damaged` where the input was."""
        return "damaged" if self.damage else "complete" if self.ended else "unfinished"

    @property
    def exit_code(self) -> int:
        """0, or `errors.DAMAGED_INPUT`."""
        return DAMAGED_INPUT if self.damage else 0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain types; fractions are "a/b", colour tags are lower-case names."""
        head = {"report_version": VERSION, "status": self.status, "exit_code": self.exit_code}
        return {**head, **plain(self), "fps": round(self.fps, 3)}

    def write(self, path: Path) -> None:
        """Write the report as JSON in one step, so that no reader sees an incomplete file.

        Raises:
            OutputError: The file cannot be written.
        """
        write_report(self.as_dict(), path)

    def as_text(self, *, ascii_only: bool = False) -> str:
        """Return the report as indented JSON, with control characters escaped."""
        return as_json(self.as_dict(), ascii_only=ascii_only)


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Write a report as JSON in one step; see `Report.write`."""
    write_whole(path, (as_json(report) + "\n").encode())


def report_of(table: Mapping[str, Any], info: VideoInfo) -> Report:
    """Return the report of which `as_dict` returned the table.

    Args:
        table: As it was written; fractions and colour tags stay texts.
        info: Facts of the source.

    Raises:
        KeyError: The table lacks a key.
        TypeError: A value has another type.
    """
    plain_fields = [f.name for f in dataclasses.fields(Report) if f.name not in ("info", "damage", "streams")]
    return Report(
        **{name: table[name] for name in plain_fields},
        info=info,
        damage=Damage(**table["damage"]),
        streams=[StreamFate(**stream) for stream in table["streams"]],
    )


def as_json(value: Any, *, ascii_only: bool = False) -> str:
    """Return plain values as JSON that is safe for terminals: control characters (ESC, C1) are escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=ascii_only, default=str)
    text = _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


_NUMBERS = re.compile(r"\[((?:\n +[-+.\deE]+,?)+)\n *\]")
"""A list of numbers, whose lines are joined; a line break is never part of a string in JSON."""


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
