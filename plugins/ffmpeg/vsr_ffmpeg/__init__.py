"""`vsr` as a node in a graph of ffmpeg-python.

    video = ffmpeg.input("in.mp4").video.filter("hqdn3d")
    video = vsr_ffmpeg.upscale(video, scale=2)
    vsr_ffmpeg.run(ffmpeg.output(video, ffmpeg.input("in.mp4").audio, "out.mp4"))

A graph is one command of ffmpeg, and ffmpeg has no such filter. Therefore `run` cuts the graph at the node
and runs `ffmpeg | vsr | ffmpeg`. Uncompressed frames pass through the pipes with all bits and timestamps
(NUT), without temporary files. `graph` handles graphs, `cut` makes the commands, `binary` finds ffmpeg,
`processes` runs the commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ffmpeg.nodes import FilterNode, Stream

from vsr_ffmpeg.cut import NODE, Commands, compile
from vsr_ffmpeg.processes import run

__all__ = ["Commands", "compile", "run", "upscale"]


def upscale(
    stream: Stream,
    *,
    model: str | None = None,
    scale: Fraction | float | str | None = None,
    size: tuple[int, int] | None = None,
    height: int | None = None,
    strength: float | None = None,
    partner: str | None = None,
    pixel_format: str | None = None,
    color: Mapping[str, str] | None = None,
    device: str | None = None,
    precision: str | None = None,
    tile: int | None = None,
    batch: int | None = None,
) -> Stream:
    """Add a node that upscales video to a graph; run the graph with `vsr_ffmpeg.run`.

    Args:
        stream: Video stream of an input or a filter.
        model: Name in vsr's catalog or weight file; None lets vsr choose.
        scale: Output side / input side; None uses the model's own.
        size: Width and height of the result in pixels, instead of a scale.
        height: Height of the result in pixels, with the same proportions, instead of a scale.
        strength: From 0, faithful, to 1, crisp.
        partner: The faithful model to interpolate with, if `model` is a file.
        pixel_format: FFmpeg's name; None keeps that of the input.
        color: Tags of the incoming frames, such as `{"matrix": "bt709", "range": "full"}`, if filters before
            the node change them, or if there is no input file; by default, the tags of the input file.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        precision: `auto`, `fp32`, `bf16`, `fp16`.
        tile: Side of a tile in LR pixels; 0 is the whole frame.
        batch: Frames in a batch.

    Returns:
        The upscaled video stream, for filters and outputs.
    """
    plain = {
        "--model": model,
        "--scale": scale,
        "--size": None if size is None else f"{size[0]}x{size[1]}",
        "--height": height,
        "--strength": strength,
        "--partner": partner,
        "--pix-fmt": pixel_format,
        "--device": device,
        "--precision": precision,
        "--tile": tile,
        "--batch": batch,
    }
    words = [f"{flag}={value}" for flag, value in plain.items() if value is not None]
    words += [f"--color={tag}={name}" for tag, name in (color or {}).items()]
    return FilterNode(stream, NODE, args=words).stream()
