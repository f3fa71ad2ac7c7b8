"""The table of encoders: containers, pixel formats and options of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The option for constant quality, with its range."""

    option: str
    default: float
    best: float = 0
    worst: float = 51
    also: tuple[str, ...] = ()
    """Further options that get the same value: one for each type of frame."""
    scale: tuple[float, float] | None = None
    """FFmpeg's values at `best` and `worst`, if they are not these; linear between them, whole numbers."""

    def options(self, value: float) -> dict[str, str]:
        """FFmpeg's options for a value between `best` and `worst`."""
        text = f"{value:g}"
        if self.scale is not None:
            part = (value - self.best) / (self.worst - self.best)
            text = str(round(self.scale[0] + part * (self.scale[1] - self.scale[0])))
        return dict.fromkeys((self.option, *self.also), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """The option that trades speed for size, with its values."""

    option: str = "preset"
    default: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """Properties of an encoder."""

    codec: str
    """FFmpeg's name of the encoder."""
    muxers: tuple[str, ...]
    """FFmpeg's names of the containers that support its codec."""
    pixel_formats: tuple[str, ...]
    """Planar formats in order of preference."""
    stored_as: Mapping[str, str] = field(default_factory=dict)
    """Maps planar formats to packed ones with the same samples, where the encoder has no planar one."""
    quality: Quality | None = None
    preset: Preset | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """Set unless the user sets them."""
    needs: str | None = None
    """Hardware and driver that it needs, for messages; None for an encoder in software."""
    even: bool = False
    """Whether the size must be a multiple of the chroma subsampling."""
    min_side: int = 1
    """Smallest width and height in pixels; measured."""
    memory: int = 20
    """Bytes of memory for each pixel of 8-bit 4:2:0, at the default preset; see
    `pipeline/job/host_memory.py`."""
    mp4_tag: str | None = None
    """Codec tag in MP4 and QuickTime, where FFmpeg's default does not play everywhere."""
    limited_only: bool = False
    """Whether its codec cannot signal full range."""
    alpha_muxers: tuple[str, ...] | None = None
    """Containers that keep its transparency; None if all of `muxers` do."""
    wide: Mapping[str, str] = field(default_factory=dict)
    """Sub-options on a CPU with AVX-512; see Note [x264 without AVX-512]."""
    fast: Mapping[str, str] = field(default_factory=dict)
    """Sub-options for more than `FAST` frames per second."""
    small: Mapping[str, str] = field(default_factory=dict)
    """Sub-options for frames with a side below `SMALL`."""


SMALL = 64
"""In pixels. If a side is smaller than one coding block of H.265, libx265 with cutree writes beyond its
memory; measured."""
FAST = 240
"""In frames per second. SVT-AV1 refuses a higher rate, although the rate is only a label."""
_X264_REPEATS = {"x264-params": "asm=AVX2"}
"""Note [x264 without AVX-512]: with AVX-512, x264 (in FFmpeg 8.1) codes the same frames differently in each
run: in three of four runs on one clip. Without it, all runs are equal, at the same speed. The output of a
resumed run must equal that of an unbroken run."""
_YUV8 = ("yuv420p", "yuv422p", "yuv444p")
_YUV10 = ("yuv420p10le", "yuv422p10le", "yuv444p10le")
_YUV12 = ("yuv420p12le", "yuv422p12le", "yuv444p12le")
_YUV16 = ("yuv420p16le", "yuv422p16le", "yuv444p16le")
_GRAY = ("gray", "gray10le", "gray12le", "gray14le", "gray16le")
_RGB = ("gbrp", "gbrp10le", "gbrp12le", "gbrp14le", "gbrp16le")
_ALPHA = ("yuva420p", "yuva422p", "yuva444p", "yuva420p10le", "yuva422p10le", "yuva444p10le")
_ALPHA_DEEP = ("yuva422p12le", "yuva444p12le", "yuva420p16le", "yuva422p16le", "yuva444p16le")
_RGB_ALPHA = ("gbrap", "gbrap10le", "gbrap12le", "gbrap14le", "gbrap16le")
_DEEP_YUV = tuple(f"{name}{bits}le" for bits in (9, 10, 12, 14, 16) for name in _YUV8)
RAW_FORMATS: Mapping[str, tuple[str, ...]] = {
    "yuv4mpegpipe": (*_YUV8, "yuv411p", *_DEEP_YUV, "gray", "gray9le", "gray10le", "gray12le", "gray16le"),
    "nut": (
        *(*_YUV8, "yuv411p", "yuv410p", "yuv440p", *_DEEP_YUV, *_GRAY, "gray9le", "ya8", *_RGB, "gbrp9le"),
        *("yuva420p9le", "yuva422p9le", "yuva444p9le", "yuva420p16le", *_ALPHA, *_ALPHA_DEEP, *_RGB_ALPHA),
    ),
}
"""Maps muxers of pipes to the planar formats that FFmpeg writes with them and reads back; measured."""
_MPEG = ("matroska", "mp4", "mov")
_X26X_PRESETS = Preset(
    default="medium",
    choices=(
        *("ultrafast", "superfast", "veryfast", "faster", "fast"),
        *("medium", "slow", "slower", "veryslow", "placebo"),
    ),
)
_NVENC = EncoderSpec(
    codec="hevc_nvenc",
    muxers=_MPEG,
    pixel_formats=("yuv420p", "yuv444p", "yuv420p10le", "yuv444p10le"),
    stored_as={"yuv420p10le": "p010le", "yuv444p10le": "yuv444p10msble"},
    quality=Quality(option="cq", default=19),
    preset=Preset(default="p5", choices=tuple(f"p{n}" for n in range(1, 8))),
    options={"rc": "vbr", "b": "0"},
    needs="an NVIDIA GPU with an encoder, and its driver",
    even=True,
)
_LAMBDA = 118
"""FF_QP2LAMBDA: FFmpeg's unit of `global_quality`."""
_VIDEOTOOLBOX = EncoderSpec(
    codec="hevc_videotoolbox",
    muxers=_MPEG,
    pixel_formats=("yuv420p", "yuv420p10le"),
    stored_as={"yuv420p10le": "p010le"},
    # Apple's quality goes from 1 to 100, where higher is better.
    quality=Quality(option="global_quality", default=18, scale=(100 * _LAMBDA, 1 * _LAMBDA)),
    options={"flags": "+qscale"},
    needs="macOS on Apple silicon (VideoToolbox)",
    even=True,
    mp4_tag="hvc1",
)
_QUICKSYNC = EncoderSpec(
    codec="hevc_qsv",
    muxers=_MPEG,
    pixel_formats=("yuv420p", "yuv420p10le"),
    stored_as={"yuv420p": "nv12", "yuv420p10le": "p010le"},
    quality=Quality(option="global_quality", default=20, best=1),
    preset=Preset(
        default="medium", choices=("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
    ),
    options={"b": "0"},  # a bit rate would take the place of constant quality
    needs="an Intel GPU with QuickSync, and its driver (oneVPL)",
    even=True,
    mp4_tag="hvc1",
)
_AMF = EncoderSpec(
    codec="hevc_amf",
    muxers=_MPEG,
    pixel_formats=("yuv420p", "yuv420p10le"),
    stored_as={"yuv420p10le": "p010le"},
    quality=Quality(option="qp_i", default=20, also=("qp_p",)),
    preset=Preset(option="quality", default="quality", choices=("speed", "balanced", "quality")),
    options={"rc": "cqp"},
    needs="an AMD GPU with an encoder, and its driver (AMF)",
    even=True,
    mp4_tag="hvc1",
)
_AV1 = ("matroska", "webm", "mp4")

_TABLE = (
    EncoderSpec(
        codec="libx264",
        memory=200,
        muxers=_MPEG,
        pixel_formats=_YUV8 + _YUV10,
        quality=Quality(option="crf", default=18),
        preset=_X26X_PRESETS,
        wide=_X264_REPEATS,
        even=True,
    ),
    EncoderSpec(
        codec="libx264rgb",
        memory=400,
        muxers=_MPEG,
        pixel_formats=("gbrp",),
        stored_as={"gbrp": "bgr24"},
        quality=Quality(option="crf", default=18),
        preset=_X26X_PRESETS,
        wide=_X264_REPEATS,
    ),
    EncoderSpec(
        codec="libx265",
        memory=240,
        muxers=_MPEG,
        pixel_formats=_YUV8 + _YUV10 + _YUV12,
        quality=Quality(option="crf", default=20),
        preset=_X26X_PRESETS,
        options={"x265-params": "log-level=error"},
        even=True,
        min_side=16,
        mp4_tag="hvc1",
        small={"x265-params": "cutree=0"},
    ),
    EncoderSpec(
        codec="libsvtav1",
        memory=260,
        muxers=("matroska", "webm", "mp4"),
        pixel_formats=("yuv420p", "yuv420p10le"),
        quality=Quality(option="crf", default=24, best=1, worst=63),
        preset=Preset(default="7", choices=tuple(str(n) for n in range(14))),
        min_side=4,
        fast={"svtav1-params": f"fps-num={FAST}:fps-denom=1"},
    ),
    EncoderSpec(
        codec="libvpx-vp9",
        memory=160,
        muxers=("matroska", "webm", "mp4"),
        pixel_formats=(*_YUV8, "yuva420p"),
        quality=Quality(option="crf", default=22, worst=63),
        preset=Preset(option="cpu-used", default="3", choices=tuple(str(n) for n in range(9))),
        options={"b": "0", "row-mt": "1"},
        alpha_muxers=("matroska", "webm"),  # stored beside the packets, which MP4 does not support
    ),
    EncoderSpec(
        codec="prores_ks",
        muxers=("mov", "matroska"),
        pixel_formats=("yuv422p10le", "yuv444p10le", "yuva444p10le"),
        preset=Preset(
            option="profile",
            default="auto",
            choices=("auto", "proxy", "lt", "standard", "hq", "4444", "4444xq"),
        ),
        options={"vendor": "apl0"},
        limited_only=True,
    ),
    EncoderSpec(
        codec="ffv1",
        muxers=("matroska", "mp4"),
        pixel_formats=_YUV8
        + _YUV10
        + _YUV12
        + _YUV16
        + _GRAY
        + ("ya8",)
        + _RGB
        + _ALPHA
        + _ALPHA_DEEP
        + _RGB_ALPHA,
        stored_as={"gbrp": "bgr0", "gbrap": "bgra"},
        options={"level": "3", "g": "1", "slicecrc": "1"},
    ),
    replace(_NVENC, codec="h264_nvenc", pixel_formats=("yuv420p", "yuv444p")),
    replace(_NVENC, mp4_tag="hvc1"),
    replace(
        _NVENC,
        codec="av1_nvenc",
        muxers=_AV1,
        pixel_formats=("yuv420p", "yuv420p10le"),
    ),
    replace(_VIDEOTOOLBOX, codec="h264_videotoolbox", pixel_formats=("yuv420p",), mp4_tag=None),
    _VIDEOTOOLBOX,
    replace(_QUICKSYNC, codec="h264_qsv", pixel_formats=("yuv420p",), mp4_tag=None),
    _QUICKSYNC,
    replace(_QUICKSYNC, codec="av1_qsv", muxers=_AV1, mp4_tag=None),
    replace(
        _AMF,
        codec="h264_amf",
        pixel_formats=("yuv420p",),
        quality=Quality(option="qp_i", default=20, also=("qp_p", "qp_b")),
        mp4_tag=None,
    ),
    _AMF,
    replace(
        _AMF,
        codec="av1_amf",
        muxers=_AV1,
        quality=Quality(option="qp_i", default=96, worst=255, also=("qp_p",)),
        preset=Preset(
            option="quality", default="quality", choices=("speed", "balanced", "quality", "high_quality")
        ),
        mp4_tag=None,
    ),
)
ENCODERS: dict[str, EncoderSpec] = {spec.codec: spec for spec in _TABLE}
"""Maps FFmpeg's name of an encoder to its properties."""
USUAL = ("libx264", "libsvtav1", "libvpx-vp9")
"""The default encoders: the first that the container supports is used."""
IN_WEBM = ("libvpx-vp9", "libsvtav1")
"""The default encoders in WebM: the first that loses the least of a source is used. See
`usual_encoder.usual`."""
