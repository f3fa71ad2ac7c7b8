"""Recognises the network of a weight file by the names and shapes of its tensors.

The families in `archs/` know their tensors; this file asks them in turn, and says what a file holds that
belongs to none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vsr.errors import ModelError, PluginError, VsrError
from vsr.models import third_party
from vsr.models.archs import compact, msrresnet, rrdb, srresnet
from vsr.models.files import WeightFile, is_averaged, networks_in
from vsr.models.interpolate import check_compatible, interpolate

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Family:
    """A family of networks: functions that recognise its weights and build its networks."""

    name: str
    detect: Callable[[State], Any | None]
    remap: Callable[[State], dict[str, Tensor]]
    build: Callable[[Any], nn.Module]


FAMILIES = (
    Family("RRDB", rrdb.detect, rrdb.remap, rrdb.RRDB),
    Family("SRResNet", srresnet.detect, srresnet.remap, srresnet.SRResNet),
    Family("MSRResNet", msrresnet.detect, msrresnet.remap, msrresnet.MSRResNet),
    Family("Compact", compact.detect, dict, compact.Compact),
)

STRANGERS = (
    ("conv0_0.weight", "a discriminator (VGG style)"),
    ("conv9.weight", "a discriminator (U-Net)"),
    ("net.0.weight", "a discriminator (SRGAN)"),
    ("features.0.weight", "a classifier of the VGG kind"),
    ("classifier.0.weight", "a classifier of the VGG kind"),
    ("conv1_1.weight", "VGG features"),
    ("block_1.c1_r.sk.weight", "a SPAN network"),
    ("block_1.c1_r.eval_conv.weight", "a SPAN network"),
    ("block_1.c1_r.weight", "an RLFN network"),
    ("conv_after_body.weight", "an EDSR network"),
    ("backbone.0.conv3x3.weight", "an ECBSR network"),
    ("feats.1.lk.conv.weight", "a PLKSR network"),
    ("unet1.conv1.conv.0.weight", "a Real-CUGAN network"),
    ("model.1.sub.0.res.0.weight", "KAIR's MSRResNet"),
    ("layers.0.residual_group.blocks.0.norm1.weight", "a SwinIR network"),
)
"""Keys that identify common files of other kinds, and what these are."""


_MOST_PARTS = 20
"""Top-level parts of a file, each of which is tried as the one that does not belong to a network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """Weights with the network that they belong to."""

    file: WeightFile
    family: Family
    config: Any
    """The family's frozen dataclass of hyper-parameters."""
    state: dict[str, Tensor]
    """All weights of the network, with the family's names and shapes."""


def recognise(file: WeightFile) -> Recognised:
    """Find the network that the weights of a file belong to: all of them, or one of several networks.

    Raises:
        ModelError: the network is unknown, or weights are missing, superfluous or of a wrong shape.
        PluginError: a registered package fails.
    """
    found, rejection = recognise_or_reject(file)
    if found is None:
        raise rejection or unknown(file)
    return found


def recognise_or_reject(file: WeightFile) -> tuple[Recognised | None, ModelError | None]:
    """Return the network, or the error of a family that recognises the layers but not the network."""
    _refuse_gaps(file)
    errors: list[ModelError] = []
    try:
        found = _fitting(file, FAMILIES, errors) or _one_of_several(file)
        found = found or _fitting(file, _others(file), errors)
    except PluginError:
        if not errors:
            raise
        found = None
    if found is None and not errors:
        errors += _with_others(file)
    return found, (errors[0] if errors else None)


def _with_others(file: WeightFile) -> list[ModelError]:
    """Return the error for a network of a family in whose file further tensors lie; none for other files."""
    parts = dict.fromkeys(key.partition(".")[0] for key in file.state)
    for part in parts if len(parts) <= _MOST_PARTS else ():
        further = [key for key in file.state if key.partition(".")[0] == part]
        rest = {key: value for key, value in file.state.items() if key not in further}
        found = _fitting(replace(file, state=rest), FAMILIES, []) if rest else None
        if found is not None:
            more = f" and {len(further) - 1} more" if len(further) > 1 else ""
            what = f"{found.family.name} with {further[0]}{more}, which it does not have"
            return [ModelError(f"{file.path}: {what}; an unknown variant")]
    return []


