"""The only loader of weights: a name or a file becomes a network that is ready to run.

`files.py` turns bytes into tensors, the families in `archs/` recognise their keys; here a network is built
that uses every tensor, and whose every parameter comes from the file.
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
    """The family's frozen dataclass of hyper-parameters, as the file has them."""
    scale: Fraction
    """Output side over input side; an integer for every network."""
    receptive_radius: int
    """LR pixels on each side that an output pixel depends on."""
    multiple: int
    """Tiles must start at multiples of this many LR pixels."""
    parameters: int
    """Weights that are learnt."""
    sha256: str | None = None
    """Of the file; None for a filter."""
    path: Path | None = None
    """Of the file; None for a filter."""
    wrapper: str | None = None
    """Key of the file under which the weights were, such as `params_ema`; None where they lay open."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What a .safetensors file says about itself."""


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of network: how to recognise its weights, and how to build it."""

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
"""Keys that give away files which users try, and what these are."""


TRIAL_SIDE = 16
"""Of the picture that is tried at once, in LR pixels: a multiple of what every family needs."""


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
        model: A name, or the path of a .safetensors, .pth or .pt file; what a file is, its bytes decide.
        scale: Output side over input side that is wanted: chooses a family's member, sets a filter's scale.
        strength: From 0, the faithful end, to 1, the crisp one; the weights between are mixed. None takes the
            model as it is.
        partner: The faithful end for a model of one's own, name or path; None takes the catalog's.
        fold: Whether batch norm becomes part of the convolutions; False keeps it, for training.

    Raises:
        ModelError: no such model, an unreadable or damaged file, or not a generator that we know.
        ConfigError: an impossible scale or strength, or no partner to mix with.
    """
    if strength is not None and not 0 <= strength <= 1:
        raise ConfigError(f"strength {strength:g} is impossible; use 0 to 1")
    found = catalog.resolve(str(model), scale)
    if found.path is None:
        return _filter(found, strength)
    file = read_weights(found.path)
    source, refused = _recognised(file)
    if source is None:
        return _by_spandrel(found.name, file, strength, refused)
    state = source.state
    if strength is not None and strength != _own_strength(found, partner):
        state = _mixed(source, found, partner, strength)
    network = _build(source.family, source.config, state)
    _try_out(network, found.path, source.family.name)
    return _described(network, found.name, file, source.family.name, source.config, fold=fold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """Weights of which we know what network they belong to."""

    file: WeightFile
    family: Family
    config: Any
    """The family's frozen dataclass of hyper-parameters."""
    state: dict[str, Tensor]
    """Complete, under the family's own names, in its own shapes."""


def recognise(file: WeightFile) -> Recognised:
    """Find the network that a file's weights belong to: all of them, or one of several networks.

    Raises:
        ModelError: not a generator that we know, or one with weights missing, left over or of a wrong shape.
        PluginError: a registered package fails.
    """
    found, refused = _recognised(file)
    if found is None:
        raise refused or _unknown(file)
    return found


def _recognised(file: WeightFile) -> tuple[Recognised | None, ModelError | None]:
    """As `recognise`; where there is no such network, what a family says that knows its layers."""
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
    """The network of the first family that a file's weights belong to wholly; `errors` takes what those say
    that know the layers, but not this network."""
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
    """The generator among the networks of a trainer; None where none is one of ours.

    Raises:
        ModelError: there are several, and none of them is the average of another.
    """
    found: dict[str, Recognised] = {}
    for name, state in networks_in(file.state):
        wrapper = name if file.wrapper is None else f"{file.wrapper}.{name}"
        part = _fitting(replace(file, state=state, wrapper=wrapper), FAMILIES, [])
        if part is not None:
            found[name] = part
    averaged = [name for name in found if is_averaged(name)]
    chosen = averaged or list(found)
    if len(chosen) > 1:
        raise ModelError(
            f"{file.path}: holds the generators {', '.join(chosen)}; save one of them in a file of its own"
        )
    return found[chosen[0]] if chosen else None


def _others(file: WeightFile) -> Iterator[Family]:
    """Those of registered packages, which are imported only when none of ours fits."""
    for other in third_party.registered(file.metadata.get("family")):
        yield Family(other.name, other.detect, other.remap, other.build)


def _unknown(file: WeightFile) -> ModelError:
    what = next((name for key, name in STRANGERS if key in file.state), None)
    said = what or f"no network that we know (first keys: {', '.join(list(file.state)[:3])})"
    known = ", ".join(family.name for family in FAMILIES)
    return ModelError(
        f"{file.path}: {said}; usable are generators of the families {known}, and what spandrel knows where "
        "it is installed"
    )


def _refuse_gaps(file: WeightFile) -> None:
    """A layer's number far above the count of tensors is no network's; building it would take for ever."""
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
    """Every weight of the file is used, every weight of the network is there."""
    wrong = [text for key in sorted(expected.keys() | state.keys()) if (text := _wrong(key, state, expected))]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(
            f"{path}: {family} {', '.join(wrong[:3])}{more}; incomplete, or a variant that is unknown"
        )


def _wrong(key: str, state: State, expected: Mapping[str, torch.Size]) -> str | None:
    """What is wrong with one weight, None where nothing is."""
    if key not in state:
        return f"without {key}"
    if key not in expected:
        return f"with {key}, which it does not have"
    if state[key].shape != expected[key]:
        return f"whose {key} is {tuple(state[key].shape)}, not {tuple(expected[key])}"
    return None


def _about(path: Path, error: Exception) -> ModelError:
    """What a family says about a file, with the file's path."""
    said = str(error) if isinstance(error, VsrError) else f"weights of impossible shapes ({error})"
    return ModelError(said if said.startswith(str(path)) else f"{path}: {said}")


def _build(family: Family, config: Any, state: State) -> nn.Module:
    with torch.device("meta"):  # no random start: every tensor comes from the file
        network = family.build(config)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def _try_out(network: nn.Module, path: Path, family: str) -> None:
    """One small picture through the network: finite weights can still overflow on their way."""
    side = TRIAL_SIDE
    try:
        with torch.inference_mode():
            sr = network(torch.full((1, 3, side, side), 0.5))
    except (Exception, SystemExit) as error:  # networks of others raise what they like
        reason = " ".join(f"{type(error).__name__} {error}".split())[:100]
        raise ModelError(f"{path}: {family} fails on a picture of {side}x{side} ({reason})") from error
    scale = _geometry(network)["scale"]
    if sr.shape != (1, 3, side * scale, side * scale):
        raise ModelError(f"{path}: {family} makes {tuple(sr.shape)} of {side}x{side}; use other weights")
    if not torch.isfinite(sr).all():
        raise ModelError(f"{path}: a grey picture comes out as NaN or infinity; use other weights")


def _own_strength(found: catalog.Resolved, partner: str | Path | None) -> float:
    """The end of `strength` that a model is itself: a user's file is taken for the crisp one."""
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
) -> dict[str, Tensor]:
    name = partner or _partner_of(found, strength)
    path = catalog.resolve(str(name)).path
    if path is None:
        raise ConfigError(
            f"{name} has no weights to mix with; give a network of the family {source.family.name}"
        )
    other = recognise(read_weights(path))
    return mix(other, source, strength if _own_strength(found, partner) else 1 - strength)


