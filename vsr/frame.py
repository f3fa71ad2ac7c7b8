"""Frames, their timestamps, and the facts of a video, which travel through the pipeline.

A stage replaces the samples and keeps the `Stamp`, so a variable frame rate needs no special treatment. Torch
is imported for types only, so that `vsr info` can read a `VideoInfo` without loading it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from vsr.color.spec import ColorSpec, PixelLayout

if TYPE_CHECKING:
    from torch import Tensor

FieldOrder = Literal["progressive", "top-first", "bottom-first", "single fields", "unknown"]
"""Which field of a frame is shown first. "single fields" means that each frame is one field, as coded in
H.265."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Side data of one frame that no encoder generates: captions, dynamic HDR metadata."""

    kind: str
    """FFmpeg's name of the side data, such as "A53_CC"."""
    payload_type: int
    """Of the SEI message that carries it (ITU-T H.274); 4 is user data registered by ITU-T T.35."""
    payload: bytes
    """Content of the SEI message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """When a frame is shown, and its side data. Times are never computed from a frame rate."""

    index: int
    """Number of the frame in presentation order, from 0 at the start of the stream."""
    pts: int
    """Presentation time in ticks of `time_base`, as in the source. It is nearly always later than that of the
    previous frame. If the source's own timestamps are wrong, one may repeat or be up to a second earlier."""
    duration: int
    """In ticks; 0 if the source does not state it."""
    time_base: Fraction
    """Seconds per tick."""
    messages: tuple[Message, ...] = ()
    """Side data for the output, as far as its codec supports it."""

    @property
    def seconds(self) -> Fraction:
        """Exact presentation time in seconds."""
        return self.pts * self.time_base


@dataclass(frozen=True, slots=True, kw_only=True)
class YuvFrame:
    """A frame as planes, which decoders return and encoders take."""

    planes: tuple[Tensor, ...]
    """`(H, W)` each: Y, U, V, or R, G, B, or one grey plane; uint8, or uint16 with the value in the low bits.
    Chroma of odd sizes is rounded up. On any device; in host memory they may alias the decoder's memory."""
    alpha: Tensor | None = None
    """`(H, W)`, with the planes' dtype, full range."""
    layout: PixelLayout
    color: ColorSpec
    """Complete: tags that the source lacks are guessed."""
    stamp: Stamp

    @property
    def height(self) -> int:
        return int(self.planes[0].shape[0])

    @property
    def width(self) -> int:
        return int(self.planes[0].shape[1])

    def to_rgb(self) -> RgbFrame:
        """Convert to the generator's input, float32, by the frame's own colour tags, on its device."""
        from vsr.color.convert import (  # imported late: probing a file does not need torch
            alpha_to_float,
            to_rgb,
        )

        alpha = None if self.alpha is None else alpha_to_float(self.alpha, self.layout)
        return RgbFrame(image=to_rgb(self.planes, self.color, self.layout), alpha=alpha, stamp=self.stamp)


