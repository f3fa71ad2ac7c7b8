"""The settings of a degradation, read from TOML.

The stages run in this order: the HR target is sharpened (`Sharpen`) and its colours are changed (`Augment`);
rounds of blur, resizing, noise and JPEG follow (`Order`, the "high-order degradation" of Real-ESRGAN); then
it is resized to LR (`Final`) and coded by real video codecs (`CodecRange`). Each stage is optional. Ranges
are `(lowest, highest)`, and values are drawn uniformly from them. Defaults without an explanation are those
of the first order of Real-ESRGAN (Wang et al., arXiv 2107.10833, and its published options).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Literal

Encoder = Literal["libx264", "libx265", "libvpx-vp9", "mpeg4", "mpeg2video", "dvvideo"]
Mode = Literal["area", "bilinear", "bicubic", "lanczos"]
JpegMode = Literal["real", "kornia"]
Range2 = tuple[float, float]

SMALLEST_HEVC = 64
"""Smallest LR side for libx265, which writes outside its memory for smaller
frames (seen at 48x32 with PyAV 18.1)."""
LARGEST_QUALITY: dict[Encoder, int] = {
    "libx264": 51,
    "libx265": 51,
    "libvpx-vp9": 63,
    "mpeg4": 31,
    "mpeg2video": 31,
}
"""Largest CRF; for MPEG-2 and MPEG-4 the largest quantiser scale, whose smallest value is 1."""
DV_FRAME = (576, 720)
"""Height and width of DV's frames; smaller clips are continued by mirroring."""
LOWEST_REAL_JPEG = 12
"""The libjpeg quality that corresponds to FFmpeg's largest MJPEG quantiser, 31."""


