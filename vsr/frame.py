"""Frames, their time stamps, and the facts of a video: what travels through the pipeline.

A stage replaces the frame and leaves the `Stamp` alone, so variable frame rate just works. Torch is
imported for types only: `vsr info` reads `VideoInfo` without paying for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol

from vsr.color.spec import ColorSpec, PixelLayout

if TYPE_CHECKING:
    from torch import Tensor

FieldOrder = Literal["progressive", "top-first", "bottom-first", "single fields", "unknown"]
"""Which field of a frame is shown first; "single fields": each frame is one field, as H.265 codes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something that belongs to one frame and no encoder computes: captions, dynamic HDR metadata."""

    kind: str
    """FFmpeg's name of the side data it was: "A53_CC"."""
    payload_type: int
    """Of the SEI message that carries it (ITU-T H.274): 4 is user data registered by ITU-T T.35."""
    payload: bytes
    """Of that message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """When a frame is shown, and what belongs to it. Never computed from a frame rate."""

    index: int
    """Number of the frame in presentation order, from 0 at the start of the stream."""
    pts: int
    """Presentation time in ticks of `time_base`, as the source says. Nearly always later than the frame
    before; where a source's own timestamps stray, one may repeat or lie up to a second back."""
    duration: int
    """In ticks; 0 where the source does not say."""
    time_base: Fraction
    """Seconds in a tick."""
    messages: tuple[Message, ...] = ()
    """What goes into the result beside the frame, as far as its codec has a place for it."""

    @property
    def seconds(self) -> Fraction:
        """Presentation time in seconds, exactly."""
        return self.pts * self.time_base


@dataclass(frozen=True, slots=True, kw_only=True)
class YuvFrame:
    """A frame as planes: what decoders give and encoders take."""

    planes: tuple[Tensor, ...]
    """`(H, W)` each: Y, U, V, or R, G, B, or one grey; uint8, or uint16 with the value in the low bits.
    Chroma of odd sizes is rounded up. Any device; on the host they may alias the decoder's memory."""
    alpha: Tensor | None = None
    """`(H, W)`, of the planes' dtype, full range."""
    layout: PixelLayout
    color: ColorSpec
    """Complete: what the source left unspecified has been guessed."""
    stamp: Stamp

    @property
    def height(self) -> int:
        return int(self.planes[0].shape[0])

    @property
    def width(self) -> int:
        return int(self.planes[0].shape[1])

    def to_rgb(self) -> RgbFrame:
        """The frame as the generator sees it, float32, converted by its own colour tags; where it lies."""
        from vsr.color.convert import alpha_to_float, to_rgb  # here: who only probes a file needs no torch

        alpha = None if self.alpha is None else alpha_to_float(self.alpha, self.layout)
        return RgbFrame(image=to_rgb(self.planes, self.color, self.layout), alpha=alpha, stamp=self.stamp)


