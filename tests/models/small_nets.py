"""Small generators of every family with random weights, and other common names of their layers."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vsr.models.archs.compact import Compact, CompactConfig
from vsr.models.archs.msrresnet import MSRResNet, MSRResNetConfig
from vsr.models.archs.rrdb import RRDB, RRDBConfig
from vsr.models.archs.srresnet import SRResNet, SRResNetConfig

BUILD = {
    CompactConfig: Compact,
    MSRResNetConfig: MSRResNet,
    RRDBConfig: RRDB,
    SRResNetConfig: SRResNet,
}

CONFIGS = (
    *(RRDBConfig(scale=s, nf=6, nb=1, gc=3, unshuffle=u) for s, u in ((1, 1), (2, 1), (4, 1), (8, 1))),
    *(RRDBConfig(scale=s, nf=5, nb=n, gc=4, unshuffle=u) for s, u, n in ((2, 2, 2), (1, 4, 1), (1, 2, 1))),
    *(RRDBConfig(scale=s, nf=4, nb=1, gc=2, upsampler="pixelshuffle") for s in (2, 3, 4)),
    *(SRResNetConfig(scale=s, nf=6, nb=2, slopes=6) for s in (1, 2, 3, 4, 8)),
    SRResNetConfig(scale=4, nf=5, nb=3, trunk="prelu", tanh=True),
    SRResNetConfig(scale=2, nf=5, nb=3, batch_norm=False, trunk="none"),
    *(MSRResNetConfig(scale=s, nf=6, nb=2) for s in (1, 2, 3, 4, 8)),
    *(CompactConfig(scale=s, nf=6, nc=3) for s in (1, 2, 3, 4)),
    CompactConfig(scale=2, nf=6, nc=1, activation="relu"),
)


def name_of(config: object) -> str:
    """Return a test's label."""
    return re.sub(r"[^\w=,]", "", str(config)).replace("Config", "-")


def make(config: object, seed: int = 0) -> nn.Module:
    """Return a network in eval mode with random tensors, none of them constant 0 or 1, so that each
    matters."""
    torch.manual_seed(seed)
    network = BUILD[type(config)](config).eval()
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if key.endswith("num_batches_tracked"):
                continue
            fan_in = max(value[0].numel(), 1) if value.dim() else 1
            spread = fan_in**-0.5 if value.dim() == 4 else 0.3
            value.normal_(0, spread)
            if key.endswith("running_var"):
                value.abs_().add_(0.5)
    return network


def as_2018(state: Mapping[str, Tensor], upsampler: str) -> dict[str, Tensor]:
    """Rename the weights of an RRDB network to the names of ESRGAN of 2018: numbers in a flat list."""
    ups = sum(bool(re.fullmatch(r"conv_up\d+\.weight", key)) for key in state)
    blocks = len({key.split(".")[1] for key in state if key.startswith("body.")})
    numbers = {"conv_first": "0", "conv_body": f"1.sub.{blocks}", "conv_hr": str(3 * ups + 2)}
    numbers["conv_last"] = str(3 * ups + 4)
    offset = (
        0 if upsampler == "nearest" else -1
    )  # an nn.Upsample comes before the convolution, a shuffle after it
    numbers |= {f"conv_up{i}": str(3 * i + offset) for i in range(1, ups + 1)}

    def rename(key: str) -> str:
        inner = re.fullmatch(r"body\.(\d+)\.rdb(\d)\.(conv\d)\.(\w+)", key)
        if inner:
            return f"model.1.sub.{inner[1]}.RDB{inner[2]}.{inner[3]}.0.{inner[4]}"
        layer, _, name = key.partition(".")
        return f"model.{numbers[layer]}.{name}"

    return {rename(key): value for key, value in state.items()}


def as_2019(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of an RRDB network to the names of ESRGAN of 2019, RealSR and BSRGAN."""
    names = (
        (r"body\.(\d+)\.rdb(\d)\.", r"RRDB_trunk.\1.RDB\2."),
        ("conv_body", "trunk_conv"),
        (r"conv_up(\d)", r"upconv\1"),
        ("conv_hr", "HRconv"),
    )
    renamed = {}
    for key, value in state.items():
        for pattern, name in names:
            key = re.sub("^" + pattern, name, key)
        renamed[key] = value
    return renamed


def as_leftthomas(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of an SRResNet to the names of leftthomas/SRGAN: numbered blocks, no counters."""
    blocks = len({key.split(".")[1] for key in state if key.startswith("body.")})
    ups = len({key.split(".")[1] for key in state if key.startswith("up.")})
    names = {
        "conv_first": "block1.0",
        "prelu_first": "block1.1",
        "conv_trunk": f"block{blocks + 2}.0",
        "prelu_trunk": f"block{blocks + 2}.1",
        "bn_trunk": f"block{blocks + 2}.1",
        "conv_tanh": f"block{blocks + 3}.{ups}",
    }

    def rename(key: str) -> str:
        layer, _, rest = key.partition(".")
        if layer == "body":
            number, _, rest = rest.partition(".")
            return f"block{int(number) + 2}.{rest}"
        return f"block{blocks + 3}.{rest}" if layer == "up" else f"{names[layer]}.{rest}"

    return {rename(key): value for key, value in state.items() if not key.endswith("num_batches_tracked")}
