"""The only loader of weights, which turns a name or a file into a network that is ready to run.

`files.py` reads tensors, and `recognise.py` finds the family of the network. This file builds the network; it
uses every tensor of the file, and every parameter comes from the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vsr.errors import ConfigError, ModelError
from vsr.models import catalog, third_party
from vsr.models.archs import srresnet
from vsr.models.archs.resample import Kind, Resample, ResampleConfig
from vsr.models.files import WeightFile, read_weights
from vsr.models.recognise import Family, Recognised, State, mix, recognise, recognise_or_reject, unknown


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
    source, rejection = recognise_or_reject(file)
    if source is None:
        return _by_spandrel(found.name, file, strength, rejection)
    state, other = source.state, None
    if strength is not None and strength != _own_strength(found, partner):
        state, other = _mixed(source, found, partner, strength)
    network = _build(source.family, source.config, state)
    _test_network(network, found.path, source.family.name)
    made = _described(network, found.name, file, source.family.name, source.config, fold=fold)
    return made if other is None else replace(made, partner_sha256=other.sha256, partner_path=other.path)


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


def _by_spandrel(
    name: str, file: WeightFile, strength: float | None, rejection: ModelError | None
) -> LoadedModel:
    """Load a file with spandrel, which also knows variants of the families here, such as ESRGAN+."""
    try:
        network = third_party.by_spandrel(file)
    except ModelError as error:
        raise rejection or error from error
    if network is None:
        raise rejection or unknown(file)
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
