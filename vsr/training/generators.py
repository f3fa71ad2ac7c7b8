"""The networks that a recipe can train: their settings and their initial weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vsr.errors import ModelError
from vsr.models.archs.compact import Compact, CompactConfig, deepened, identity_init_
from vsr.models.archs.layers import equal_places_
from vsr.models.archs.msrresnet import MSRResNet, MSRResNetConfig
from vsr.models.archs.rrdb import RRDB, RRDBConfig, picture_init_
from vsr.models.archs.srresnet import SRResNet, SRResNetConfig

logger = logging.getLogger(__name__)

NetworkConfig = CompactConfig | RRDBConfig | SRResNetConfig | MSRResNetConfig

_FAMILIES = ("compact", "rrdb", "srresnet", "msrresnet")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSettings:
    """Settings of the network to train; exactly one family must be given."""

    compact: CompactConfig | None = None
    rrdb: RRDBConfig | None = None
    srresnet: SRResNetConfig | None = None
    msrresnet: MSRResNetConfig | None = None
    start: Literal["published", "picture"] = "published"
    """`picture` is for RRDB: the network starts as nearest-neighbour
    interpolation, see `rrdb.picture_init_`."""

    def __post_init__(self) -> None:
        given = [name for name in _FAMILIES if getattr(self, name) is not None]
        if len(given) != 1:
            known = ", ".join(_FAMILIES)
            raise ValueError(
                f"give exactly one network of {known}; the recipe gives {', '.join(given) or 'none'}"
            )
        rrdb = self.rrdb
        if self.start == "picture" and (rrdb is None or rrdb.upsampler != "nearest" or rrdb.unshuffle != 1):
            raise ValueError(
                "start = 'picture' requires an RRDB with upsampler = 'nearest' and unshuffle = 1"
            )

    @property
    def family(self) -> str:
        """Name of the family that is given."""
        return next(name for name in _FAMILIES if getattr(self, name) is not None)

    @property
    def config(self) -> NetworkConfig:
        """Settings of the family that is given."""
        config: NetworkConfig = getattr(self, self.family)
        return config

    @property
    def scale(self) -> int:
        """HR side / LR side."""
        return self.config.scale

    def facts(self) -> dict[str, str]:
        """Return the family and its hyper-parameters, for the metadata of a weight file."""
        return {"family": self.family, **{name: str(value) for name, value in asdict(self.config).items()}}


_CLASSES: Mapping[type, Callable[..., nn.Module]] = {
    CompactConfig: Compact,
    RRDBConfig: RRDB,
    SRResNetConfig: SRResNet,
    MSRResNetConfig: MSRResNet,
}


def make_generator(settings: GeneratorSettings, *, seed: int) -> nn.Module:
    """Build a network with initial weights.

    The weights start as the authors of the network start theirs, unless `settings` choose otherwise. A
    Compact starts as the identity, because with torch's default a deep Compact does not learn: the gradient
    of its first layer is 1e-8 of a usual one. All sub-pixel positions of a pixel shuffle start with equal
    weights, see `layers.equal_places_`.

    Returns:
        The network in training mode, float32, on the CPU. The same seed gives the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _CLASSES[type(settings.config)](settings.config)
    for conv, factor in _before_shuffles(network):
        equal_places_(conv, factor)
    own = torch.Generator().manual_seed(seed)
    if isinstance(network, Compact):
        identity_init_(network, generator=own)
    elif isinstance(network, RRDB) and settings.start == "picture":
        picture_init_(network, generator=own)
    return network.train()


def _before_shuffles(network: nn.Module) -> list[tuple[nn.Module, int]]:
    """Return the convolutions before pixel shuffles with their factors;
    `identity_init_` handles a Compact's."""
    if isinstance(network, RRDB):
        return network.enlargements() if network.config.upsampler == "pixelshuffle" else []
    return network.enlargements() if isinstance(network, SRResNet | MSRResNet) else []


def load_matching_weights(network: nn.Module, start: Mapping[str, Tensor]) -> None:
    """Copy the weights whose name and shape match into a network, and log how many match.

    Weights for another scale match except in the upsampling layers, which keep their initial weights. Weights
    of a Compact with fewer layers give a network with the same results (`archs.compact.deepened`).

    Raises:
        ModelError: `start` has less than half of the network's weights.
    """
    own = network.state_dict()
    if isinstance(network, Compact):
        start = deepened(start, network.config)
    fitting = {key: value for key, value in start.items() if key in own and value.shape == own[key].shape}
    share = sum(own[key].numel() for key in fitting) / sum(value.numel() for value in own.values())
    if share < 0.5:
        raise ModelError(
            f"the given weights match {share:.0%} of the recipe's network, at least 50 % are required."
            " Give weights of the same family and width"
        )
    network.load_state_dict({**own, **fitting})
    left = [key for key in own if key not in fitting]
    logger.info(
        "initial weights match %.1f %% of the network; not matched: %s",
        100 * share,
        ", ".join(left[:4]) or "none",
    )
