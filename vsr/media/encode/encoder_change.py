"""Which settings of one encoder mean the same for another: a flag may replace the encoder of a preset."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from vsr.media.encode.encoder_table import ENCODERS, USUAL, EncoderSpec
from vsr.settings.schema import EncoderSettings


def kept_for(before: EncoderSettings, encoder: str) -> EncoderSettings:
    """Return the settings for another encoder, with what means the same for both.

    A CRF means the same where both encoders take it by the same option and in the same range, a preset where
    both have the same presets. A pixel format is kept if the other encoder supports it, and threads always
    are. Further options belong to one encoder.

    Args:
        before: Settings for the encoder that they name, or for the default one.
        encoder: FFmpeg's name of the other encoder; it may be unknown, which is refused later.
    """
    old, new = ENCODERS.get(before.encoder or USUAL[0]), ENCODERS.get(encoder)
    made = EncoderSettings(encoder=encoder, threads=before.threads)
    if old is None or new is None:
        return made
    has_format = before.pixel_format in new.pixel_formats
    return replace(
        made,
        crf=before.crf if _quality(old) == _quality(new) else None,
        preset=before.preset if _presets(old) == _presets(new) else None,
        pixel_format=before.pixel_format if has_format else None,
    )


def left_out(before: EncoderSettings, after: EncoderSettings, given: Collection[str]) -> tuple[str, ...]:
    """Return a sentence that names the settings of an encoder that the change to another one left out.

    Args:
        before: The settings with the first encoder.
        after: The settings with the second.
        given: Names of the settings that were given together with the second encoder.
    """
    names = [name for name in ("crf", "preset", "pixel_format") if name not in given]
    lost = [
        f"{name} {_shown(getattr(before, name))}"
        for name in names
        if getattr(before, name) is not None and getattr(after, name) is None
    ]
    lost += [f"{key}={value}" for key, value in before.options if key not in dict(after.options)]
    if not lost or after.encoder in (before.encoder, None):
        return ()
    return (
        f"{after.encoder} replaces {before.encoder or USUAL[0]}, whose settings mean something else to it:"
        f" {', '.join(lost)} left out",
    )


def default_for(before: EncoderSettings, given: Collection[str]) -> EncoderSettings:
    """Return the settings for the default encoder of a container that does not support the present one.

    Args:
        before: The settings with the encoder that the container does not support.
        given: Names of the settings that were not set together with that encoder; they stay.
    """
    kept = {name: getattr(before, name) for name in (*given, "threads", "allow_files") if name != "encoder"}
    return EncoderSettings(**kept)


def is_lossy(encoder: str) -> bool:
    """Return whether another lossy encoder can take the place of this one: it has a constant quality."""
    return encoder in ENCODERS and ENCODERS[encoder].quality is not None


def _quality(spec: EncoderSpec) -> tuple[object, ...]:
    found = spec.quality
    return () if found is None else (found.option, found.best, found.worst, found.also)


def _presets(spec: EncoderSpec) -> tuple[object, ...]:
    return () if spec.preset is None else (spec.preset.option, spec.preset.choices)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
