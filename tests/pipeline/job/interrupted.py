"""Runs that are cut off in their middle, for the tests of resuming."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from vsr.pipeline.run import Progress, upscale
from vsr.settings.schema import EncoderSettings, UpscaleSettings

FRAMES, LENGTH = 24, 5
"""Frames of the clip and of a segment; the last segment is shorter."""
SETTINGS = UpscaleSettings(
    model="bicubic",
    scale=Fraction(2),
    device="cpu",
    encoder=EncoderSettings(preset="ultrafast"),
    segment_seconds=Fraction(LENGTH, 25),
)


class CutOffError(Exception):
    """Stands for any error that ends a run."""


def stop_after(frames: int) -> Callable[[Progress], None]:
    def check(now: Progress) -> None:
        if now.frames >= frames:
            raise CutOffError

    return check


def cut_off(source: Path, target: Path, settings: UpscaleSettings, *, after: int) -> None:
    with pytest.raises(CutOffError):
        upscale(source, target, settings, on_progress=stop_after(after))
    assert not target.exists()


def contents(path: Path) -> list[tuple[object, ...]]:
    """Return times, duration, flags and bytes of every packet of every stream."""
    with av.open(str(path)) as box:
        return [
            (p.stream_index, p.pts, p.dts, p.duration, p.is_keyframe, hashlib.sha256(bytes(p)).digest())
            for p in box.demux()
            if p.size
        ]


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob(".*.vsr/*.segment"))
