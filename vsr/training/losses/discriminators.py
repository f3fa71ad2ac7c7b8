"""Discriminators: SRGAN, VGG-style, U-Net and PatchGAN.

All return logits, not probabilities. `vgg128` and `unet` use the layer names of BasicSR.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr.errors import ConfigError

_SLOPE = 0.2  # of every leaky ReLU, in all four papers
_POWER_EPSILON = 1e-12  # smallest norm used as a divisor, as in torch's spectral norm


@dataclass(frozen=True, slots=True, kw_only=True)
class SRGANConfig:
    """SRGAN's discriminator (arXiv 1609.04802, figure 4): eight convolutions of
    64 to 512 channels, two dense layers."""

    nf: int = 64
    """Channels of the first convolution; the last has eight times as many."""
    dense: int = 1024
    """Outputs of the first dense layer."""
    dropout: float = 0.0
    """Dropout probability before each dense layer; the paper uses none."""

    def __post_init__(self) -> None:
        _check_least(nf=self.nf, dense=self.dense)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout = {self.dropout} must be in [0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class VGGConfig:
    """ESRGAN's discriminator (BasicSR's VGGStyleDiscriminator): two
    convolutions at each size down to 4x4 pixels."""

    nf: int = 64
    """Channels of the first convolution; later ones have up to eight times as many."""

    def __post_init__(self) -> None:
        _check_least(nf=self.nf)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchConfig:
    """pix2pix's PatchGAN (arXiv 1611.07004, section 6.1.2): one logit for each patch of 70x70 pixels."""

    nf: int = 64
    """Channels of the first convolution; later ones have up to eight times as many."""
    layers: int = 3
    """Number of convolutions that halve the size. The receptive field is 34
    pixels for 2, 70 for 3 and 142 for 4."""
    spectral_norm: bool = False
    """Whether inner convolutions have spectral norm instead of being followed by batch norm."""

    def __post_init__(self) -> None:
        _check_least(nf=self.nf, layers=self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetConfig:
    """Real-ESRGAN's discriminator (arXiv 2107.10833, section 3.4; BasicSR's
    UNetDiscriminatorSN): one logit a pixel."""

    nf: int = 64
    """Channels of the first convolution; later ones have up to eight times as many."""
    skip: bool = True
    """Whether skip connections add the encoder's features to the decoder's."""

    def __post_init__(self) -> None:
        _check_least(nf=self.nf)


def _check_least(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} = {value} must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscriminatorConfig:
    """Settings of the discriminator; exactly one of the fields must be given."""

    srgan: SRGANConfig | None = None
    vgg128: VGGConfig | None = None
    patch: PatchConfig | None = None
    unet: UNetConfig | None = None

    def __post_init__(self) -> None:
        given = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        if len(given) != 1:
            known = ", ".join(f.name for f in fields(self))
            raise ValueError(
                f"give exactly one discriminator of {known}; the recipe gives {', '.join(given) or 'none'}"
            )

    @property
    def kind(self) -> str:
        """Name of the field that is given."""
        return next(f.name for f in fields(self) if getattr(self, f.name) is not None)


def make_discriminator(config: DiscriminatorConfig, patch: int) -> nn.Module:
    """Build a discriminator on the CPU, fp32, with random weights from torch's generator.

    Args:
        config: Kind and shape of the discriminator.
        patch: Side of the HR images that it will see, in pixels.

    Returns:
        A network from `(N, 3, patch, patch)` in [0, 1] to logits, in the weights' dtype: `(N, 1)` for srgan
        and vgg128, `(N, 1, patch / 2^layers - 2, same)` for patch, `(N, 1, patch, patch)` for unet.

    Raises:
        ConfigError: The discriminator does not support this side.
    """
    settings = getattr(config, config.kind)
    return _MAKERS[config.kind](settings, patch)


class SRGANDiscriminator(nn.Module):
    """SRGAN's discriminator; the input size of its first dense layer depends on the image size."""

    def __init__(self, config: SRGANConfig, patch: int) -> None:
        super().__init__()
        _check_patch("srgan", patch, least=16)
        channels = [config.nf * factor for factor in (1, 1, 2, 2, 4, 4, 8, 8)]
        layers: list[nn.Module] = [nn.Conv2d(3, config.nf, 3, padding=1), nn.LeakyReLU(_SLOPE, inplace=True)]
        for i in range(1, len(channels)):
            stride = 1 + i % 2  # the second layer of each width halves the size
            layers += _normed(channels[i - 1], channels[i], kernel=3, stride=stride)
        self.body = nn.Sequential(*layers)
        side = -(-patch // 2**4)  # halved four times, rounded up
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(channels[-1] * side**2, config.dense),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(config.dense, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, 3, patch, patch)` in [0, 1] to logits `(N, 1)`."""
        logits: Tensor = self.head(self.body(x))
        return logits


def _normed(before: int, after: int, *, kernel: int, stride: int) -> list[nn.Module]:
    """Return a convolution without bias, batch norm, and a leaky ReLU."""
    conv = nn.Conv2d(before, after, kernel, stride=stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(after), nn.LeakyReLU(_SLOPE, inplace=True)]


class VGGDiscriminator(nn.Module):
    """BasicSR's VGGStyleDiscriminator, which halves the image until it has 4x4 pixels."""

    def __init__(self, config: VGGConfig, patch: int) -> None:
        super().__init__()
        if patch < 32 or patch & (patch - 1):
            raise ConfigError(
                f"discriminator vgg128 requires images with a side of 32, 64, 128, ..., not {patch}."
                " Change patch, or choose another discriminator"
            )
        self._stages = int(math.log2(patch)) - 2
        before, after = 3, config.nf
        for stage in range(self._stages):
            after = config.nf * min(2**stage, 8)
            self.add_module(f"conv{stage}_0", nn.Conv2d(before, after, 3, padding=1, bias=not stage))
            if stage:
                self.add_module(f"bn{stage}_0", nn.BatchNorm2d(after))
            self.add_module(f"conv{stage}_1", nn.Conv2d(after, after, 4, stride=2, padding=1, bias=False))
            self.add_module(f"bn{stage}_1", nn.BatchNorm2d(after))
            before = after
        self.linear1 = nn.Linear(after * 4 * 4, 100)
        self.linear2 = nn.Linear(100, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, 3, patch, patch)` in [0, 1] to logits `(N, 1)`."""
        for stage in range(self._stages):
            for half in (0, 1):
                x = self.get_submodule(f"conv{stage}_{half}")(x)
                if stage or half:
                    x = self.get_submodule(f"bn{stage}_{half}")(x)
                x = F.leaky_relu_(x, _SLOPE)
        x = F.leaky_relu_(self.linear1(x.flatten(1)), _SLOPE)
        logits: Tensor = self.linear2(x)
        return logits


class PatchDiscriminator(nn.Module):
    """pix2pix's PatchGAN, with 4x4 convolutions, of which the last two keep the size."""

    def __init__(self, config: PatchConfig, patch: int) -> None:
        super().__init__()
        _check_patch("patch", patch, least=3 * 2**config.layers)
        first = nn.Conv2d(3, config.nf, 4, stride=2, padding=1)
        layers: list[nn.Module] = [first, nn.LeakyReLU(_SLOPE, inplace=True)]
        before = config.nf
        for i in range(1, config.layers + 1):
            after = config.nf * min(2**i, 8)
            stride = 2 if i < config.layers else 1
            if config.spectral_norm:
                conv = SpectralConv2d(before, after, 4, stride=stride)
                layers += [conv, nn.LeakyReLU(_SLOPE, inplace=True)]
            else:
                layers += _normed(before, after, kernel=4, stride=stride)
            before = after
        self.body = nn.Sequential(*layers, nn.Conv2d(before, 1, 4, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` in [0, 1] to logits `(N, 1, H / 2^layers - 2, W / 2^layers - 2)`."""
        logits: Tensor = self.body(x)
        return logits


class UNetDiscriminator(nn.Module):
    """BasicSR's UNetDiscriminatorSN: three levels, with spectral norm in
    all but the first and the last layer."""

    def __init__(self, config: UNetConfig, patch: int) -> None:
        super().__init__()
        if patch < 8 or patch % 8:
            raise ConfigError(
                f"discriminator unet requires images whose side is a multiple of 8, not {patch}."
                " Change patch, or choose another discriminator"
            )
        nf = config.nf
        self._skip = config.skip
        self.conv0 = nn.Conv2d(3, nf, 3, padding=1)
        self.conv1 = SpectralConv2d(nf, 2 * nf, 4, stride=2)
        self.conv2 = SpectralConv2d(2 * nf, 4 * nf, 4, stride=2)
        self.conv3 = SpectralConv2d(4 * nf, 8 * nf, 4, stride=2)
        self.conv4 = SpectralConv2d(8 * nf, 4 * nf, 3)
        self.conv5 = SpectralConv2d(4 * nf, 2 * nf, 3)
        self.conv6 = SpectralConv2d(2 * nf, nf, 3)
        self.conv7 = SpectralConv2d(nf, nf, 3)
        self.conv8 = SpectralConv2d(nf, nf, 3)
        self.conv9 = nn.Conv2d(nf, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` in [0, 1], sides multiples of 8, to logits `(N, 1, H, W)`."""
        x = F.leaky_relu(self.conv0(x), _SLOPE)
        on_the_way: list[Tensor] = []
        for conv in (self.conv1, self.conv2, self.conv3):
            on_the_way.append(x)
            x = F.leaky_relu(conv(x), _SLOPE)
        for conv in (self.conv4, self.conv5, self.conv6):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.leaky_relu(conv(x), _SLOPE)
            if self._skip:
                x = x + on_the_way.pop()
        for conv in (self.conv7, self.conv8):
            x = F.leaky_relu(conv(x), _SLOPE)
        logits: Tensor = self.conv9(x)
        return logits


class SpectralConv2d(nn.Module):
    """A convolution without bias and with spectral norm: its weights are
    divided by their largest singular value.

    Miyato et al., arXiv 1802.05957, algorithm 1, with one power iteration for each training
    forward pass. State and values equal those of `torch.nn.utils.spectral_norm`, but it also runs
    in fp32 under autocast and can be copied.
    """

    weight_u: Tensor
    """Estimate of the left singular vector."""
    weight_v: Tensor
    """Estimate of the right singular vector."""

    def __init__(self, before: int, after: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self._stride = stride
        self.weight_orig = nn.Parameter(nn.Conv2d(before, after, kernel, bias=False).weight.detach())
        self.register_buffer("weight_u", F.normalize(torch.randn(after), dim=0, eps=_POWER_EPSILON))
        self.register_buffer(
            "weight_v", F.normalize(torch.randn(before * kernel**2), dim=0, eps=_POWER_EPSILON)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, before, H, W)` to `(N, after, H / stride, W / stride)`,
        with one pixel of padding on each side."""
        with torch.autocast(x.device.type, enabled=False):
            weight = self.weight_orig / self._largest()
        return F.conv2d(x, weight, stride=self._stride, padding=1)

    def _largest(self) -> Tensor:
        """Return the largest singular value; the vectors are constants for its gradient."""
        matrix = self.weight_orig.flatten(1)
        if self.training:
            with torch.no_grad():
                v = F.normalize(matrix.t().mv(self.weight_u), dim=0, eps=_POWER_EPSILON)
                self.weight_v.copy_(v)
                self.weight_u.copy_(F.normalize(matrix.mv(v), dim=0, eps=_POWER_EPSILON))
        # Copies, because the next forward pass changes the vectors while
        # the graph of this one still needs them.
        return self.weight_u.clone().dot(matrix.mv(self.weight_v.clone()))


def _check_patch(kind: str, patch: int, *, least: int) -> None:
    if patch < least:
        raise ConfigError(
            f"discriminator {kind} requires images with a side of at least {least} pixels, not {patch}."
            " Change patch, or choose another discriminator"
        )


_MAKERS: Mapping[str, Callable[..., nn.Module]] = {
    "srgan": SRGANDiscriminator,
    "vgg128": VGGDiscriminator,
    "patch": PatchDiscriminator,
    "unet": UNetDiscriminator,
}
