"""The models that `vsr` knows by name, and what a name or path given by a user means.

No torch here: `vsr models list` reads shapes from the files' headers. Loading is `load.py`'s.
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
"""Output side over input side at most: a picture of 1080 lines would have 17,280."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """A model with a name."""

    name: str
    family: Family
    scale: int | None
    """HR side over LR side; None where any will do."""
    description: str
    """One line for people."""
    licence: str = "Apache-2.0"
    partner: str | None = None
    """Name of the model at the other end of `--strength`, trained from this one or the other way round."""
    crisp: bool = False
    """Whether this is the end at strength 1, trained for looks; else the faithful one, at 0."""

    @property
    def path(self) -> Path | None:
        """Where the weights are; None for a filter, which has none."""
        if self.family == "resample":
            return None
        return Path(str(resources.files("vsr") / "weights" / f"{self.name}.safetensors"))


_ENTRIES = (
    CatalogEntry(
        name="fast-x2",
        family="Compact",
        scale=2,
        description="fidelity for compressed video, small: for processors",
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
        description="the same for enlargements above two",
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
        description="the same for enlargements above two",
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
        description="a small ESRGAN generator, as faithful as compact-x4 for three times its work",
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
"""Names for several models that differ in scale: the first one that is enough is taken, else the last."""

AUTO = "auto"
"""The name that leaves the choice to us."""
_AUTO_FAMILIES: Mapping[str, tuple[str, str]] = {
    "cpu": ("fast", "the one that a processor runs in real time"),
    "cuda": ("compact", "the most faithful family that is shipped"),
}
"""Kind of device to the family that `auto` is there, and why."""

DEFAULT_SCALE = Fraction(2)
"""Of a model that has none of its own, where none is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a name or path means."""

    name: str
    """In the catalog, or a file's stem."""
    entry: CatalogEntry | None
    """None for a user's file."""
    path: Path | None
    """Of the weights; None for a filter."""
    scale: Fraction | None
    """Of a filter; None where the weights decide."""


def resolve(name: str, scale: Fraction | int | None = None) -> Resolved:
    """Find what to load for a name of the catalog or a path, and for the enlargement that is wanted.

    A network may have another scale than the one wanted: its result is resized. Of a family of networks that
    differ in scale, the first one that enlarges enough is taken. `auto` is what it is on a processor.

    Args:
        name: In `MODELS` or `FAMILY_NAMES`, or the path of a weight file; a name wins over a file called so.
        scale: Output side over input side; None takes the model's own (2 for a filter, a family's smallest).

    Raises:
        ConfigError: no enlargement, or more than `MAX_SCALE`.
        ModelError: neither a name nor a file.
    """
    wanted = None if scale is None else _checked(Fraction(scale))
    entry = MODELS.get(_member(name, wanted))
    if entry is not None:
        own = (wanted or DEFAULT_SCALE) if entry.scale is None else None
        return Resolved(name=entry.name, entry=entry, path=entry.path, scale=own)
    path = Path(name).expanduser()
    if path.is_dir():
        raise ModelError(f"{name}: a folder; give a weight file (.safetensors or .pth) in it")
    if not path.exists():
        raise ModelError(f"{name}: no weight file and no model; known models are {', '.join(names())}")
    return Resolved(name=path.stem, entry=None, path=path, scale=None)


def choose(name: str, device: str) -> tuple[str, str]:
    """What `auto` means on a kind of device, and why; any other name as it is, for no reason."""
    return _AUTO_FAMILIES[device] if name == AUTO else (name, "")


def names() -> tuple[str, ...]:
    """All names that `resolve` knows, those of families first."""
    return (AUTO, *FAMILY_NAMES, *MODELS)


def _member(name: str, scale: Fraction | None) -> str:
    """The member of a family for a scale; any other name as it is."""
    members = FAMILY_NAMES.get(choose(name, "cpu")[0])
    if members is None:
        return name
    return next((m for m in members if (MODELS[m].scale or 0) >= (scale or 0)), members[-1])


def _checked(scale: Fraction) -> Fraction:
    if not 0 < scale <= MAX_SCALE:
        raise ConfigError(f"scale {float(scale):g} is impossible; use more than 0 and at most {MAX_SCALE}")
    return scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a .safetensors file says before its numbers."""

    metadata: Mapping[str, str]
    parameters: int
    """Numbers in all tensors."""
    file_bytes: int


def read_header(path: Path) -> Header:
    """Read the header of a file of ours, for a list; the checks that a stranger's file needs are `load.py`'s.

    Raises:
        ModelError: the file is missing or no .safetensors.
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
