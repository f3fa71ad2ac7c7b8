"""All settings of `vsr upscale`: each is one field, and its flag, keyword, TOML key and help follow from it.

`python docs/settings.py` writes two files from the fields: the typed keywords in `keywords.py` and the table
in docs/settings.md. A test fails if one of them is out of date.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from vsr.color.spec import UNTAGGED, ColorSpec
from vsr.settings.field import check_limits, setting

Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Backend = Literal["auto", "torch", "winograd", "openvino", "amx", "cuda"]
Deinterlace = Literal["auto", "off", "double", "film", "top-first", "bottom-first"]
ForcedOrder = Literal["auto", "top-first", "bottom-first"]
Hwaccel = Literal["none", "auto", "cuda"]
PipeFormat = Literal["y4m", "nut"]

_SIDE = (1, 2**20)
_SECONDS = (-(10**9), 10**9)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """How the video is encoded; None takes the encoder's default from `encoder_table.py`."""

    encoder: str | None = setting(
        None,
        flags=("--encoder",),
        metavar="NAME",
        help="libx264, libx265, ffv1, ...; .webm: VP9.",
        in_resume_key="derived",
    )
    """Name of an encoder that `vsr doctor` lists; None is libx264, in WebM libvpx-vp9, or libsvtav1 where VP9
    would lose bits of the source."""
    crf: float | None = setting(
        None,
        flags=("--crf",),
        metavar="NUMBER",
        help="Quality; lower: better, larger file.",
        in_resume_key="derived",
    )
    """Constant quality in the encoder's own units; a lower number gives better quality and larger files."""
    preset: str | None = setting(
        None,
        flags=("--preset",),
        metavar="NAME",
        help="Encoder speed: medium, slow, 6, ...",
        in_resume_key="derived",
    )
    """Preset of the encoder for speed or compression, by its own name: `medium`, `slow`, `6`."""
    options: tuple[tuple[str, str], ...] = setting(
        (),
        flags=("--encoder-option",),
        heading="Encoding",
        metavar="KEY=VALUE",
        help="Another encoder option; may be repeated.",
        in_resume_key="derived",
    )
    """Further options of the encoder, as FFmpeg names them."""
    pixel_format: str | None = setting(
        None,
        flags=("--pix-fmt",),
        heading="Encoding",
        metavar="NAME",
        help="Pixel format; default: as the input.",
        in_resume_key="derived",
    )
    """FFmpeg's name of a pixel format; None keeps the bit depth and chroma subsampling of the input."""
    threads: int = setting(
        0,
        help="Threads of the encoder; 0: it chooses.",
        in_resume_key="derived",
        limits=(0, 1024),
    )
    """Threads of the encoder; 0 leaves the number to the encoder."""
    allow_files: bool = setting(
        False,
        flags=("--allow-files",),
        heading="Encoding",
        help="Let encoder options name files.",
        in_resume_key="derived",
        in_files=False,
    )
    """Whether the encoder's options may name files that the encoder writes or reads. A pipeline file cannot
    set it, because it may come from somebody else."""

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleSettings:
    """All settings of one `vsr upscale`: what the result is, and how it is computed."""

    model: str = setting(
        "auto",
        flags=("--model", "-m"),
        metavar="NAME",
        help="A name of `vsr models list`, or a file.",
        in_resume_key="derived",
    )
    """Name of a model in the catalog, or path of a weight file."""
    scale: Fraction | None = setting(
        None,
        flags=("--scale", "-s"),
        metavar="NUMBER",
        help="2, 3, 4, 1.5, 3/2, ...",
        in_resume_key="value",
    )
    """Width of the output divided by that of the input; None takes the model's scale, or follows the size."""
    width: int | None = setting(
        None, help="Width of the output in pixels.", in_resume_key="value", limits=_SIDE
    )
    """Width of the output in pixels, as shown; it requires `height`."""
    height: int | None = setting(
        None,
        flags=("--height",),
        metavar="PIXELS",
        help="Height as shown; keeps the proportions.",
        in_resume_key="value",
        limits=_SIDE,
    )
    """Height of the output in pixels, as shown; without `width`, the proportions are kept."""
    square_pixels: bool = setting(
        False,
        flags=("--square-pixels",),
        help="Resize anamorphic video to square pixels.",
        in_resume_key="value",
    )
    """Resize the upscaled frames of anamorphic video (DVD, DV, VCD) to the shape that players show, with
    square pixels. Otherwise the pixel aspect ratio of the input is kept."""
    strength: float | None = setting(
        None,
        flags=("--strength",),
        metavar="0..1",
        help="0: faithful to the input; 1: crisp.",
        in_resume_key="derived",
        limits=(0, 1),
    )
    """Interpolates between the weights of a pair of models, from 0 (faithful) to 1 (crisp). None takes the
    model unchanged."""
    encoder: EncoderSettings = EncoderSettings()
    start: Fraction | None = setting(
        None,
        flags=("--start",),
        metavar="TIME",
        help="Start here: 90 seconds or 1:30.",
        in_resume_key="value",
        is_time=True,
        limits=_SECONDS,
    )
    """Seconds from the start of the video; earlier frames are left out."""
    end: Fraction | None = setting(
        None,
        flags=("--end",),
        metavar="TIME",
        help="Stop before this time.",
        in_resume_key="value",
        is_time=True,
        limits=_SECONDS,
    )
    """Seconds from the start of the video; the frame at this time and later ones are left out."""
    partner: str | None = setting(
        None,
        flags=("--partner",),
        heading="Computation",
        metavar="NAME",
        help="Faithful partner of your own --model.",
        in_resume_key="derived",
    )
    """Name or weight file of the faithful model of a pair; None takes the partner in the catalog."""
    filters_before: tuple[str, ...] = setting(
        (),
        flags=("--filter-before",),
        heading="Input",
        metavar="NAME=ARGS",
        help="FFmpeg filter for the input; repeatable.",
        in_resume_key="value",
    )
    """FFmpeg filters for the frames of the input, in this order: `name=arguments`."""
    filters_after: tuple[str, ...] = setting(
        (),
        flags=("--filter-after",),
        heading="Encoding",
        metavar="NAME=ARGS",
        help="FFmpeg filter for the upscaled frames.",
        in_resume_key="value",
    )
    """FFmpeg filters for the upscaled frames, before they are encoded."""
    frame_rate: Fraction | None = setting(
        None,
        flags=("--fps",),
        heading="Input",
        metavar="NUMBER",
        help="Rate of numbered images; default 25.",
        in_resume_key="value",
        limits=(0, 1000),
    )
    """Frames per second if numbered images are read as a video; None is 25. Videos keep their timestamps."""
    format: PipeFormat | None = setting(
        None,
        flags=("--format",),
        heading="Encoding",
        metavar="NAME",
        help="Of standard output",
        in_resume_key="value",
    )
    """Format of a result that goes to standard output; None takes the input's format if it is one of the two,
    else NUT."""
    video_stream: int | None = setting(
        None,
        flags=("--video-stream",),
        heading="Input",
        metavar="INDEX",
        help="Index of the video stream to upscale.",
        in_resume_key="value",
    )
    """Index of the video stream among all streams; None takes FFmpeg's choice."""
    color: ColorSpec = setting(
        UNTAGGED,
        flags=("--color",),
        heading="Input",
        metavar="TAG=NAME",
        help="Colour tag of the input; repeatable.",
        in_resume_key="value",
    )
    """Colour tags that replace those of the input, for inputs with wrong tags or none."""
    deinterlace: Deinterlace = setting(
        "auto",
        flags=("--deinterlace",),
        heading="Input",
        metavar="HOW",
        help="",
        in_resume_key="value",
    )
    """`auto` deinterlaces frames that are marked as interlaced, to one frame each, which drops half of the
    motion; `double` makes a frame of each field (50i to 50p); `film` makes 24 frames per second of NTSC video
    that was made from film; `top-first` and `bottom-first` are `auto` with that `field_order`."""
    field_order: ForcedOrder = setting(
        "auto",
        flags=("--field-order",),
        heading="Input",
        metavar="WHICH",
        help="",
        in_resume_key="value",
    )
    """The field of each frame that is shown first; `auto` takes the order in the frames or the container.
    With another value, all frames are deinterlaced, marked or not."""
    max_pixels: int | None = setting(
        None,
        flags=("--max-pixels",),
        heading="Input",
        metavar="NUMBER",
        help="Refuse larger frames; default 8192 x 8192.",
        in_resume_key="no",
        limits=(1, 2**31 - 1),  # FFmpeg's own limit
    )
    """Larger frames are refused, because they could exhaust the memory; None is 8192 x 8192."""
    strict: bool = setting(
        False,
        flags=("--strict",),
        heading="Input",
        help="Stop at the first damage.",
        in_resume_key="value",
    )
    """Stop at the first damage instead of counting it and continuing."""
    device: str = setting(
        "auto",
        flags=("--device",),
        heading="Computation",
        metavar="NAME",
        help="auto, cpu, mps, cuda:N, cuda:all, ...",
        in_resume_key="derived",
    )
    """`auto`, `cpu`, `mps` (Apple GPU), `cuda`, `cuda:1`, ... Several devices work on one video:
    `cuda:0,cuda:1`, `cuda:all`, or `cpu:2` for two processes that share the cores."""
    on: str = setting(
        "local",
        flags=("--on",),
        heading="Computation",
        metavar="PLACE",
        help="Workers: local, ray, ray://HOST:PORT.",
        in_resume_key="no",
        in_files=False,
    )
    """Where workers run: `local` is this machine, `ray` a cluster (plugin vsr-ray). A pipeline file cannot
    set it, for the person who sends a file must not choose the machines."""
    backend: Backend = setting(
        "auto",
        flags=("--backend",),
        heading="Computation",
        metavar="NAME",
        help="",
        in_resume_key="value",
    )
    """The software that runs the generator. `vsr doctor` lists what is available and what `auto` takes."""
    precision: Precision = setting(
        "auto",
        flags=("--precision",),
        heading="Computation",
        metavar="NAME",
        help="",
        in_resume_key="value",
    )
    """Number format of weights and activations; `auto` takes a 16-bit format if this device is faster in it
    than in fp32."""
    hwaccel: Hwaccel = setting(
        "none",
        flags=("--hwaccel",),
        heading="Computation",
        metavar="NAME",
        help="GPU for decoding",
        in_resume_key="no",
    )
    """Whether an NVIDIA GPU decodes: with `auto` if it gives the same frames as software, with `cuda`
    always."""
    tile: int | None = setting(
        None,
        flags=("--tile",),
        heading="Computation",
        metavar="PIXELS",
        help="Size of a tile; 0: whole frames.",
        in_resume_key="no",
        limits=(0, 2**20),
    )
    """Width and height of a tile in LR pixels; None decides by the free memory, 0 takes whole frames."""
    batch: int | None = setting(
        None,
        flags=("--batch",),
        heading="Computation",
        metavar="FRAMES",
        help="Frames in a batch.",
        in_resume_key="no",
        limits=(1, 2**16),
    )
    """Number of frames in a batch; None decides by the device and the free memory."""
    reuse: bool = setting(
        True,
        flags=("--reuse/--no-reuse",),
        heading="Computation",
        help="Compute duplicate frames once.",
        in_resume_key="value",
    )
    """Compute duplicate frames and, on the CPU, static regions only once. The result is the same."""
    resume: bool = setting(
        True,
        flags=("--resume/--no-resume",),
        heading="Run",
        help="Resume interrupted runs (default).",
        in_resume_key="no",
    )
    """Keep the finished segments of an interrupted run in a hidden folder beside the output, and resume from
    them."""
    restart: bool = setting(
        False,
        flags=("--restart",),
        heading="Run",
        help="Start from the beginning.",
        in_resume_key="no",
    )
    """Start from the beginning, and discard the finished segments of an interrupted run."""
    segment_seconds: Fraction = setting(
        Fraction(10),
        flags=("--segment",),
        heading="Run",
        metavar="TIME",
        help="Seconds in a segment; default 10.",
        in_resume_key="value",
        is_time=True,
        limits=(0, 10**9),
    )
    """Length of a segment. An interrupted run computes at most one segment again."""

    def __post_init__(self) -> None:
        check_limits(self)