def _check_shares(owner: str, **shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{owner}.{name} = {share} must be in [0, 1]")


def _check_range(owner: str, name: str, limits: Range2, least: float, most: float = float("inf")) -> None:
    low, high = limits
    if not least <= low <= high <= most:
        raise ValueError(f"{owner}.{name} = [{low}, {high}] must be increasing and within [{least}, {most}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelShares:
    """Relative probabilities of the kernels."""

    iso: float = 0.45
    """Isotropic Gaussian."""
    aniso: float = 0.25
    """Anisotropic Gaussian, rotated."""
    generalised_iso: float = 0.12
    """exp(-d^beta / 2) of the squared distance d, with heavier or lighter tails."""
    generalised_aniso: float = 0.03
    plateau_iso: float = 0.12
    """1 / (1 + d^beta), flat at the centre."""
    plateau_aniso: float = 0.03

    def __post_init__(self) -> None:
        shares = [getattr(self, f.name) for f in fields(self)]
        if min(shares) < 0 or not sum(shares):
            raise ValueError(f"shares = {shares} must not be negative, and at least one must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur:
    """Blur with one kernel a clip."""

    probability: float = 1.0
    sizes: tuple[int, int] = (7, 21)
    """Smallest and largest side in pixels; only odd sides are drawn."""
    sinc: float = 0.1
    """Probability of a sinc kernel (ringing), with a cutoff from pi/3 (pi/5 from size 13 on) to pi."""
    shares: KernelShares = KernelShares()
    """Relative probabilities of the other kernels."""
    sigma: Range2 = (0.2, 3.0)
    """Standard deviation along each axis, in pixels."""
    rotation: Range2 = (-3.141592653589793, 3.141592653589793)
    """Rotation in radians, counter-clockwise in (x, y)."""
    beta_generalised: Range2 = (0.5, 4.0)
    """Exponent, below or above 1 with equal probability; 1 is a Gaussian."""
    beta_plateau: Range2 = (1.0, 2.0)
    """Exponent of the plateau, drawn in the same way."""

    def __post_init__(self) -> None:
        _check_shares("blur", probability=self.probability, sinc=self.sinc)
        low, high = self.sizes
        if not 3 <= low <= high or not low % 2 or not high % 2:
            raise ValueError(f"blur.sizes = [{low}, {high}] must be odd, increasing, and at least 3")
        _check_range("blur", "sigma", self.sigma, 0.05)
        _check_range("blur", "rotation", self.rotation, -7.0, 7.0)
        _check_range("blur", "beta_generalised", self.beta_generalised, 0.05)
        _check_range("blur", "beta_plateau", self.beta_plateau, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """Resizing by a random factor."""

    up: float = 0.2
    """Probability of a factor between 1 and the largest."""
    down: float = 0.7
    """Probability of a factor between the smallest and 1; the rest of `up` and `down` keeps the size."""
    factor: Range2 = (0.15, 1.5)
    """Smallest and largest factor, as the new side / the side that `of` names."""
    of: Literal["input", "lr"] = "input"
    """Side that the factor multiplies: that of the input image or that of the LR image."""
    modes: tuple[Mode, ...] = ("area", "bilinear", "bicubic")
    """Interpolation methods, drawn uniformly."""
    antialias: bool = False
    """Whether bilinear and bicubic downscaling is antialiased; area and lanczos always are."""

    def __post_init__(self) -> None:
        _check_shares("resize", up=self.up, down=self.down, up_and_down=self.up + self.down)
        _check_range("resize", "factor", self.factor, 0.05, 4.0)
        if not self.factor[0] <= 1 <= self.factor[1]:
            raise ValueError(f"resize.factor = {list(self.factor)} must contain 1")
        if not self.modes:
            raise ValueError("resize.modes is empty. Name at least one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Noise whose kind and strength are drawn once a clip, and whose values differ in each frame."""

    probability: float = 1.0
    gaussian: float = 0.5
    """Probability of Gaussian noise; otherwise it is Poisson noise."""
    sigma: Range2 = (1.0, 30.0)
    """Standard deviation of Gaussian noise, in 8-bit code values."""
    poisson: Range2 = (0.05, 3.0)
    """Factor on photon (shot) noise."""
    grey: float = 0.4
    """Probability that the noise is equal in R, G and B."""

    def __post_init__(self) -> None:
        _check_shares("noise", probability=self.probability, gaussian=self.gaussian, grey=self.grey)
        _check_range("noise", "sigma", self.sigma, 0.0, 255.0)
        _check_range("noise", "poisson", self.poisson, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jpeg:
    """JPEG compression with 4:2:0 chroma."""

    probability: float = 1.0
    quality: Range2 = (30.0, 95.0)
    """Quality on libjpeg's scale."""
    mode: JpegMode = "real"
    """`real` uses FFmpeg's MJPEG encoder on the CPU. `kornia` runs batched on the device; its rounding is
    soft, so its loss is 0.6 to 1.1 dB smaller at the same quality."""

    def __post_init__(self) -> None:
        _check_shares("jpeg", probability=self.probability)
        _check_range("jpeg", "quality", self.quality, LOWEST_REAL_JPEG if self.mode == "real" else 1, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One round of degradation; a step that is None is skipped."""

    blur: Blur | None = None
    resize: Resize | None = None
    noise: Noise | None = None
    jpeg: Jpeg | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Halo:
    """Unsharp masking of LR without a threshold, which leaves bright and dark lines along edges, as the edge
    enhancement of cameras and disc masters does."""

    probability: float = 1.0
    sigma: Range2 = (0.6, 1.6)
    """Standard deviation of the Gaussian, in LR pixels."""
    weight: Range2 = (0.2, 1.2)
    """Factor on the difference from the blurred image."""

    def __post_init__(self) -> None:
        _check_shares("halo", probability=self.probability)
        _check_range("halo", "sigma", self.sigma, 0.05, 4.0)
        _check_range("halo", "weight", self.weight, 0.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """Resizing to the LR size after all rounds."""

    modes: tuple[Mode, ...] = ("bicubic",)
    """Interpolation methods, drawn uniformly."""
    antialias: bool = True
    """As in `Resize`; antialiased bicubic equals MATLAB's and PIL's."""
    sinc: float = 0.0
    """Probability of a sinc filter afterwards; Real-ESRGAN uses 0.8."""
    sizes: tuple[int, int] = (7, 21)
    """Smallest and largest side of that kernel, both odd; its cutoff is from pi/3 to pi."""
    after_jpeg: float = 0.0
    """Probability that this step follows the last round's JPEG instead
    of preceding it; Real-ESRGAN uses 0.5."""
    halo: Halo | None = None
    """Sharpening of LR after this step."""

    def __post_init__(self) -> None:
        _check_shares("final", sinc=self.sinc, after_jpeg=self.after_jpeg)
        low, high = self.sizes
        if not 3 <= low <= high or not low % 2 or not high % 2:
            raise ValueError(f"final.sizes = [{low}, {high}] must be odd, increasing, and at least 3")
        if not self.modes:
            raise ValueError("final.modes is empty. Name at least one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharpen:
    """Unsharp masking of the HR target where it has contrast; the defaults are Real-ESRGAN's."""

    weight: float = 0.5
    size: int = 51
    """Side of the Gaussian, odd. Its sigma is 0.3 (size / 2 - 1.5) +
    0.8 (OpenCV's formula), 8 pixels for 51."""
    threshold: float = 10.0
    """Contrast in 8-bit code values below which nothing is sharpened."""

    def __post_init__(self) -> None:
        if self.weight < 0 or self.size < 3 or not self.size % 2 or self.threshold < 0:
            raise ValueError(
                f"usm requires weight ({self.weight}) and threshold ({self.threshold}) of at least 0, "
                f"and an odd size ({self.size}) of at least 3"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """Changes of colour in both HR and LR. A range of (1, 1), or (0, 0) for hue, changes nothing."""

    probability: float = 0.5
    brightness: Range2 = (1.0, 1.0)
    """Factor on R, G and B."""
    contrast: Range2 = (1.0, 1.0)
    """Factor on the difference from the clip's mean grey."""
    saturation: Range2 = (1.0, 1.0)
    """Factor on the difference of each pixel from its grey."""
    hue: Range2 = (0.0, 0.0)
    """Rotation of the hue of HSV, in radians."""
    gamma: Range2 = (1.0, 1.0)
    """Exponent of R, G and B."""

    def __post_init__(self) -> None:
        _check_shares("augment", probability=self.probability)
        for name in ("brightness", "contrast", "saturation", "gamma"):
            _check_range("augment", name, getattr(self, name), 0.0)
        _check_range("augment", "hue", self.hue, -3.1416, 3.1416)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Augmentation of photographs before clips are cut from them, against overfitting to few photographs.

    A photograph is only rotated and downscaled as far as its size permits. Rotation by 45 degrees needs 1.4
    times the side of the clip (`size` plus the pan), downscaling by half needs twice the side, so choose a
    small `size`. Held-out photographs are not augmented.
    """

    probability: float = 1.0
    """Probability that a clip is augmented."""
    rotation: float = 0.0
    """Largest rotation in either direction, in degrees. 45 permits any
    angle, since crops also turn by 90 degrees."""
    reduction: Range2 = (1.0, 1.0)
    """Smallest and largest ratio of new to old side."""
    channels: float = 0.0
    """Probability that R, G and B are permuted."""

    def __post_init__(self) -> None:
        _check_shares("vary", probability=self.probability, channels=self.channels)
        _check_range("vary", "reduction", self.reduction, 0.1, 1.0)
        if not 0 <= self.rotation <= 45:
            raise ValueError(f"vary.rotation = {self.rotation:g} must be in [0, 45] degrees")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecRange:
    """One encoder for LR clips, and the ranges of its settings."""

    encoder: Encoder
    share: float = 1.0
    """Relative probability among the encoders."""
    quality: tuple[int, int] | None = None
    """CRF, or the quantiser scale of mpeg4 and mpeg2video; an alternative to `bitrate`. DV has neither."""
    bitrate: tuple[int, int] | None = None
    """kbit/s at 25 frames a second; an alternative to `quality`. Rate control needs some frames to adapt:
    MPEG-2 and MPEG-4 encode the first four with almost the finest quantiser at any rate."""
    presets: tuple[str, ...] = ("",)
    """Presets of x264 and x265, or cpu-used of VP9, drawn uniformly; MPEG-2
    and MPEG-4 have none (one empty string)."""
    gop: tuple[int, int] | None = None
    """Largest distance between keyframes in frames; None uses the encoder's default."""

    def __post_init__(self) -> None:
        if self.share <= 0 or not self.presets:
            raise ValueError(f"{self.encoder}: share ({self.share}) must be above 0, and presets not empty")
        if not all(re.fullmatch(r"-?[a-z0-9]{0,12}", preset) for preset in self.presets):
            raise ValueError(f"{self.encoder}: presets must be words or numbers, not {self.presets}")
        if self.encoder == "dvvideo":
            if self.quality or self.bitrate or self.gop or self.presets != ("",):
                raise ValueError("dvvideo has neither quality nor bitrate, gop and presets. Remove them")
            return
        if (self.quality is None) == (self.bitrate is None):
            raise ValueError(f"{self.encoder}: set either quality or bitrate")
        if self.quality:
            least = 1 if self.encoder.startswith("mpeg") else 0
            _check_range(self.encoder, "quality", self.quality, least, LARGEST_QUALITY[self.encoder])
        if self.bitrate:
            _check_range(self.encoder, "bitrate", self.bitrate, 1)
        if self.gop:
            _check_range(self.encoder, "gop", self.gop, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """How LR clips are made from photographs or footage."""

    frames: int = 5
    """Frames of a clip, all of which the codec encodes."""
    size: int = 480
    """Side of a clip's HR frames."""
    speed: int = 4
    """Highest speed of a pan along each axis, in whole HR pixels a frame."""
    clean: float = 0.2
    """Probability that a clip is only downscaled, by antialiased bicubic interpolation."""
    clean_yuv: float = 0.0
    """Probability that a clean clip is converted to 8-bit Y'CbCr 4:4:4 and back, as lossless videos are."""
    soft_chroma: float = 0.0
    """Probability that Cb and Cr of both LR and target have half the target's resolution,
    as in images of cameras and in JPEGs."""
    usm: Sharpen | None = None
    augment: Augment | None = None
    vary: Augmentation | None = None
    """Augmentation of photographs, before all other steps."""
    orders: tuple[Order, ...] = ()
    """Rounds of degradation, at most two."""
    final: Final = Final()
    codecs: tuple[CodecRange, ...] = ()
    second_generation: float = 0.0
    """Probability that a coded clip is coded again, with another draw from `codecs`."""
    drift: float = 0.0
    """Largest change of parameters from frame to frame of a clip, in RealBasicVSR's steps
    (`stages.STEPS`); 0 keeps them constant."""

    def __post_init__(self) -> None:
        _check_shares("degrade", clean=self.clean, clean_yuv=self.clean_yuv)
        _check_shares("degrade", soft_chroma=self.soft_chroma)
        _check_shares("degrade", second_generation=self.second_generation)
        if self.frames < 1 or self.size < 1 or self.speed < 0 or self.drift < 0:
            raise ValueError(
                f"frames ({self.frames}) and size ({self.size}) must be at least 1, "
                f"speed ({self.speed}) and drift ({self.drift}) at least 0"
            )
        if len(self.orders) > 2:
            raise ValueError(f"degrade has {len(self.orders)} orders, at most two are supported. Remove some")


def check_lr_size(degradation: Degradation, scale: int) -> None:
    """Check that the stages can process clips at this scale.

    Raises:
        ValueError: LR sides are odd, which 4:2:0 does not support, too small for libx265, or too large for
            dvvideo.
    """
    if degradation.size % (2 * scale):
        raise ValueError(f"degrade.size = {degradation.size} must be a multiple of {2 * scale}")
    hevc = any(codec.encoder == "libx265" for codec in degradation.codecs)
    if hevc and degradation.size // scale < SMALLEST_HEVC:
        raise ValueError(f"degrade.size must be at least {SMALLEST_HEVC * scale} for libx265")
    dv = any(codec.encoder == "dvvideo" for codec in degradation.codecs)
    if dv and degradation.size // scale > min(DV_FRAME):
        raise ValueError(f"degrade.size must be at most {min(DV_FRAME) * scale} for dvvideo")
