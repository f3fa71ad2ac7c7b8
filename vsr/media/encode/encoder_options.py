"""The options of an encoder: its defaults, the quality and the preset, and what the user sets directly."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from itertools import chain

import av

from vsr.color.spec import PixelLayout
from vsr.errors import ConfigError
from vsr.media.encode.encoder_table import EncoderSpec, Preset, Quality
from vsr.media.files.option_safety import check_option
from vsr.settings import presets
from vsr.settings.schema import EncoderSettings


def options_of(
    name: str,
    spec: EncoderSpec,
    settings: EncoderSettings,
    layout: PixelLayout,
    more: Iterable[Mapping[str, str]],
) -> dict[str, str]:
    """Return defaults, quality and preset, overridden by the user's options; sub-options are joined."""
    options = dict(spec.options)
    options |= quality_options(name, spec.quality, settings.crf) | preset_options(
        name, spec.preset, settings.preset, layout
    )
    for key, value in chain.from_iterable(table.items() for table in more):
        options[key] = _join(options.get(key), value)
    known = option_names(name) if settings.options else frozenset()
    for key, value in settings.options:
        if key not in known:
            raise ConfigError(f"{name} has no option {key!r}{_near(key, known)}")
        options[key] = _join(options.get(key), value) if key.endswith("-params") else value
    for key, _ in settings.options:  # joined, as a quote may begin in one value and end in the next
        check_option(name, key, options[key], allow_files=settings.allow_files)
    return options


def quality_options(name: str, quality: Quality | None, crf: float | None) -> dict[str, str]:
    """Return the options for a constant quality.

    Raises:
        ConfigError: the encoder has none, or the value is out of its range.
    """
    if quality is None:
        if crf is not None:
            raise ConfigError(f"{name} has no constant quality; leave out `crf={crf:g}`")
        return {}
    value = quality.default if crf is None else crf
    if not quality.best <= value <= quality.worst:
        raise ConfigError(
            f"`crf={value:g}` is out of range for {name}: {quality.best:g} (best) to {quality.worst:g}"
        )
    return quality.options(value)


def preset_options(
    name: str, preset: Preset | None, asked: str | None, layout: PixelLayout
) -> dict[str, str]:
    """Return the option for a preset; that of ProRes follows the layout unless it is named.

    Raises:
        ConfigError: the encoder does not have the preset.
    """
    if preset is None:
        if asked is not None:
            raise ConfigError(f"{name} has no presets; leave out `preset={asked!r}`")
        return {}
    value = preset.default if asked is None else asked
    if value not in preset.choices:
        kind = f"; `pipeline={value!r}` is the one for a kind of video" if value in presets.names() else ""
        raise ConfigError(f"{name} has no `preset={value!r}`; it has {', '.join(preset.choices)}{kind}")
    if name == "prores_ks" and value == "auto":
        value = "4444" if layout.chroma_shift == (0, 0) else "hq"
    return {preset.option: value}


def crf_of(spec: EncoderSpec, settings: EncoderSettings) -> float | None:
    """Return the quality as `crf` states it; None if there is none, or the user sets its option directly."""
    if spec.quality is None or {spec.quality.option, *spec.quality.also} & dict(settings.options).keys():
        return None
    return spec.quality.default if settings.crf is None else settings.crf


def preset_of(spec: EncoderSpec, settings: EncoderSettings) -> str | None:
    """Return the name of the preset; None if there is none, or the user sets its option directly."""
    if spec.preset is None or spec.preset.option in dict(settings.options):
        return None
    return settings.preset or spec.preset.default


def has_avx512() -> bool:
    """Return whether the CPU has AVX-512."""
    import torch  # imported late: listing the encoders does not need torch

    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def option_names(name: str) -> frozenset[str]:
    """Return all options of encoder `name` in this FFmpeg, its own and the general ones."""
    options = av.CodecContext.create(name, "w").supported_options
    return frozenset(option.name for option in (*options.generic, *options.private))


def _join(before: str | None, more: str) -> str:
    """Join sub-options in FFmpeg's syntax; later ones override earlier ones."""
    return f"{before}:{more}" if before else more


def _near(key: str, known: frozenset[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else "; see the encoder's manual for its options"
