"""The shipped models by name, and how a name or path from a user is resolved.

This file does not import torch: `vsr models list` reads shapes from the headers of weight files. `load.py`
loads weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Literal

from vsr.errors import ConfigError, ModelError

Family = Literal["Compact", "RRDB", "resample"]

MAX_SCALE = 16
"""Largest output side over input side; it enlarges 1080 lines to 17,280."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """A model of the catalog."""

    name: str
    family: Family
    scale: int | None
    """HR side over LR side; None for a filter, which takes any scale."""
    description: str
    """One line for users."""
    licence: str = "Apache-2.0"
    partner: str | None = None
    """Name of the model at the other end of `--strength`; one of the two was fine-tuned from the other."""
    crisp: bool = False
    """Whether this is the end at strength 1, trained for perceived sharpness; else the faithful end, at 0."""

    @property
    def path(self) -> Path | None:
        """Path of the weight file; None for a filter."""
        if self.family == "resample":
            return None
        return Path(str(resources.files("vsr") / "weights" / f"{self.name}.safetensors"))


_ENTRIES = (
    CatalogEntry(
        name="fast-x2",
        family="Compact",
        scale=2,
        description="fidelity for compressed video, small: for CPUs",
        partner="fast-x2-crisp",
    ),
    CatalogEntry(
        name="fast-x2-crisp",
        family="Compact",
        scale=2,
        description="fast-x2 tuned for looks: a little sharper, less faithful; `strength` slides between",
        partner="fast-x2",
        crisp=True,
    ),
    CatalogEntry(
        name="fast-x4",
        family="Compact",
        scale=4,
        description="as fast-x2, for enlargements above two",
        partner="fast-x4-crisp",
    ),
    CatalogEntry(
        name="fast-x4-crisp",
        family="Compact",
        scale=4,
        description="fast-x4 tuned for looks: sharper, less faithful; `strength` slides between the two",
        partner="fast-x4",
        crisp=True,
    ),
    CatalogEntry(
        name="compact-x2",
        family="Compact",
        scale=2,
        description="fidelity for compressed video, eight times the work of fast-x2",
        partner="compact-x2-crisp",
    ),
    CatalogEntry(
        name="compact-x2-crisp",
        family="Compact",
        scale=2,
        description="compact-x2 tuned for looks: sharper, less faithful; `strength` slides between the two",
        partner="compact-x2",
        crisp=True,
    ),
    CatalogEntry(
        name="compact-x4",
        family="Compact",
        scale=4,
        description="as compact-x2, for enlargements above two",
        partner="compact-x4-crisp",
    ),
    CatalogEntry(
        name="compact-x4-crisp",
        family="Compact",
        scale=4,
        description="compact-x4 tuned for looks: sharper, less faithful; `strength` slides between the two",
        partner="compact-x4",
        crisp=True,
    ),
    CatalogEntry(
        name="rrdb-lite-x4",
        family="RRDB",
        scale=4,
        description="a small ESRGAN generator, three times the work of compact-x4; a start for training",
    ),
    CatalogEntry(
        name="bicubic",
        family="resample",
        scale=None,
        description="Keys' cubic filter, a = -0.5: the reference",
    ),
    CatalogEntry(
        name="lanczos",
        family="resample",
        scale=None,
        description="windowed sinc of three lobes: sharper, with more ringing",
    ),
)
MODELS: Mapping[str, CatalogEntry] = {entry.name: entry for entry in _ENTRIES}

FAMILY_NAMES: Mapping[str, tuple[str, ...]] = {
    "fast": ("fast-x2", "fast-x4"),
    "compact": ("compact-x2", "compact-x4"),
}
"""Names of families of models that differ in scale: `resolve` takes the first one with enough scale, else the
last."""

AUTO = "auto"
"""The name that lets `choose` decide by the device."""
_AUTO_FAMILIES: Mapping[str, tuple[str, str]] = {
    "cpu": ("fast", "an eighth of the work of compact, for a CPU"),
    "mps": ("fast", "eight times as fast as compact; unmeasured on Apple GPUs"),
    "cuda": ("compact", "the most faithful family that is shipped"),
}
"""The family that `auto` means on each kind of device, and why."""

DEFAULT_SCALE = Fraction(2)
"""Scale of a filter if none is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The model that a name or path means."""

    name: str
    """Name in the catalog, or the stem of a file's name."""
    entry: CatalogEntry | None
    """None for a user's file."""
    path: Path | None
    """Path of the weights; None for a filter."""
    scale: Fraction | None
    """Scale of a filter; None if the weights determine it."""


def resolve(name: str, scale: Fraction | int | None = None) -> Resolved:
    """Find the model for a name of the catalog or a path, and for a scale.

    A network may have another scale than the requested one; its result is resized then. In a family of
    networks that differ in scale, the first one with enough scale is taken. `auto` means what it means on a
    CPU.

    Args:
        name: A name in `MODELS` or `FAMILY_NAMES`, or the path of a weight file; a name has precedence over a
            file with this name.
        scale: Output side over input side; None takes the model's own (2 for a filter, a family's smallest).

    Raises:
        ConfigError: the scale is not above 0, or above `MAX_SCALE`.
        ModelError: there is neither a model nor a file with this name.
    """
    wanted = None if scale is None else _checked(Fraction(scale))
    entry = MODELS.get(_member(name, wanted))
    if entry is not None:
        own = (wanted or DEFAULT_SCALE) if entry.scale is None else None
        return Resolved(name=entry.name, entry=entry, path=entry.path, scale=own)
    path = Path(name).expanduser()
    if path.is_dir():
        raise ModelError(f"{name}: a folder; give a weight file (.safetensors or .pth) in it")
    if path.is_symlink() and not path.exists():
        raise ModelError(f"{name}: a link to a file that does not exist; give the weight file itself")
    if not path.exists():
        raise ModelError(f"{name}: no weight file and no model; known models are {', '.join(names())}")
    return Resolved(name=path.stem, entry=None, path=path, scale=None)


def choose(name: str, device: str) -> tuple[str, str]:
    """Return the family that `auto` means on a kind of device, and why; other names are returned unchanged,
    with an empty reason."""
    return _AUTO_FAMILIES[device] if name == AUTO else (name, "")


def names() -> tuple[str, ...]:
    """Return all names that `resolve` knows, families first."""
    return (AUTO, *FAMILY_NAMES, *MODELS)


def _member(name: str, scale: Fraction | None) -> str:
    """Return the member of a family for a scale; other names are returned unchanged."""
    members = FAMILY_NAMES.get(choose(name, "cpu")[0])
    if members is None:
        return name
    return next((m for m in members if (MODELS[m].scale or 0) >= (scale or 0)), members[-1])


def _checked(scale: Fraction) -> Fraction:
    if not 0 < scale <= MAX_SCALE:
        raise ConfigError(
            f"`scale` {float(scale):g} is out of range; use more than 0 and at most {MAX_SCALE}"
        )
    return scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header of a .safetensors file."""

    metadata: Mapping[str, str]
    parameters: int
    """Number of elements in all tensors."""
    file_bytes: int


def read_header(path: Path) -> Header:
    """Read the header of a shipped weight file; `load.py` has the checks for files of unknown origin.

    Raises:
        ModelError: the file is missing or not a .safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            table = json.loads(file.read(min(length, path.stat().st_size)))
        metadata = table.pop("__metadata__", {})
        shapes = [entry["shape"] for entry in table.values()]
        count = sum(math.prod(shape) for shape in shapes)
        return Header(metadata=metadata, parameters=count, file_bytes=path.stat().st_size)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: cannot be read as .safetensors ({error}); install vsr again") from error
