"""Networks of other packages: registered architectures and spandrel.

They are used only for files that no family of this package recognises, and never at import. Only `files.py`
reads files; other packages get tensors, never a path.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from vsr.errors import ModelError, PluginError, VsrError
from vsr.models.files import WeightFile

logger = logging.getLogger(__name__)

GROUP = "vsr.architectures"
"""Entry-point group; `docs/models.md` documents its entries."""
UNKNOWN_RADIUS = 1024
"""LR pixels: more than any halo, so that tiles get the largest halo of the engine and are blended."""

_WINDOWS = 64
"""LR pixels: a multiple of all usual sides of attention windows, 8 to 64. If the tiles of SwinIR start at
multiples of its 8, the result equals that of the whole image; otherwise seams differ by 0.7 of white
(measured)."""
_TRIAL_SIDE = 40
"""LR pixels; not a usual training size, for which networks with attention windows store masks."""

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """An architecture that a package registered.

    An error that is no `VsrError` becomes a PluginError with the name of the package.
    """

    name: str
    """Name of the entry point."""
    detect: Callable[[State], Any | None]
    remap: Callable[[State], dict[str, Tensor]]
    build: Callable[[Any], nn.Module]


def registered(name: str | None) -> Iterator[Architecture]:
    """Yield the registered architectures; each one is imported when the iteration reaches it.

    Args:
        name: The architecture that the metadata of a file names. If there is no such one, or None, all are
            yielded, sorted by name.

    Raises:
        PluginError: an architecture cannot be imported or lacks a function; the message has its distribution.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    for point in [point for point in points if point.name == name] or points:
        yield _architecture(point)


def _architecture(point: EntryPoint) -> Architecture:
    owner = f"{point.dist.name if point.dist else point.value} ({GROUP}: {point.name})"
    with _blaming(owner):
        thing = point.load()
    missing = [name for name in ("detect", "build") if not callable(getattr(thing, name, None))]
    if missing:
        raise PluginError(f"{owner}: has no {' and no '.join(missing)}; install another version of it")

    def detect(state: State) -> Any | None:
        with _blaming(owner):
            config = thing.detect(state)
            if config is not None and not is_dataclass(config):
                raise TypeError(f"detect gave a {type(config).__name__}, not a dataclass or None")
            return config

    def remap(state: State) -> dict[str, Tensor]:
        with _blaming(owner):
            return dict(thing.remap(state) if hasattr(thing, "remap") else state)

    def build(config: Any) -> nn.Module:
        # On the host even if the caller builds on the meta device: buffers that no file has keep their
        # values.
        with _blaming(owner), torch.device("cpu"):
            network: nn.Module = thing.build(config)
            for fact in ("scale", "receptive_radius"):
                if not isinstance(getattr(network, fact, None), int):
                    raise TypeError(f"its network has no int {fact}")
            return network

    return Architecture(name=point.name, detect=detect, remap=remap, build=build)


@contextmanager
def _blaming(owner: str) -> Iterator[None]:
    try:
        yield
    except VsrError:  # a deliberate error about the file
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{owner}: {_first_line(error)}; install another version, or remove it") from error


