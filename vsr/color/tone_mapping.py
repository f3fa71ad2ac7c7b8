"""HDR and wide-gamut R'G'B' as an sRGB screen shows it, for people to look at; results are never converted.

PQ (SMPTE ST 2084) and HLG (ARIB STD-B67) become light, whose highlights the curve of ITU-R BT.2390-10, 5.4.1
compresses into the range of the screen. Colours outside BT.709 are clipped.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from vsr.color.spec import ColorSpec, Primaries, Transfer

WHITE = 203.0
"""cd/m2 of diffuse white in HDR, which becomes the screen's white (ITU-R BT.2408-7, table 1)."""
PEAK = 1000.0
"""cd/m2 of the brightest highlights where the video does not state it: a usual mastering display, and the
nominal peak of HLG (BT.2100)."""
_MOST = 10000.0  # cd/m2 at PQ's code 1
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2  # of a display of 1000 cd/m2 (BT.2100, note 5f)
_ENTRIES = 1 << 14  # of a table: finer than a tenth of an 8-bit level
_SDR_GAMMA = 2.4  # ITU-R BT.1886
_LUMINANCE = (0.2627, 0.6780, 0.0593)  # of BT.2020
_TO_BT709 = {
    Primaries.BT2020: (
        (1.660491, -0.587641, -0.072850),
        (-0.124550, 1.132900, -0.008349),
        (-0.018151, -0.100579, 1.118730),
    ),
    Primaries.SMPTE432: (
        (1.224940, -0.224940, 0.0),
        (-0.042057, 1.042057, 0.0),
        (-0.019638, -0.078636, 1.098274),
    ),
}
"""Linear R, G and B of BT.709 from those of others, both with white D65 (BT.2087-0; SMPTE EG 432-1)."""


def is_hdr(color: ColorSpec) -> bool:
    """Return whether an image has the light of HDR."""
    return color.transfer in (Transfer.PQ, Transfer.HLG)


def differs_on_screen(color: ColorSpec) -> bool:
    """Return whether `on_screen` changes images of a colour: HDR, and colours wider than BT.709."""
    return is_hdr(color) or color.primaries in _TO_BT709


def on_screen(image: Tensor, color: ColorSpec, *, peak: Fraction | float = PEAK) -> Tensor:
    """Return an image as an sRGB screen shows it.

    Args:
        image: `(3, H, W)` R'G'B' with the transfer curve of `color`, float; clipped to [0, 1] first.
        color: Transfer and primaries decide; an image of neither HDR nor a wide gamut is returned unchanged.
        peak: cd/m2 of the brightest highlights; for HLG, the curve itself states 1000.

    Returns:
        `(3, H, W)` float32 R'G'B' of sRGB, [0, 1].
    """
    if not differs_on_screen(color):
        return image
    encoded = image.to(torch.float32).clamp(0, 1)
    if not is_hdr(color):
        return _in_bt709(encoded.pow(_SDR_GAMMA), color).clamp_(0, 1).pow_(1 / _SDR_GAMMA)
    if color.transfer is Transfer.HLG:
        light, peak = _light_of_hlg(encoded), PEAK
    else:
        light, peak = _mapped(encoded, light_of_pq), max(float(peak), WHITE)
    light = _in_bt709(light, color).clamp_(0, peak)
    brightest = light.amax(0, keepdim=True) / peak
    light *= _mapped(brightest.sqrt_(), lambda root: _shrunk(root.square() * peak, peak))
    return _mapped((light / WHITE).clamp_(0, 1).sqrt_(), lambda root: _srgb(root.square()))


def _mapped(samples: Tensor, curve: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a smooth curve to samples in [0, 1] by a table, several times as fast as its powers."""
    places = torch.linspace(0, 1, _ENTRIES, device=samples.device, dtype=torch.float64)
    table = curve(places).to(torch.float32)
    index = (samples * (_ENTRIES - 1) + 0.5).to(torch.int32)
    return table.index_select(0, index.flatten()).view(samples.shape)


def light_of_pq(encoded: Tensor) -> Tensor:
    """Return the light in cd/m2 of PQ-coded samples in [0, 1] (ST 2084, 5.1)."""
    root = encoded.pow(1 / _M2)
    return ((root - _C1).clamp_(min=0) / (_C2 - _C3 * root)).pow_(1 / _M1).mul_(_MOST)


def pq_of_light(light: Tensor) -> Tensor:
    """Return the PQ code in [0, 1] of light in cd/m2; the inverse of `light_of_pq`."""
    power = (light / _MOST).pow_(_M1)
    return ((_C1 + _C2 * power) / (1 + _C3 * power)).pow_(_M2)


def _light_of_hlg(encoded: Tensor) -> Tensor:
    """Return the light in cd/m2 that a display of 1000 cd/m2 shows (BT.2100, table 5)."""
    scene = _mapped(encoded, _scene_of_hlg)
    weights = torch.tensor(_LUMINANCE, device=scene.device)[:, None, None]
    luminance = (scene * weights).sum(0, keepdim=True).clamp_(min=1e-6)
    return scene * luminance.pow_(_HLG_GAMMA - 1) * PEAK


def _scene_of_hlg(encoded: Tensor) -> Tensor:
    """Return the light of the scene in [0, 1] (BT.2100, inverse of the OETF)."""
    bright = (((encoded - _HLG_C) / _HLG_A).exp() + _HLG_B) / 12
    return torch.where(encoded <= 0.5, encoded.square() / 3, bright)


def _in_bt709(light: Tensor, color: ColorSpec) -> Tensor:
    rows = _TO_BT709.get(color.primaries)
    if rows is None:
        return light
    return torch.einsum("ij,jhw->ihw", torch.tensor(rows, device=light.device), light)


def _shrunk(light: Tensor, peak: float) -> Tensor:
    """Return the factor for light in cd/m2 that leaves at most `WHITE`: 1 up to the knee, and above it a
    Hermite spline in PQ codes that are 1 at the peak (BT.2390-10, 5.4.1).
    """
    highest, white = pq_of_light(torch.tensor([peak, WHITE], dtype=torch.float64)).tolist()
    largest = white / highest
    knee = 1.5 * largest - 0.5
    if knee >= 1:
        return torch.ones_like(light)
    code = (pq_of_light(light) / highest).clamp(max=1)
    t = ((code - knee) / (1 - knee)).clamp(min=0)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * largest
    )
    return torch.where(code < knee, 1.0, light_of_pq(spline * highest) / light.clamp(min=1e-6))


def _srgb(linear: Tensor) -> Tensor:
    """Return R'G'B' of sRGB (IEC 61966-2-1)."""
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.pow(1 / 2.4) - 0.055)
