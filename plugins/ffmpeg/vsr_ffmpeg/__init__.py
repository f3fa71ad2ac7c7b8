"""`vsr` as a node in a graph of ffmpeg-python.

    video = ffmpeg.input("in.mp4").video.filter("hqdn3d")
    video = vsr_ffmpeg.upscale(video, scale=2)
    vsr_ffmpeg.run(ffmpeg.output(video, ffmpeg.input("in.mp4").audio, "out.mp4"))

A graph is one command of ffmpeg, and ffmpeg has no such filter: `run` cuts the graph at the node and runs
`ffmpeg | vsr | ffmpeg`. Uncompressed frames go through the pipes with all their bits and timestamps (NUT);
nothing is written to a disk on the way. `graph` knows graphs, `cut` makes the commands, `binary` finds
ffmpeg, `processes` runs them.
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
        stream: Video: of an input, or of a filter.
        model: Name in vsr's catalog or weight file; None lets vsr choose.
        scale: Output side over input side; None takes the model's own.
        size: Width and height of the result in pixels, instead of a scale.
        height: Of the result in pixels, keeping proportions, instead of a scale.
        strength: From 0, faithful, to 1, crisp.
        partner: The faithful end for a model of one's own.
        pixel_format: FFmpeg's name; None keeps what comes.
        color: Tags of the pictures that come, as `{"matrix": "bt709", "range": "full"}`, where filters before
            the node changed them, or there is no file to ask; by itself, the tags of the input file.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        precision: `auto`, `fp32`, `bf16`, `fp16`.
        tile: Side of a tile in LR pixels; 0 is the whole picture.
        batch: Pictures at once.

    Returns:
        Video, for filters and outputs.
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