@dataclass(frozen=True, slots=True, kw_only=True)
class RgbFrame:
    """A frame in the generator's representation."""

    image: Tensor
    """`(3, H, W)` R'G'B', float, nominally [0, 1] and not clipped, with the source's transfer curve."""
    alpha: Tensor | None = None
    """`(1, H, W)`, [0, 1]."""
    stamp: Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class MasteringDisplay:
    """SMPTE ST 2086: the display on which HDR video was graded."""

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
    """CTA-861.3: the brightest pixel and the highest frame average of HDR video, in cd/m2."""

    max_cll: int
    max_fall: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """The borders of the stored frame that the container hides, in pixels; MP4 allows fractions of a
    pixel.
    """

    left: Fraction = Fraction(0)
    top: Fraction = Fraction(0)
    right: Fraction = Fraction(0)
    bottom: Fraction = Fraction(0)

    def scaled(self, x: Fraction, y: Fraction) -> Crop:
        """Return the crop for a frame that is `x` times as wide and `y` times as high."""
        return Crop(left=self.left * x, right=self.right * x, top=self.top * y, bottom=self.bottom * y)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stereo:
    """The arrangement of both eyes' views in a frame."""

    kind: int
    """FFmpeg's AVStereo3DType: 1 side by side, 2 top and bottom, 3 alternate frames, 4 checkerboard, 6 lines,
    7 columns."""
    inverted: bool = False
    """Whether the right eye's view comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spherical:
    """The projection of the frame on a sphere (360 degree video)."""

    projection: int
    """FFmpeg's AVSphericalProjection: 0 equirectangular, 1 cube map, 2 part of an equirectangular frame."""
    yaw: Fraction = Fraction(0)
    """In degrees, like the next two."""
    pitch: Fraction = Fraction(0)
    roll: Fraction = Fraction(0)
    bounds: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Left, top, right and bottom margin of the part within the whole, in units of 2**-32 of the whole."""
    padding: int = 0
    """Pixels around each face of a cube map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DolbyVision:
    """Dolby Vision metadata of a source; an output has the base layer only."""

    profile: int
    viewable: bool
    """Whether the base layer alone has correct colours. Profile 5 has its own colour space (IPT)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """Facts of a video stream that are known before it is decoded."""

    path: str
    stream_index: int
    """Index of the video stream in the container, counting all streams."""
    codec: str
    """FFmpeg's name of the codec."""
    width: int
    """Of the decoded frame in pixels, before any display rotation."""
    height: int
    pixel_format: str
    """FFmpeg's name of the decoded frames' format."""
    layout: PixelLayout
    """After repacking into planes; it keeps every bit of `pixel_format`."""
    tagged: ColorSpec
    """The source's colour tags, which may be unspecified."""
    color: ColorSpec
    """`tagged`, completed by `ColorSpec.guess_for`: used for the conversion of frames, and for the output's
    tags."""
    guesses: tuple[str, ...] = ()
    """One sentence for each tag that was guessed."""
    time_base: Fraction
    frame_rate: Fraction | None
    """A label for people and for encoders' rate control; timestamps are never computed from it."""
    sample_aspect_ratio: Fraction | None
    """Width of a pixel divided by its height; None if the source does not state it."""
    rotation: int = 0
    """Display rotation in degrees, counter-clockwise (FFmpeg's display matrix): 0, 90, 180 or 270."""
    display_matrix: tuple[int, ...] | None = None
    """The complete matrix of `rotation`, mirroring included: nine numbers as FFmpeg stores them."""
    field_order: FieldOrder = "progressive"
    fields_by_container: bool = False
    """Whether only the container states `field_order`, so that no frame is flagged as interlaced."""
    start_seconds: Fraction | None = None
    """When the first frame that can be decoded is shown, on the container's clock."""
    clock_start: Fraction = Fraction(0)
    """The container's clock at the start of the recording. It is not 0 only in broadcast formats, whose
    clocks run on from one recording to the next."""
    duration_seconds: Fraction | None = None
    """As the container states it."""
    may_go_on: bool = False
    """Whether the container can be joined byte by byte, so that more may follow after `duration_seconds`."""
    frames_promised: int | None = None
    """The number of frames that the container states; None if it states none."""
    mastering_display: MasteringDisplay | None = None
    content_light: ContentLight | None = None
    crop: Crop | None = None
    """Borders of each frame that the container hides; None if it shows the whole frame."""
    stereo: Stereo | None = None
    spherical: Spherical | None = None
    dolby_vision: DolbyVision | None = None
    side_data: tuple[str, ...] = ()
    """FFmpeg's names of other side data of the first frame."""


@dataclass(slots=True)
class Damage:
    """Damage found in an input. It is counted during decoding, and complete when decoding has ended."""

    broken_packets: int = 0
    """Packets that the decoder refused; of audio and subtitles, packets that could not be read or written."""
    corrupt_frames: int = 0
    """Frames that the decoder returned but flagged as damaged (concealed errors)."""
    missing_frames: int = 0
    """Frames that the container states but that were not decoded."""
    notes: list[str] = field(default_factory=list)
    """Sentences for people: what, where, how many."""

    def __bool__(self) -> bool:
        return bool(self.broken_packets or self.corrupt_frames or self.missing_frames or self.notes)

    def plus(self, other: Damage) -> Damage:
        """Return the sum of both."""
        return Damage(
            broken_packets=self.broken_packets + other.broken_packets,
            corrupt_frames=self.corrupt_frames + other.corrupt_frames,
            missing_frames=self.missing_frames + other.missing_frames,
            notes=[*self.notes, *other.notes],
        )