def mix(a: Recognised, b: Recognised, alpha: float) -> dict[str, Tensor]:
    """The weights of the network between two files: a at `alpha` 0, b at 1.

    Raises:
        ConfigError: alpha is outside 0 to 1.
        ModelError: not networks of one family and shape.
    """
    if (a.family.name, a.config) != (b.family.name, b.config):
        both = f"{a.file.path} and {b.file.path}"
        try:
            check_compatible(a.state, b.state)
        except ModelError as error:
            raise ModelError(f"{both}: {error}") from error
        raise ModelError(f"{both} differ in what weights do not show: {a.config}, {b.config}")
    return interpolate(a.state, b.state, alpha)


def _by_spandrel(
    name: str, file: WeightFile, strength: float | None, refused: ModelError | None
) -> LoadedModel:
    """What spandrel makes of a file that is not ours; it knows variants of our families, such as ESRGAN+."""
    try:
        network = third_party.by_spandrel(file)
    except ModelError as error:
        raise refused or error from error
    if network is None:
        raise refused or _unknown(file)
    family = f"{network.config.architecture} (spandrel)"
    if strength not in (None, 1):
        raise ConfigError(f"{file.path}: {family} cannot be mixed; leave the strength out")
    _try_out(network, file.path, family)
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
    """What tiling needs to know; `Any`, for Module's stubs take every attribute for a tensor."""
    return {
        "scale": Fraction(network.scale),
        "receptive_radius": int(network.receptive_radius),
        "multiple": int(getattr(network, "multiple", 1)),
    }
