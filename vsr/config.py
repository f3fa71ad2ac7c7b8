"""Settings as frozen dataclasses, and the strict reader of TOML files: an unknown key is an error.

Nothing here knows how a setting is carried out; a field says what it means and in which unit.
"""

from __future__ import annotations

import re
import reprlib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

from vsr.color.spec import UNTAGGED, ColorSpec
from vsr.errors import ConfigError
from vsr.reading import read_file

Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Backend = Literal["auto", "torch", "winograd", "openvino", "amx", "cuda"]
Deinterlace = Literal["auto", "off", "top-first", "bottom-first"]
Hwaccel = Literal["none", "auto", "cuda"]
PipeFormat = Literal["y4m", "nut"]
T = TypeVar("T")

MAX_TOML_BYTES = 2**20
"""Of a pipeline or a recipe; the longest of ours has 4 kB."""


_BOUNDS: tuple[tuple[str, int, int], ...] = (
    ("width", 1, 2**20),
    ("height", 1, 2**20),
    ("tile", 0, 2**20),
    ("batch", 1, 2**16),
    ("max_pixels", 1, 2**31 - 1),  # FFmpeg's own limit
    ("start", -(10**9), 10**9),
    ("end", -(10**9), 10**9),
    ("segment_seconds", 0, 10**9),
)
_ENCODER_BOUNDS = (("threads", 0, 1024),)


