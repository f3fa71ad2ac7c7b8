"""The networks that a recipe may train: a table of their settings, and how each is started."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vsr.errors import ModelError
from vsr.models.archs.compact import Compact, CompactConfig, identity_init_
from vsr.models.archs.layers import equal_places_
from vsr.models.archs.msrresnet import MSRResNet, MSRResNetConfig
from vsr.models.archs.rrdb import RRDB, RRDBConfig, picture_init_
from vsr.models.archs.srresnet import SRResNet, SRResNetConfig

logger = logging.getLogger(__name__)

NetworkConfig = CompactConfig | RRDBConfig | SRResNetConfig | MSRResNetConfig

_FAMILIES = ("compact", "rrdb", "srresnet", "msrresnet")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSettings:
    """Which network is trained: exactly one of the families is given."""

    compact: CompactConfig | None = None
    rrdb: RRDBConfig | None = None
    srresnet: SRResNetConfig | None = None
    msrresnet: MSRResNetConfig | None = None
    start: Literal["published", "picture"] = "published"
    """`picture` is for RRDB: it begins as the nearest neighbour, see `rrdb.picture_init_`."""

    def __post_init__(self) -> None:
        given = [name for name in _FAMILIES if getattr(self, name) is not None]
        if len(given) != 1:
            known = ", ".join(_FAMILIES)
            raise ValueError(f"one network is needed, of {known}; given are {', '.join(given) or 'none'}")
        rrdb = self.rrdb
        if self.start == "picture" and (rrdb is None or rrdb.upsampler != "nearest" or rrdb.unshuffle != 1):
            raise ValueError("start = 'picture' is for RRDB with upsampler = 'nearest' and unshuffle = 1")

    @property
    def family(self) -> str:
        """Name of the network that is given."""
        return next(name for name in _FAMILIES if getattr(self, name) is not None)

    @property
    def config(self) -> NetworkConfig:
        """What stands in it."""
        config: NetworkConfig = getattr(self, self.family)
        return config

    @property
    def scale(self) -> int:
        """HR side over LR side."""
        return self.config.scale

    def facts(self) -> dict[str, str]:
        """Family and hyper-parameters, for a weight file's metadata."""
        return {"family": self.family, **{name: str(value) for name, value in asdict(self.config).items()}}


_CLASSES: Mapping[type, Callable[..., nn.Module]] = {
    CompactConfig: Compact,
    RRDBConfig: RRDB,
    SRResNetConfig: SRResNet,
    MSRResNetConfig: MSRResNet,
}


def make_generator(settings: GeneratorSettings, *, seed: int) -> nn.Module:
    """Build a network, started as its authors do unless `settings` say otherwise; a Compact starts as the
    identity, and all places of a pixel shuffle start equal, see `layers.equal_places_`.

    A deep Compact does not learn from torch's start: its first layer's gradient is 1e-8 of a usual one.

    Returns:
        In training mode, float32, on the host; the same numbers for the same seed.
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
    """The convolutions whose results a pixel shuffle spreads, with its factor; a Compact sees to its own."""
    if isinstance(network, RRDB):
        return network.enlargements() if network.config.upsampler == "pixelshuffle" else []
    return network.enlargements() if isinstance(network, SRResNet | MSRResNet) else []


def take_over(network: nn.Module, start: Mapping[str, Tensor]) -> None:
    """Copy weights into a network wherever name and shape fit, and say how many did.

    Weights for another scale fit but for the layers that enlarge, which keep their own start.

    Raises:
        ModelError: less than half of the network's numbers are in `start`.
    """
    own = network.state_dict()
    fitting = {key: value for key, value in start.items() if key in own and value.shape == own[key].shape}
    share = sum(own[key].numel() for key in fitting) / sum(value.numel() for value in own.values())
    if share < 0.5:
        raise ModelError(
            f"the weights to start from fill {share:.0%} of the recipe's network, 50 % at least are needed;"
            " give weights of the same family and width"
        )
    network.load_state_dict({**own, **fitting})
    left = [key for key in own if key not in fitting]
    logger.info("started from weights that fill %.1f %%; new: %s", 100 * share, ", ".join(left[:4]) or "none")