@contextmanager
def no_exit(network: nn.Module) -> Iterator[None]:
    """Turn a `sys.exit` of another package's network into an error.

    Raises:
        PluginError: the network called `sys.exit`, with any code.
    """
    try:
        yield
    except SystemExit as error:
        raise PluginError(
            f"the network {type(network).__name__} ends the program (exit code {error.code}) instead of "
            "computing; install another version of its package, or use other weights"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SpandrelConfig:
    """The properties of a network that spandrel found."""

    architecture: str
    scale: int
    tags: tuple[str, ...]
    tiling: str
    """`supported`, `discouraged` or `internal`."""
    multiple_of: int
    """LR pixels; both sides of an image are padded to multiples of it."""
    minimum: int
    """LR pixels; smaller sides of an image are padded to it."""


class SpandrelNetwork(nn.Module):
    """A network of spandrel with the interface of the networks of this package.

    The receptive field of such a network is unknown, and may be the whole image. So `receptive_radius` is
    `UNKNOWN_RADIUS`, and tiles are blended, which is only close to the result for the whole image.
    """

    scale: int
    """HR side over LR side."""
    receptive_radius: int
    multiple: int
    """LR pixels; tiles start at multiples of it, as the attention windows of the network do."""

    def __init__(self, descriptor: Any) -> None:
        """Wrap a `spandrel.ImageModelDescriptor`."""
        super().__init__()
        self.inner = descriptor.model
        self.config = _config(descriptor)
        self.scale = self.config.scale
        self.receptive_radius = UNKNOWN_RADIUS
        self.multiple = _multiple(self.config)
        self._descriptor = descriptor
        self._halves = bool(descriptor.supports_half)

    def to(self, *args: Any, **kwargs: Any) -> SpandrelNetwork:
        """Move the network as `nn.Module.to` does, but never to bf16.

        bf16 has 8 bits of precision, too few for an image, and only the networks of this package compute
        their last step with more. On CUDA fp16 replaces it if a test run works, else fp32; on a CPU fp32
        replaces it.
        """
        wanted = kwargs.get("dtype")
        if wanted in (torch.float16, torch.bfloat16):
            kwargs["dtype"] = self._format(torch.device(kwargs.get("device") or "cpu"))
            if kwargs["dtype"] != wanted:
                logger.warning("%s computes in %s, not %s", self.config.architecture, kwargs["dtype"], wanted)
        return super().to(*args, **kwargs)

    def _format(self, device: torch.device) -> torch.dtype:
        if not self._halves or device.type == "cpu":
            return torch.float32
        trial = nn.Module.to(copy.deepcopy(self), device=device, dtype=torch.float16)
        side = max(_TRIAL_SIDE, self.config.minimum)
        try:
            works = torch.isfinite(trial(torch.full((1, 3, side, side), 0.5, device=device))).all()
        except (RuntimeError, TypeError):  # some architectures mix dtypes in their attention
            return torch.float32
        return torch.float16 if works else torch.float32

    def forward(self, x: Tensor) -> Tensor:
        """Upscale a batch, one image at a time, as spandrel does.

        Args:
            x: `(N, 3, H, W)`, R'G'B' in [0, 1], any float dtype, on the weights' device; any H and W.

        Returns:
            `(N, 3, H * scale, W * scale)` in x's dtype, clipped to [0, 1].
        """
        dtype = next(self.inner.parameters()).dtype
        return torch.cat([self._descriptor(image) for image in x.to(dtype).split(1)]).to(x.dtype)


def _multiple(config: SpandrelConfig) -> int:
    """Return the multiple at which tiles start; attention windows begin at the corner of an image."""
    windowed = config.tiling != "supported" and _WINDOWS % config.multiple_of == 0
    return _WINDOWS if windowed else config.multiple_of


def _config(descriptor: Any) -> SpandrelConfig:
    return SpandrelConfig(
        architecture=str(descriptor.architecture.name),
        scale=int(descriptor.scale),
        tags=tuple(str(tag) for tag in descriptor.tags),
        tiling=str(descriptor.tiling.name).lower(),
        multiple_of=int(descriptor.size_requirements.multiple_of),
        minimum=int(descriptor.size_requirements.minimum),
    )


def by_spandrel(file: WeightFile) -> SpandrelNetwork | None:
    """Let spandrel build the network for weights.

    Returns:
        The network in eval mode, float32, on the host. None if spandrel is not installed or does not know the
        weights.

    Raises:
        ModelError: spandrel cannot be imported or fails, or its network does not upscale RGB images.
    """
    if find_spec("spandrel") is None:
        return None
    try:
        spandrel = import_module("spandrel")
    except (
        Exception,
        SystemExit,
    ) as error:  # torchvision raises many kinds of errors if it was built for another torch
        raise ModelError(
            f"{file.path}: spandrel may know it, but cannot be imported ({_first_line(error)}); install "
            f"the torchvision that belongs to torch {torch.__version__}"
        ) from error
    if not hasattr(spandrel, "ModelLoader"):
        return None  # another module or folder with this name
    try:
        descriptor = spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(file.state))
    except spandrel.UnsupportedModelError:
        return None
    except (Exception, SystemExit) as error:  # its detectors do not check shapes before they index them
        raise ModelError(f"{file.path}: spandrel cannot load it ({_first_line(error)})") from error
    _refuse_other_uses(file, descriptor, spandrel)
    network = SpandrelNetwork(descriptor).float().eval()
    if network.config.tiling != "supported":
        logger.warning(
            "%s should not be tiled; `tile=0` computes whole images if memory suffices",
            network.config.architecture,
        )
    return network


def _refuse_other_uses(file: WeightFile, descriptor: Any, spandrel: Any) -> None:
    name = descriptor.architecture.name
    if not isinstance(descriptor, spandrel.ImageModelDescriptor) or descriptor.purpose == "FaceSR":
        raise ModelError(f"{file.path}: {name} is for {descriptor.purpose}; give a network that upscales")
    channels = descriptor.input_channels, descriptor.output_channels
    if channels != (3, 3):
        raise ModelError(
            f"{file.path}: {name} takes {channels[0]} and gives {channels[1]} channels; 3 and 3 are supported"
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:120]}"
