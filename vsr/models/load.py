"""The only loader of weights, which turns a name or a file into a network that is ready to run.

`files.py` reads tensors, and the families in `archs/` recognise their names. This file builds the network; it
uses every tensor of the file, and every parameter comes from the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vsr.errors import ConfigError, ModelError, PluginError, VsrError
from vsr.models import catalog, third_party
from vsr.models.archs import compact, msrresnet, rrdb, srresnet
from vsr.models.archs.resample import Kind, Resample, ResampleConfig
from vsr.models.files import WeightFile, is_averaged, networks_in, read_weights
from vsr.models.interpolate import check_compatible, interpolate

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A generator and where it came from."""

    network: nn.Module
    """In eval mode, fp32, on the host; `(N, 3, H, W)` in [0, 1] to `(N, 3, H * scale, W * scale)`."""
    name: str
    family: str
    config: Any
    """Hyper-parameters of the file's network, a frozen dataclass of its family."""
    scale: Fraction
    """Output side over input side; an integer for every network."""
    receptive_radius: int
    """LR pixels on each side that an output pixel depends on."""
    multiple: int
    """LR pixels; tiles must start at multiples of it."""
    parameters: int
    """Number of learnt weights."""
    sha256: str | None = None
    """Hash of the file; None for a filter."""
    path: Path | None = None
    """Path of the file; None for a filter."""
    partner_sha256: str | None = None
    """Hash of the file whose weights were mixed in; None if there were none."""
    partner_path: Path | None = None
    """Path of that file."""
    wrapper: str | None = None
    """Key of the table with the weights, such as `params_ema`; None if they are at the top level of the
    file."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Metadata of a .safetensors file."""


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


TRIAL_SIDE = 16
"""Side in LR pixels of the image on which each loaded network is tested; all families support it."""


def load_generator(
    model: str | Path,
    *,
    scale: Fraction | int | None = None,
    strength: float | None = None,
    partner: str | Path | None = None,
    fold: bool = True,
) -> LoadedModel:
    """Load a generator by its name in the catalog or from a weight file.

    Args:
        model: A name, or the path of a .safetensors, .pth or .pt file, whose format is detected from its
            bytes.
        scale: Requested output side over input side; it selects the member of a family and sets the scale of
            a filter.
        strength: 0 is the faithful end, 1 the crisp end; between them the weights are interpolated. None
            takes the model as it is.
        partner: The faithful end for a user's own model, a name or path; None takes that of the catalog.
        fold: Whether batch norm is folded into the convolutions; False keeps it, for training.

    Raises:
        ModelError: the model does not exist, the file is unreadable or damaged, or its network is unknown.
        ConfigError: the scale or strength is out of range, or there is no partner.
    """
    if strength is not None and not 0 <= strength <= 1:
        raise ConfigError(f"`strength` {strength:g} is out of range; use 0 to 1")
    found = catalog.resolve(str(model), scale)
    if found.path is None:
        return _filter(found, strength)
    file = read_weights(found.path)
    source, rejection = _recognised(file)
    if source is None:
        return _by_spandrel(found.name, file, strength, rejection)
    state, other = source.state, None
    if strength is not None and strength != _own_strength(found, partner):
        state, other = _mixed(source, found, partner, strength)
    network = _build(source.family, source.config, state)
    _test_network(network, found.path, source.family.name)
    made = _described(network, found.name, file, source.family.name, source.config, fold=fold)
    return made if other is None else replace(made, partner_sha256=other.sha256, partner_path=other.path)


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
    found, rejection = _recognised(file)
    if found is None:
        raise rejection or _unknown(file)
    return found


def _recognised(file: WeightFile) -> tuple[Recognised | None, ModelError | None]:
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
    return found, (errors[0] if errors else None)


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


def _unknown(file: WeightFile) -> ModelError:
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


