"""A program of a user: mypy checks it in strict mode, and `test_public.py` runs it."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import torch
from numpy.typing import NDArray

import vsr


def upscale(folder: Path) -> vsr.Report:
    """A file, with settings as keywords; returns what was done."""
    precision: vsr.Precision = "fp32"
    report = vsr.upscale(
        folder / "in.mp4", folder / "out.mp4", model="bicubic", scale=2, precision=precision, overwrite=True
    )
    assert_type(report, vsr.Report)
    assert_type(report.damage, vsr.Damage)
    assert_type(report.frames_out, int)
    return report


def objects(data: bytes) -> bytes:
    """File objects, and a network that is kept for the next call."""
    kept, target = vsr.KeptModel(), io.BytesIO()
    report = vsr.upscale(io.BytesIO(data), target, model="bicubic", warm=kept, allow_network=False)
    assert_type(report.source, str)
    assert_type(vsr.verify(io.BytesIO(data), target), vsr.Audit)
    kept.close()
    return target.getvalue()


def images() -> tuple[int, ...]:
    """Images in memory: what comes back is of the type that went in."""
    array: NDArray[Any] = np.zeros((48, 64, 3), np.uint8)
    assert_type(vsr.upscale_image(array, model="bicubic", scale=2), NDArray[Any])
    upscaler = vsr.Upscaler("bicubic", scale=Fraction(3, 2))
    made = [assert_type(tensor, torch.Tensor) for tensor in upscaler.frames([torch.zeros(3, 48, 64)])]
    return tuple(made[0].shape)


def frames(folder: Path) -> vsr.YuvFrame:
    """The frames of a file."""
    with vsr.open_video(folder / "in.mp4") as video:
        assert_type(video, vsr.VideoSource)
        assert_type(video.info, vsr.VideoInfo)
        first = next(iter(video))
    assert_type(first.stamp, vsr.Stamp)
    return first


def check(folder: Path) -> tuple[str, ...]:
    """What a result lacks, and a picture to look at."""
    found = vsr.verify(folder / "in.mp4", folder / "out.mp4")
    assert_type(found, vsr.Audit)
    made = vsr.compare(folder / "in.mp4", str(folder / "out.mp4"), output=folder / "both.png", at="1/25")
    assert_type(made, vsr.Comparison)
    assert_type(made.panels, tuple[str, ...])
    seen = vsr.preview(folder / "in.mp4", output=folder / "seen.png", models=["fast"], scale=2)
    assert_type(seen, vsr.Preview)
    assert_type(seen.seconds, float | None)
    return found.lost


def networks(folder: Path) -> None:
    """A model, and training; only checked, for it takes long."""
    assert_type(vsr.load_generator("fast-x2"), vsr.LoadedModel)

    def show(progress: vsr.TrainProgress) -> None:
        assert_type(progress.position, float)

    report = vsr.train("fast-x2", data=folder, minutes=1, on_progress=show, cancel=lambda: False)
    assert_type(report, vsr.TrainReport)
    tuned = vsr.finetune([folder / "in.mp4"], start_from="fast-x2", output=folder / "mine.safetensors")
    assert_type(tuned, vsr.FinetuneReport)
    assert_type(tuned.gain, float)


def refused() -> None:
    """Mistakes that a type checker finds; mypy fails where one of them is none."""
    vsr.upscale("a", "b", model="fast", crf="18")  # type: ignore[arg-type]
    vsr.upscale("a", "b", bakend="auto")  # type: ignore[call-arg]
    vsr.upscale_image("a.png")  # type: ignore[type-var]
    vsr.verify("a", "b", 3)  # type: ignore[call-arg]
    vsr.keep_freed_memory()  # type: ignore[attr-defined]
