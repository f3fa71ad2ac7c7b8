"""The settings of a degradation, read from TOML.

The stages, in this order: the HR target is sharpened (`Sharpen`) and its colours changed (`Augment`), orders
of blur, resize, noise and JPEG follow (`Order`), then the reduction to LR size (`Final`), then real video
codecs (`CodecRange`). Every stage may be absent. Ranges are `(lowest, highest)`, drawn evenly. Where a
default is not explained it is that of the first order of Real-ESRGAN (Wang et al., arXiv 2107.10833, and its
published options).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Literal

Encoder = Literal["libx264", "libx265", "libvpx-vp9", "mpeg4", "mpeg2video"]
Mode = Literal["area", "bilinear", "bicubic", "lanczos"]
JpegMode = Literal["real", "kornia"]
Range2 = tuple[float, float]

SMALLEST_HEVC = 64
"""LR pixels: on smaller pictures libx265 writes beyond its memory (seen with 48x32 in PyAV 18.1)."""
LARGEST_QUALITY: dict[Encoder, int] = {
    "libx264": 51,
    "libx265": 51,
    "libvpx-vp9": 63,
    "mpeg4": 31,
    "mpeg2video": 31,
}
"""Of CRF, or of the quantiser for MPEG-2 and MPEG-4, which starts at 1."""
LOWEST_REAL_JPEG = 12
"""Quality of libjpeg's that FFmpeg's largest MJPEG quantiser, 31, comes to."""


def _check_shares(owner: str, **shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{owner}.{name} = {share} must be in [0, 1]")


def _check_range(owner: str, name: str, limits: Range2, least: float, most: float = float("inf")) -> None:
    low, high = limits
    if not least <= low <= high <= most:
        raise ValueError(f"{owner}.{name} = [{low}, {high}] must rise within [{least}, {most}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelShares:
    """How often each kernel is drawn, relative to the others."""

    iso: float = 0.45
    """Round Gaussian."""
    aniso: float = 0.25
    """Rotated Gaussian of two widths."""
    generalised_iso: float = 0.12
    """exp(-d^beta / 2) of the squared distance d: heavier or lighter tails."""
    generalised_aniso: float = 0.03
    plateau_iso: float = 0.12
    """1 / (1 + d^beta): flat on top."""
    plateau_aniso: float = 0.03

    def __post_init__(self) -> None:
        shares = [getattr(self, f.name) for f in fields(self)]
        if min(shares) < 0 or not sum(shares):
            raise ValueError(f"shares = {shares} must not be negative, and one must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur:
    """One blur kernel a clip."""

    probability: float = 1.0
    sizes: tuple[int, int] = (7, 21)
    """Smallest and largest side in pixels; odd sides between them are drawn."""
    sinc: float = 0.1
    """Share of sinc kernels (ringing), cut off at an even draw from pi/3 (pi/5 from size 13 on) to pi."""
    shares: KernelShares = KernelShares()
    """Of the other kernels."""
    sigma: Range2 = (0.2, 3.0)
    """Width of the Gaussian along each axis, in pixels."""
    rotation: Range2 = (-3.141592653589793, 3.141592653589793)
    """Radians, counter-clockwise in (x, y)."""
    beta_generalised: Range2 = (0.5, 4.0)
    """Exponent; below and above 1 with equal odds, since a Gaussian is 1."""
    beta_plateau: Range2 = (1.0, 2.0)
    """The same of the plateau."""

    def __post_init__(self) -> None:
        _check_shares("blur", probability=self.probability, sinc=self.sinc)
        low, high = self.sizes
        if not 3 <= low <= high or not low % 2 or not high % 2:
            raise ValueError(f"blur.sizes = [{low}, {high}] must be odd, rising, and at least 3")
        _check_range("blur", "sigma", self.sigma, 0.05)
        _check_range("blur", "rotation", self.rotation, -7.0, 7.0)
        _check_range("blur", "beta_generalised", self.beta_generalised, 0.05)
        _check_range("blur", "beta_plateau", self.beta_plateau, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """A change of size by a random factor."""

    up: float = 0.2
    """Share of factors drawn between 1 and the largest."""
    down: float = 0.7
    """Share of factors drawn between the smallest and 1; what is left of `up` and `down` keeps the size."""
    factor: Range2 = (0.15, 1.5)
    """Smallest and largest, as new side over `of`."""
    of: Literal["input", "lr"] = "input"
    """What the factor multiplies: the side of the picture that comes in, or that of the LR picture."""
    modes: tuple[Mode, ...] = ("area", "bilinear", "bicubic")
    """Drawn evenly."""
    antialias: bool = False
    """Whether bilinear and bicubic filter before they reduce; area and lanczos always do."""

    def __post_init__(self) -> None:
        _check_shares("resize", up=self.up, down=self.down, up_and_down=self.up + self.down)
        _check_range("resize", "factor", self.factor, 0.05, 4.0)
        if not self.factor[0] <= 1 <= self.factor[1]:
            raise ValueError(f"resize.factor = {list(self.factor)} must hold 1")
        if not self.modes:
            raise ValueError("resize.modes is empty; name at least one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Noise of one kind and strength a clip, drawn anew in every picture."""

    probability: float = 1.0
    gaussian: float = 0.5
    """Share of Gaussian noise; the rest is Poisson."""
    sigma: Range2 = (1.0, 30.0)
    """Standard deviation of the Gaussian, in codes of 8 bits."""
    poisson: Range2 = (0.05, 3.0)
    """What the noise of photon counting is multiplied with."""
    grey: float = 0.4
    """Share of noise that is alike in R, G and B."""

    def __post_init__(self) -> None:
        _check_shares("noise", probability=self.probability, gaussian=self.gaussian, grey=self.grey)
        _check_range("noise", "sigma", self.sigma, 0.0, 255.0)
        _check_range("noise", "poisson", self.poisson, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jpeg:
    """JPEG with 4:2:0 chroma."""

    probability: float = 1.0
    quality: Range2 = (30.0, 95.0)
    """As libjpeg counts it."""
    mode: JpegMode = "real"
    """`real` goes through FFmpeg's MJPEG on the CPU; `kornia` runs batched on the device, and is 0.6 to 1.1
    dB milder at the same quality since its rounding is soft."""

    def __post_init__(self) -> None:
        _check_shares("jpeg", probability=self.probability)
        _check_range("jpeg", "quality", self.quality, LOWEST_REAL_JPEG if self.mode == "real" else 1, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One round of degradation; what is None is left out."""

    blur: Blur | None = None
    resize: Resize | None = None
    noise: Noise | None = None
    jpeg: Jpeg | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """How what the orders left is brought to LR size."""

    modes: tuple[Mode, ...] = ("bicubic",)
    """Drawn evenly."""
    antialias: bool = True
    """As in `Resize`; antialiased bicubic is what MATLAB and PIL do."""
    sinc: float = 0.0
    """Share of clips that a sinc kernel filters after it; Real-ESRGAN has 0.8."""
    sizes: tuple[int, int] = (7, 21)
    """Smallest and largest side of that kernel, both odd; its cutoff is drawn from pi/3 to pi."""
    after_jpeg: float = 0.0
    """Share of clips in which this follows the last order's JPEG instead of preceding it; Real-ESRGAN has
    0.5."""

    def __post_init__(self) -> None:
        _check_shares("final", sinc=self.sinc, after_jpeg=self.after_jpeg)
        low, high = self.sizes
        if not 3 <= low <= high or not low % 2 or not high % 2:
            raise ValueError(f"final.sizes = [{low}, {high}] must be odd, rising, and at least 3")
        if not self.modes:
            raise ValueError("final.modes is empty; name at least one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharpen:
    """Unsharp masking of the HR target where it has contrast; defaults as Real-ESRGAN's."""

    weight: float = 0.5
    size: int = 51
    """Side of the Gaussian, odd; its sigma is 0.3 (size / 2 - 1.5) + 0.8, OpenCV's rule: 8 pixels for 51."""
    threshold: float = 10.0
    """Contrast below it is left alone, in codes of 8 bits."""

    def __post_init__(self) -> None:
        if self.weight < 0 or self.size < 3 or not self.size % 2 or self.threshold < 0:
            raise ValueError(
                f"usm needs weight ({self.weight}) and threshold ({self.threshold}) of at least 0, "
                f"and an odd size ({self.size}) of at least 3"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """Changes of colour that HR and LR share; a range of (1, 1), or (0, 0) of hue, changes nothing."""

    probability: float = 0.5
    brightness: Range2 = (1.0, 1.0)
    """Factor on R, G and B."""
    contrast: Range2 = (1.0, 1.0)
    """Factor on the distance to the clip's mean grey."""
    saturation: Range2 = (1.0, 1.0)
    """Factor on the distance of each pixel to its grey."""
    hue: Range2 = (0.0, 0.0)
    """Turn of the hue of HSV, in radians."""
    gamma: Range2 = (1.0, 1.0)
    """Exponent."""

    def __post_init__(self) -> None:
        _check_shares("augment", probability=self.probability)
        for name in ("brightness", "contrast", "saturation", "gamma"):
            _check_range("augment", name, getattr(self, name), 0.0)
        _check_range("augment", "hue", self.hue, -3.1416, 3.1416)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vary:
    """How photographs are changed before clips are cut from them, so that few are not learnt by heart.

    What a photograph has no room for is not done: a square of `size` and the pan that is turned by 45 degrees
    takes 1.4 times its side, reduced to a half twice. So make `size` small. What is held out is not changed.
    """

    probability: float = 1.0
    """Share of the clips that are changed."""
    rotation: float = 0.0
    """Largest turn either way, in degrees; 45 is any, since crops are turned by right angles, too."""
    reduction: Range2 = (1.0, 1.0)
    """Smallest and largest new side over old."""
    channels: float = 0.0
    """Share of clips whose R, G and B are exchanged, in any order."""

    def __post_init__(self) -> None:
        _check_shares("vary", probability=self.probability, channels=self.channels)
        _check_range("vary", "reduction", self.reduction, 0.1, 1.0)
        if not 0 <= self.rotation <= 45:
            raise ValueError(f"vary.rotation = {self.rotation:g} must be in [0, 45] degrees")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecRange:
    """One encoder that LR clips are sent through, and how it is set."""

    encoder: Encoder
    share: float = 1.0
    """Of the coded clips, relative to the other encoders' shares."""
    quality: tuple[int, int] | None = None
    """CRF, or the quantiser of mpeg4 and mpeg2video; instead of `bitrate`."""
    bitrate: tuple[int, int] | None = None
    """kbit/s at 25 pictures a second; instead of `quality`. Rate control needs some pictures to settle:
    MPEG-2 and MPEG-4 code the first four with about the finest quantiser whatever the rate."""
    presets: tuple[str, ...] = ("",)
    """Drawn evenly: x264's and x265's presets, VP9's cpu-used; MPEG-2 and MPEG-4 take none (one empty
    word)."""
    gop: tuple[int, int] | None = None
    """Largest distance of key frames in pictures; None leaves it to the encoder."""

    def __post_init__(self) -> None:
        if self.share <= 0 or not self.presets:
            raise ValueError(f"{self.encoder}: share ({self.share}) must be above 0, and presets not empty")
        if not all(re.fullmatch(r"-?[a-z0-9]{0,12}", preset) for preset in self.presets):
            raise ValueError(f"{self.encoder}: presets are words or numbers, not {self.presets}")
        if (self.quality is None) == (self.bitrate is None):
            raise ValueError(f"{self.encoder}: set quality or bitrate, one of the two")
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
    """Pictures in a clip; the codec sees all of them."""
    size: int = 480
    """Side of an HR picture of a clip."""
    speed: int = 4
    """Largest pan along each axis, in whole HR pixels a picture."""
    clean: float = 0.2
    """Share of the clips that are only reduced, by antialiased bicubic."""
    clean_yuv: float = 0.0
    """Share of the clean clips that become 8-bit Y'CbCr 4:4:4 and R'G'B' again, as lossless videos are."""
    soft_chroma: float = 0.0
    """Share of the clips whose Cb and Cr, in LR and target alike, have half of the target's resolution, as
    those of cameras and JPEGs have."""
    usm: Sharpen | None = None
    augment: Augment | None = None
    vary: Vary | None = None
    """Of photographs only, before all else."""
    orders: tuple[Order, ...] = ()
    """None to two."""
    final: Final = Final()
    codecs: tuple[CodecRange, ...] = ()
    second_generation: float = 0.0
    """Share of the coded clips that another draw of `codecs` codes once more."""
    drift: float = 0.0
    """How far parameters move from picture to picture of a clip: 1 is RealBasicVSR's steps (`orders.STEPS`),
    0 keeps them."""

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
            raise ValueError(f"{len(self.orders)} orders are too many; leave two")


def check_lr_size(degradation: Degradation, scale: int) -> None:
    """Refuse clips that the stages cannot take at this scale.

    Raises:
        ValueError: LR sides that 4:2:0 cannot halve, or that are too small for libx265.
    """
    if degradation.size % (2 * scale):
        raise ValueError(f"degrade.size = {degradation.size} must be a multiple of {2 * scale}")
    hevc = any(codec.encoder == "libx265" for codec in degradation.codecs)
    if hevc and degradation.size // scale < SMALLEST_HEVC:
        raise ValueError(f"degrade.size must be at least {SMALLEST_HEVC * scale} for libx265")