def _build(family: Family, config: Any, state: State) -> nn.Module:
    with torch.device("meta"):  # no random initialisation, because every tensor comes from the file
        network = family.build(config)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def _test_network(network: nn.Module, path: Path, family: str) -> None:
    """Run the network on one small image: even finite weights can overflow."""
    side = TRIAL_SIDE
    try:
        with torch.inference_mode():
            sr = network(torch.full((1, 3, side, side), 0.5))
    except (Exception, SystemExit) as error:  # networks of other packages may raise anything
        reason = " ".join(f"{type(error).__name__} {error}".split())[:100]
        raise ModelError(f"{path}: {family} fails on an image of {side}x{side} ({reason})") from error
    scale = _geometry(network)["scale"]
    if sr.shape != (1, 3, side * scale, side * scale):
        raise ModelError(f"{path}: {family} makes {tuple(sr.shape)} of {side}x{side}; use other weights")
    if not torch.isfinite(sr).all():
        raise ModelError(f"{path}: the result for a grey image has NaN or infinity; use other weights")


def _own_strength(found: catalog.Resolved, partner: str | Path | None) -> float:
    """Return the strength (0 or 1) of a model itself; a user's file counts as the crisp end."""
    faithful = partner is None and found.entry is not None and not found.entry.crisp
    return 0.0 if faithful else 1.0


def _partner_of(found: catalog.Resolved, strength: float) -> str:
    if found.entry is None or found.entry.partner is None:
        raise ConfigError(
            f"{found.name} has no partner to mix with at strength {strength:g}; name one with `partner`"
        )
    return found.entry.partner


def _mixed(
    source: Recognised, found: catalog.Resolved, partner: str | Path | None, strength: float
) -> tuple[dict[str, Tensor], WeightFile]:
    """Return the mixed weights and the partner's file."""
    name = partner or _partner_of(found, strength)
    path = catalog.resolve(str(name)).path
    if path is None:
        raise ConfigError(
            f"{name} has no weights to mix with; give a network of the family {source.family.name}"
        )
    other = recognise(read_weights(path))
    return mix(other, source, strength if _own_strength(found, partner) else 1 - strength), other.file


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


def _by_spandrel(
    name: str, file: WeightFile, strength: float | None, rejection: ModelError | None
) -> LoadedModel:
    """Load a file with spandrel, which also knows variants of the families here, such as ESRGAN+."""
    try:
        network = third_party.by_spandrel(file)
    except ModelError as error:
        raise rejection or error from error
    if network is None:
        raise rejection or _unknown(file)
    family = f"{network.config.architecture} (spandrel)"
    if strength not in (None, 1):
        raise ConfigError(f"{file.path}: {family} cannot be mixed; leave the strength out")
    _test_network(network, file.path, family)
    return _described(network, name, file, family, network.config)


def _described(
    network: nn.Module, name: str, file: WeightFile, family: str, config: Any, *, fold: bool = False
) -> LoadedModel:
    parameters = sum(p.numel() for p in network.parameters())
    if fold and isinstance(network, srresnet.SRResNet):
        network = network.folded()
    return LoadedModel(
        network=network,
        name=name,
        family=family,
        config=config,
        parameters=parameters,
        sha256=file.sha256,
        path=file.path,
        wrapper=file.wrapper,
        metadata=file.metadata,
        **_geometry(network),
    )


def _filter(found: catalog.Resolved, strength: float | None) -> LoadedModel:
    assert found.scale is not None
    if strength:
        _partner_of(found, strength)
    kind: Kind = "lanczos" if found.name == "lanczos" else "bicubic"
    config = ResampleConfig(kind=kind, scale=found.scale)
    network = Resample(config).eval()
    return LoadedModel(
        network=network, name=found.name, family="resample", config=config, parameters=0, **_geometry(network)
    )


def _geometry(network: Any) -> dict[str, Any]:
    """Return the properties for tiling; `Any`, because Module's type stubs declare every attribute as a
    tensor."""
    return {
        "scale": Fraction(network.scale),
        "receptive_radius": int(network.receptive_radius),
        "multiple": int(getattr(network, "multiple", 1)),
    }