def _check_bounds(settings: Any, bounds: tuple[tuple[str, int, int], ...]) -> None:
    """Refuse numbers that are beyond all sense, and beyond what libraries can count.

    Raises:
        ConfigError: one is.
    """
    for name, least, most in bounds:
        value = getattr(settings, name)
        if value is not None and not least <= value <= most:  # NaN is in no range
            shown = f"{float(value):g}" if isinstance(value, Fraction) else reprlib.repr(value)
            raise ConfigError(
                f"{name} {shown} is impossible; use {least} or more, {most} at most, or leave it out"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """How the picture is written; None leaves a choice to the encoder's line in
    `media/encode/encoder_table.py`."""

    encoder: str | None = None
    """A key of `media.encode.encoder_table.ENCODERS`; None is libx264, or in WebM what that holds."""
    crf: float | None = None
    """Constant quality in the encoder's own units; lower is better and larger."""
    preset: str | None = None
    """Speed against size, in the encoder's own words."""
    options: tuple[tuple[str, str], ...] = ()
    """Further options of the encoder, as FFmpeg names them."""
    pixel_format: str | None = None
    """FFmpeg's name; None keeps the source's depth and subsampling."""
    threads: int = 0
    """Encoder threads; 0 leaves it to the encoder."""
    allow_files: bool = False
    """Whether options may name files for the encoder to write or read; no pipeline file can say so."""

    def __post_init__(self) -> None:
        _check_bounds(self, _ENCODER_BOUNDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleSettings:
    """All that decides the result of one `vsr upscale`, and how it is computed."""

    model: str = "auto"
    """Name in the catalog or path of a weight file."""
    scale: Fraction | None = None
    """Output size over input size; None takes the model's own scale (or follows from the size)."""
    width: int | None = None
    """Of the output in pixels; set together with `height`, or neither."""
    height: int | None = None
    """Of the output in pixels; alone, it keeps the picture's proportions."""
    strength: float | None = None
    """From 0, faithful, to 1, crisp: mixes the weights of a pair of models. None takes the model as it is."""
    partner: str | None = None
    """Name or weight file of the faithful end for a model that is not shipped; None takes the catalog's."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, ..."""
    precision: Precision = "auto"
    backend: Backend = "auto"
    """What runs the generator; what `auto` takes stands in `engine.backends.select.choose`."""
    hwaccel: Hwaccel = "none"
    """Whether an NVIDIA card decodes: `auto` where it gives software's pictures, `cuda` insists."""
    tile: int | None = None
    """Side of a tile in LR pixels; None decides by memory, 0 forces the whole frame."""
    batch: int | None = None
    """Frames that go through the generator at once; None decides by memory and device."""
    encoder: EncoderSettings = EncoderSettings()
    format: PipeFormat | None = None
    """Of a result that goes to standard output; None takes that of the input where it is one of the two, else
    NUT."""
    filters_before: tuple[str, ...] = ()
    """FFmpeg's filters for the source's pictures, in turn: `name=arguments`, of
    `media.filters.filters.FILTERS`."""
    filters_after: tuple[str, ...] = ()
    """The same for the result's pictures, before they are encoded."""
    color: ColorSpec = UNTAGGED
    """Tags that hold whatever the source says of itself, or cannot say (NUT has none)."""
    deinterlace: Deinterlace = "auto"
    start: Fraction | None = None
    """Seconds from the start of the picture; earlier pictures are left out."""
    end: Fraction | None = None
    """Seconds from the start of the picture; this and later pictures are left out."""
    video_stream: int | None = None
    """Index of the video stream among all streams; None takes FFmpeg's choice."""
    reuse: bool = True
    """Compute once what repeats: pictures and, on the processor, parts of them; the result is the same."""
    max_pixels: int | None = None
    """Larger pictures are refused, as they may be bombs; None takes `media.files.opening.MAX_PIXELS`."""
    strict: bool = False
    """Stop at the first damage instead of going on and counting."""
    resume: bool = True
    """Keep finished parts of a run that is cut off, in a hidden folder beside the output; go on with them."""
    restart: bool = False
    """Begin anew where an earlier run was cut off."""
    segment_seconds: Fraction = Fraction(10)
    """Length of a part: what is computed again after a run was cut off, at most."""

    def __post_init__(self) -> None:
        _check_bounds(self, _BOUNDS)


def read_toml(path: Path, kind: type[T]) -> T:
    """Read a TOML file into a frozen dataclass; tables become nested dataclasses.

    Raises:
        ConfigError: the file cannot be read, or a key is unknown or of the wrong type.
    """
    return from_table(read_table(path), kind, where=path.name)


def read_table(path: Path) -> dict[str, Any]:
    """Read a TOML file as it is.

    Raises:
        ConfigError: it is no regular file, too large, or no TOML.
    """
    try:
        return tomllib.loads(read_file(path, most_bytes=MAX_TOML_BYTES).decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); give a TOML file") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: cannot be read as TOML (nested too deeply)") from error
    except ValueError as error:  # tomllib's own error, or that the text is not UTF-8
        raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error


def from_table(table: Mapping[str, Any], kind: type[T], *, where: str) -> T:
    """Build `kind` from a mapping, refusing unknown keys; `where` starts the error message."""
    assert is_dataclass(kind)
    hints = typing.get_type_hints(kind)
    known = {f.name for f in fields(kind)}
    for key in table:
        if key not in known:
            raise ConfigError(
                f"{where}: unknown key {reprlib.repr(key)}; known keys are {', '.join(sorted(known))}"
            )
    values = {key: _value(value, hints[key], where=f"{where}.{key}") for key, value in table.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _value(value: Any, hint: Any, *, where: str) -> Any:
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    for option in options:
        made = _as(value, option, where=where)
        if made is not _NO:
            return made
    raise ConfigError(f"{where}: {reprlib.repr(value)} is not {_words(hint)}")


_NO: Any = object()


def _as(value: Any, hint: Any, *, where: str) -> Any:
    """`value` as `hint`, or `_NO`."""
    origin = typing.get_origin(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return from_table(value, hint, where=where) if isinstance(value, Mapping) else _NO
    if origin is Literal:
        return value if value in typing.get_args(hint) else _NO
    if origin is tuple:
        return _as_tuple(value, typing.get_args(hint), where=where)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return _as_member(value, hint)
    if hint is Fraction:
        return _as_fraction(value)
    if hint is float:
        return _as_float(value)
    if hint is int:
        return value if isinstance(value, int) and not isinstance(value, bool) else _NO
    return value if isinstance(hint, type) and isinstance(value, hint) else _NO


def _as_float(value: Any) -> Any:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return _NO
    try:
        return float(value)
    except OverflowError:
        return _NO


def _as_tuple(value: Any, parts: tuple[Any, ...], *, where: str) -> Any:
    if isinstance(value, Mapping):  # a table for pairs: options = {tune = "animation"}
        text = typing.get_args(parts[0])[-1:] == (str,)
        value = [[key, str(item) if text else item] for key, item in value.items()]
    if not isinstance(value, list):
        return _NO
    if len(parts) == 2 and parts[1] is Ellipsis:
        return tuple(_value(item, parts[0], where=f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(parts):
        return _NO
    return tuple(
        _value(v, p, where=f"{where}[{i}]") for i, (v, p) in enumerate(zip(value, parts, strict=True))
    )


def _as_member(value: Any, kind: type[IntEnum]) -> Any:
    """A member by its name, in any case, or by its number."""
    if isinstance(value, str) and value.upper() in kind.__members__:
        return kind[value.upper()]
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    known = isinstance(number, int) and not isinstance(number, bool) and number in set(kind)
    return kind(number) if known else _NO


def _as_fraction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _NO
    found = as_fraction(str(value))
    return _NO if found is None else found


_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})(e[+-]?\d{1,2})?|[+-]?\d{1,30}/\d{1,30}", re.I)


def as_fraction(text: str) -> Fraction | None:
    """`2`, `1.5`, `1e-3` or `3/2`, exactly; None for what is no number or too long to be meant."""
    text = text.strip()
    if _NUMBER.fullmatch(text) is None:
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):  # digits of other scripts; a half of nothing
        return None


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _words(hint: Any) -> str:
    options = [o for o in (typing.get_args(hint) if _is_union(hint) else (hint,)) if o is not type(None)]
    words = []
    for option in options:
        if typing.get_origin(option) is Literal:
            words.append("one of " + ", ".join(map(str, typing.get_args(option))))
        elif isinstance(option, type) and issubclass(option, IntEnum):
            words.append("one of " + ", ".join(name.lower() for name in option.__members__))
        else:
            words.append(getattr(option, "__name__", str(option)))
    return " or ".join(words)
