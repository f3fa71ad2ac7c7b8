"""Linear interpolation between the weights of two networks of one shape.

It works because fine-tuning changes the weights little. ESRGAN (arXiv 1809.00219, section 3.4) interpolates
between its fidelity network and its perceptual network, Real-ESRGAN between weak and strong denoising.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vsr.errors import ConfigError, ModelError


def interpolate(a: Mapping[str, Tensor], b: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Compute `(1 - alpha) * a + alpha * b` for the weights of two networks; exactly a at 0 and b at 1.

    Args:
        a: Weights by layer name, fp32, all finite.
        b: Weights with the same names and shapes.
        alpha: 0 to 1.

    Raises:
        ConfigError: alpha is not in this range.
        ModelError: names or shapes differ; the message has the first difference.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha {alpha:g} is out of range; use 0 (the first file) to 1 (the second)")
    check_compatible(a, b)
    if alpha in (0, 1):
        return dict(b if alpha else a)
    # Counters of batch norm are integers; those of a are kept.
    return {k: a[k].lerp(b[k], alpha) if a[k].is_floating_point() else a[k] for k in a}


def check_compatible(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    """Check that two sets of weights can be interpolated.

    Raises:
        ModelError: names or shapes differ; the message has the first difference.
    """
    for key in sorted(a.keys() | b.keys()):
        if key not in a or key not in b:
            where = "first" if key in a else "second"
            raise ModelError(f"{key} is in the {where} network only; networks of one shape can be mixed")
        if a[key].shape != b[key].shape:
            shapes = f"{tuple(a[key].shape)} in the first network, {tuple(b[key].shape)} in the second"
            raise ModelError(f"{key} is {shapes}; networks of one shape can be mixed")
