"""Measures of video that other programs compute, where they are installed: VMAF and ColorVideoVDP."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from vsr.errors import ConfigError
from vsr.system.scratch import scratch_folder

DISPLAY = "standard_4k"
"""The display of ColorVideoVDP: 30 inches, 3840x2160, seen from 0.75 m, 200 cd/m²."""


@cache
def ffmpeg_with_vmaf() -> str | None:
    """Return the first program ffmpeg that has the filter libvmaf, on the PATH or in imageio-ffmpeg."""
    return next((program for program in _programs() if "libvmaf" in _filters(program)), None)


def _programs() -> Iterator[str]:
    on_path = shutil.which("ffmpeg")
    if on_path is not None:
        yield on_path
    if importlib.util.find_spec("imageio_ffmpeg") is not None:
        with suppress(RuntimeError):  # a wheel without a binary
            yield str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())


def _filters(program: str) -> list[str]:
    """Return the names of a program's filters; none where it does not run."""
    words = [program, "-hide_banner", "-filters"]
    with suppress(OSError):
        said = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, check=False).stdout
        return [line.split()[1] for line in said.decode("utf-8", "replace").splitlines() if "->" in line]
    return []


def vmaf(program: str, sr: Tensor, hr: Tensor, frame_rate: Fraction) -> float:
    """Return VMAF (the program's default model) of a clip, the mean over its frames.

    Args:
        program: An ffmpeg with libvmaf.
        sr: `(T, 3, H, W)` uint8.
        hr: As above.
        frame_rate: Frames a second.

    Returns:
        0 to 100; more is better.

    Raises:
        ConfigError: the program fails.
    """
    with scratch_folder("vsr-vmaf-") as folder:
        for name, clip in (("sr", sr), ("hr", hr)):
            Path(folder, name).write_bytes(clip.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
        height, width = sr.shape[-2:]
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(frame_rate)]
        graph = "[0:v]format=yuv444p[a];[1:v]format=yuv444p[b];[a][b]libvmaf=log_path=log:log_fmt=json"
        words = [program, "-nostdin", "-v", "error", *raw, "-i", "sr", *raw, "-i", "hr"]
        done = subprocess.run(
            [*words, "-lavfi", graph, "-f", "null", "-"],
            cwd=folder,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        with suppress(OSError, ValueError, KeyError):
            log = json.loads(Path(folder, "log").read_text(encoding="utf-8"))
            return float(log["pooled_metrics"]["vmaf"]["mean"])
    reason = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it wrote no figures"]
    raise ConfigError(f"{program}: libvmaf failed ({reason[-1]}); use another ffmpeg")


@cache
def color_video_vdp() -> tuple[Any, str]:
    """Return ColorVideoVDP for the display `DISPLAY`; otherwise None and why there is none."""
    if importlib.util.find_spec("pycvvdp") is None:
        return None, "the package cvvdp is not installed"
    try:
        with redirect_stdout(io.StringIO()):  # it prints there, where the table goes
            return importlib.import_module("pycvvdp").cvvdp(display_name=DISPLAY, quiet=True), ""
    except Exception as error:  # it imports a dozen packages, each of which may fail in its own way
        return None, f"the package cvvdp does not work ({error})"


def cvvdp(metric: Any, sr: Tensor, hr: Tensor, frame_rate: Fraction) -> float:
    """Return ColorVideoVDP (Mantiuk et al., ACM TOG 2024) of a clip.

    Args:
        metric: What `color_video_vdp` returns.
        sr: `(T, 3, H, W)` uint8.
        hr: As above.
        frame_rate: Frames a second.

    Returns:
        Just-objectionable differences (JOD): 10 where no difference is visible, less is worse.
    """
    found, _ = metric.predict(sr.numpy(), hr.numpy(), dim_order="FCHW", frames_per_second=float(frame_rate))
    return float(found)