@dataclass(frozen=True, slots=True, kw_only=True)
class RgbFrame:
    """A frame as the generator sees it."""

    image: Tensor
    """`(3, H, W)`, float; nominally [0, 1], R'G'B' with the source's transfer curve, not clipped."""
    alpha: Tensor | None = None
    """`(1, H, W)`, [0, 1]."""
    stamp: Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class MasteringDisplay:
    """SMPTE ST 2086: the display on which HDR material was graded."""

    red: tuple[Fraction, Fraction]
    """CIE 1931 x, y."""
    green: tuple[Fraction, Fraction]
    blue: tuple[Fraction, Fraction]
    white: tuple[Fraction, Fraction]
    min_luminance: Fraction
    """cd/m2."""
    max_luminance: Fraction
    """cd/m2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentLight:
    """CTA-861.3: brightest pixel and brightest frame average of HDR material, in cd/m2."""

    max_cll: int
    max_fall: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """What the container hides of the stored frame, in its pixels; MP4 allows for fractions of one."""

    left: Fraction = Fraction(0)
    top: Fraction = Fraction(0)
    right: Fraction = Fraction(0)
    bottom: Fraction = Fraction(0)

    def scaled(self, x: Fraction, y: Fraction) -> Crop:
        """The same of a frame that is `x` times as wide and `y` times as high."""
        return Crop(left=self.left * x, right=self.right * x, top=self.top * y, bottom=self.bottom * y)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stereo:
    """How the views of both eyes lie in one frame."""

    kind: int
    """FFmpeg's AVStereo3DType: 1 side by side, 2 top and bottom, 3 one frame each, in turn,
    4 checkerboard, 6 lines, 7 columns."""
    inverted: bool = False
    """Whether the right eye's view comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spherical:
    """How the frame lies on a sphere (360 degree video)."""

    projection: int
    """FFmpeg's AVSphericalProjection: 0 equirectangular, 1 cube map, 2 a part of an equirectangular."""
    yaw: Fraction = Fraction(0)
    """Degrees, as are the next two."""
    pitch: Fraction = Fraction(0)
    roll: Fraction = Fraction(0)
    bounds: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Left, top, right and bottom margin of the part within the whole, in units of 2**-32 of it."""
    padding: int = 0
    """Pixels around each face of a cube map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DolbyVision:
    """What Dolby Vision adds to a frame; a result has only the base layer."""

    profile: int
    viewable: bool
    """Whether the base layer alone has true colours; profile 5 has a colour space of its own (IPT)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What is known of a video stream before it is decoded."""

    path: str
    stream_index: int
    """Index of the video stream in the container, counting all streams."""
    codec: str
    """FFmpeg's name of the codec."""
    width: int
    """Of the frame as decoded, before any display rotation."""
    height: int
    pixel_format: str
    """FFmpeg's name, as decoded."""
    layout: PixelLayout
    """After repacking into planes; never loses a bit of `pixel_format`."""
    tagged: ColorSpec
    """Colour as the source tags it; may be unspecified."""
    color: ColorSpec
    """`tagged`, completed by `ColorSpec.guess_for`: what frames are converted by; the output's tags."""
    guesses: tuple[str, ...] = ()
    """One sentence for each tag that was guessed."""
    time_base: Fraction
    frame_rate: Fraction | None
    """A label for people and for encoders' rate control; never used to compute a timestamp."""
    sample_aspect_ratio: Fraction | None
    """Width of a pixel over its height; None where the source does not say."""
    rotation: int = 0
    """Display rotation in degrees, counter-clockwise (FFmpeg's display matrix): 0, 90, 180 or 270."""
    display_matrix: tuple[int, ...] | None = None
    """The whole matrix behind `rotation`, mirroring included: nine numbers as FFmpeg stores them."""
    field_order: FieldOrder = "progressive"
    fields_by_container: bool = False
    """Whether `field_order` is said by the container alone, so that no frame is marked as interlaced."""
    start_seconds: Fraction | None = None
    """When the first frame that decodes is shown, on the container's clock."""
    clock_start: Fraction = Fraction(0)
    """Where the container's clock stands when the film begins: 0 but in broadcast formats, whose clocks run
    on from one recording to the next."""
    duration_seconds: Fraction | None = None
    frames_promised: int | None = None
    """Frames that the container says it holds; None where it does not say."""
    mastering_display: MasteringDisplay | None = None
    content_light: ContentLight | None = None
    crop: Crop | None = None
    """What the container hides of each frame; None where it shows all."""
    stereo: Stereo | None = None
    spherical: Spherical | None = None
    dolby_vision: DolbyVision | None = None
    side_data: tuple[str, ...] = ()
    """Kinds of what else the first frame carries beside its samples, as FFmpeg names them."""


@dataclass(slots=True)
class Damage:
    """What was wrong with an input. Counted while it is decoded; read it when decoding has ended."""

    broken_packets: int = 0
    """Packets that the decoder refused; of audio and subtitles, those that could not be read or written."""
    corrupt_frames: int = 0
    """Frames that the decoder delivered but marked as damaged (errors concealed)."""
    missing_frames: int = 0
    """Frames that the container promised and that did not come out."""
    notes: list[str] = field(default_factory=list)
    """A sentence each, for people: what, where, how many."""

    def __bool__(self) -> bool:
        return bool(self.broken_packets or self.corrupt_frames or self.missing_frames or self.notes)

    def plus(self, other: Damage) -> Damage:
        """Both together."""
        return Damage(
            broken_packets=self.broken_packets + other.broken_packets,
            corrupt_frames=self.corrupt_frames + other.corrupt_frames,
            missing_frames=self.missing_frames + other.missing_frames,
            notes=[*self.notes, *other.notes],
        )


class FrameSource(Protocol):
    """Where frames come from."""

    @property
    def info(self) -> VideoInfo: ...

    def frames(self) -> Iterator[YuvFrame]:
        """Frames in presentation order, each once."""
        ...

    def close(self) -> None: ...


class FrameSink(Protocol):
    """Where frames go to."""

    @property
    def layout(self) -> PixelLayout:
        """The layout in which `write` wants its frames."""
        ...

    @property
    def color(self) -> ColorSpec:
        """The colour in which `write` wants its frames; also what the output is tagged with."""
        ...

    def write(self, frame: YuvFrame) -> None:
        """Take one frame; presentation order, host memory."""
        ...

    def close(self) -> None: ...