def _fitting(file: WeightFile, families: Iterable[Family], errors: list[ModelError]) -> Recognised | None:
    """Return the network of the first family to which all weights of a file belong.

    Args:
        errors: Gets the errors of families that recognise the layers but not the network.
    """
    for family in families:
        try:
            config = family.detect(file.state)
            if config is not None:
                state = family.remap(file.state)
                _check_shapes(file.path, family.name, state, _shapes_of(family, config))
                return Recognised(file=file, family=family, config=config, state=state)
        except PluginError:
            raise
        except (VsrError, TypeError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
            errors.append(_about(file.path, error))
    return None


def _one_of_several(file: WeightFile) -> Recognised | None:
    """Return the generator among several networks in a file; None if none belongs to a family of this
    package.

    Raises:
        ModelError: there are several generators, and not exactly one of them has averaged weights.
    """
    found: dict[str, Recognised] = {}
    for name, state in networks_in(file.state):
        wrapper = name if file.wrapper is None else f"{file.wrapper}.{name}"
        network = _fitting(replace(file, state=state, wrapper=wrapper), FAMILIES, [])
        if network is not None:
            found[name] = network
    averaged = [name for name in found if is_averaged(name)]
    chosen = averaged or list(found)
    if len(chosen) > 1:
        raise ModelError(
            f"{file.path}: has the generators {', '.join(chosen)}; save one of them in a file of its own"
        )
    return found[chosen[0]] if chosen else None


def _others(file: WeightFile) -> Iterator[Family]:
    """Yield the families of registered packages, which are imported only if no family of this package
    fits."""
    for other in third_party.registered(file.metadata.get("family")):
        yield Family(other.name, other.detect, other.remap, other.build)


def unknown(file: WeightFile) -> ModelError:
    """Return the error for a file whose network is unknown; it says what the file holds."""
    what = next((name for key, name in STRANGERS if key in file.state), None)
    described = what or f"an unknown network (first keys: {', '.join(list(file.state)[:3])})"
    known = ", ".join(family.name for family in FAMILIES)
    return ModelError(
        f"{file.path}: {described}; supported are generators of the families {known}, and those of spandrel "
        "if it is installed"
    )


def _refuse_gaps(file: WeightFile) -> None:
    """Refuse layer numbers far above the number of tensors: building such a network would take very long."""
    limit = 4 * len(file.state) + 16
    for key in file.state:
        if any(len(part) > 6 or int(part) > limit for part in key.split(".") if part.isdecimal()):
            raise ModelError(
                f"{file.path}: a layer {key[:60]} among {len(file.state)} tensors; layers are missing"
            )


def _shapes_of(family: Family, config: Any) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: tensor.shape for key, tensor in family.build(config).state_dict().items()}


def _check_shapes(path: Path, family: str, state: State, expected: Mapping[str, torch.Size]) -> None:
    """Check that the file has exactly the weights of the network, in the right shapes."""
    wrong = [text for key in sorted(expected.keys() | state.keys()) if (text := _wrong(key, state, expected))]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(f"{path}: {family} {', '.join(wrong[:3])}{more}; incomplete, or an unknown variant")


def _wrong(key: str, state: State, expected: Mapping[str, torch.Size]) -> str | None:
    """Describe what is wrong with a weight; None if nothing is."""
    if key not in state:
        return f"without {key}"
    if key not in expected:
        return f"with {key}, which it does not have"
    if state[key].shape != expected[key]:
        return f"whose {key} is {tuple(state[key].shape)}, not {tuple(expected[key])}"
    return None


def _about(path: Path, error: Exception) -> ModelError:
    """Return a family's error about a file, with the path of the file."""
    text = str(error) if isinstance(error, VsrError) else f"weights of impossible shapes ({error})"
    return ModelError(text if text.startswith(str(path)) else f"{path}: {text}")


def mix(a: Recognised, b: Recognised, alpha: float) -> dict[str, Tensor]:
    """Interpolate between the weights of two files: a at `alpha` 0, b at 1.

    Raises:
        ConfigError: alpha is not in [0, 1].
        ModelError: the networks differ in family or shape.
    """
    if (a.family.name, a.config) != (b.family.name, b.config):
        both = f"{a.file.path} and {b.file.path}"
        try:
            check_compatible(a.state, b.state)
        except ModelError as error:
            raise ModelError(f"{both}: {error}") from error
        raise ModelError(f"{both} differ in settings besides their weights: {a.config}, {b.config}")
    return interpolate(a.state, b.state, alpha)
