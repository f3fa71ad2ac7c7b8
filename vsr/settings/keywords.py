"""The keywords of `vsr.upscale` with their types, written by `python docs/settings.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypedDict

from vsr.color.spec import ColorSpec
from vsr.settings.schema import Backend, Deinterlace, ForcedOrder, Hwaccel, PipeFormat, Precision


class Overrides(TypedDict, total=False):
    """Every setting by keyword. One that is absent or None stays as it is."""

    model: str | Path | None
    """Name of a model in the catalog, or path of a weight file."""
    scale: Fraction | float | str | None
    """Width of the output divided by that of the input; None takes the model's scale, or follows the size."""
    width: int | None
    """Width of the output in pixels, as shown; it requires `height`."""
    height: int | None
    """Height of the output in pixels, as shown; without `width`, the proportions are kept."""
    square_pixels: bool | None
    """Resize the upscaled frames of anamorphic video (DVD, DV, VCD) to the shape that players show, with
    square pixels. Otherwise the pixel aspect ratio of the input is kept."""
    strength: float | None
    """Interpolates between the weights of a pair of models, from 0 (faithful) to 1 (crisp). None takes the
    model unchanged."""
    start: Fraction | float | str | None
    """Seconds from the start of the video; earlier frames are left out."""
    end: Fraction | float | str | None
    """Seconds from the start of the video; the frame at this time and later ones are left out."""
    partner: str | Path | None
    """Name or weight file of the faithful model of a pair; None takes the partner in the catalog."""
    filters_before: Sequence[str] | None
    """FFmpeg filters for the frames of the input, in this order: `name=arguments`."""
    filters_after: Sequence[str] | None
    """FFmpeg filters for the upscaled frames, before they are encoded."""
    frame_rate: Fraction | float | str | None
    """Frames per second if numbered images are read as a video; None is 25. Videos keep their timestamps."""
    format: PipeFormat | None
    """Format of a result that goes to standard output; None takes the input's format if it is one of the
    two, else NUT."""
    video_stream: int | None
    """Index of the video stream among all streams; None takes FFmpeg's choice."""
    color: ColorSpec | Mapping[str, str] | None
    """Colour tags that replace those of the input, for inputs with wrong tags or none."""
    deinterlace: Deinterlace | None
    """`auto` deinterlaces frames that are marked as interlaced, to one frame each, which drops half of the
    motion; `double` makes a frame of each field (50i to 50p); `film` makes 24 frames per second of NTSC
    video that was made from film; `top-first` and `bottom-first` are `auto` with that `field_order`."""
    field_order: ForcedOrder | None
    """The field of each frame that is shown first; `auto` takes the order in the frames or the container.
    With another value, all frames are deinterlaced, marked or not."""
    max_pixels: int | None
    """Larger frames are refused, because they could exhaust the memory; None is 8192 x 8192."""
    strict: bool | None
    """Stop at the first damage instead of counting it and continuing."""
    device: str | None
    """`auto`, `cpu`, `mps` (Apple GPU), `cuda`, `cuda:1`, ... Several devices work on one video:
    `cuda:0,cuda:1`, `cuda:all`, or `cpu:2` for two processes that share the cores."""
    on: str | None
    """Where workers run: `local` is this machine, `ray` a cluster (plugin vsr-ray). A pipeline file cannot
    set it, for the person who sends a file must not choose the machines."""
    backend: Backend | None
    """The software that runs the generator. `vsr doctor` lists what is available and what `auto` takes."""
    precision: Precision | None
    """Number format of weights and activations; `auto` takes a 16-bit format if this device is faster in
    it than in fp32."""
    hwaccel: Hwaccel | None
    """Whether an NVIDIA GPU decodes: with `auto` if it gives the same frames as software, with `cuda`
    always."""
    tile: int | None
    """Width and height of a tile in LR pixels; None decides by the free memory, 0 takes whole frames."""
    batch: int | None
    """Number of frames in a batch; None decides by the device and the free memory."""
    reuse: bool | None
    """Compute duplicate frames and, on the CPU, static regions only once. The result is the same."""
    resume: bool | None
    """Keep the finished segments of an interrupted run in a hidden folder beside the output, and resume
    from them."""
    restart: bool | None
    """Start from the beginning, and discard the finished segments of an interrupted run."""
    segment_seconds: Fraction | float | str | None
    """Length of a segment. An interrupted run computes at most one segment again."""
    encoder: str | None
    """Name of an encoder that `vsr doctor` lists; None is libx264, in WebM libvpx-vp9, or libsvtav1 where
    VP9 would lose bits of the source."""
    crf: float | None
    """Constant quality in the encoder's own units; a lower number gives better quality and larger files."""
    preset: str | None
    """Preset of the encoder for speed or compression, by its own name: `medium`, `slow`, `6`."""
    options: Mapping[str, str] | None
    """Further options of the encoder, as FFmpeg names them."""
    pixel_format: str | None
    """FFmpeg's name of a pixel format; None keeps the bit depth and chroma subsampling of the input."""
    threads: int | None
    """Threads of the encoder; 0 leaves the number to the encoder."""
    allow_files: bool | None
    """Whether the encoder's options may name files that the encoder writes or reads. A pipeline file
    cannot set it, because it may come from somebody else."""
