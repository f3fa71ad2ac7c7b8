"""Chooses the encoder of a container where the user names none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vsr.color.spec import PixelLayout, Transfer
from vsr.frame import VideoInfo
from vsr.media.encode.encoder_table import ENCODERS, IN_WEBM, USUAL
from vsr.media.encode.encoder_trial import why_not
from vsr.media.formats.containers import Container
from vsr.media.pixels.layouts import layout_of
from vsr.media.pixels.pixel_formats import loss, losses, nearest
from vsr.settings.schema import EncoderSettings

_HDR = (Transfer.PQ, Transfer.HLG)
_HDR_BITS = 10


def usual(
    container: Container, info: VideoInfo, asked: EncoderSettings
) -> tuple[EncoderSettings, tuple[str, ...]]:
    """Return the settings with the default encoder, and a sentence for each thing that is replaced.

    In WebM that is VP9, which all browsers play. The libvpx in PyAV's wheels has 8 bits only, so AV1 takes
    its place where that keeps more of a source, or where only AV1 has the pixel format or the preset that was
    asked for. A preset of x264, the default encoder elsewhere, is replaced by the default of the encoder, and
    a CRF that only VP9 has by the nearest one.

    Args:
        container: Container of the output.
        info: The source's video stream.
        asked: The user's settings, without an encoder.
    """
    names = usual_in(container)
    here = [name for name in names if why_not(name) is None] or list(names[:1] or USUAL[:1])
    if container.muxer != "webm":
        return replace(asked, encoder=here[0]), ()
    name, why = _in_webm(here, info, asked)
    chosen, left_out = _with_own_preset(name, asked)
    chosen, replaced = _with_own_quality(name, chosen)
    return chosen, (*why, *left_out, *replaced)


def usual_in(container: Container) -> tuple[str, ...]:
    """Return the default encoders of a container in order; this machine may lack some."""
    names = IN_WEBM if container.muxer == "webm" else USUAL
    return tuple(name for name in names if container.muxer in ENCODERS[name].muxers)


def _in_webm(here: Sequence[str], info: VideoInfo, asked: EncoderSettings) -> tuple[str, tuple[str, ...]]:
    """Return the encoder for WebM, and a sentence if it is not the first one."""
    first = here[0]
    fitting = [name for name in here if asked.pixel_format in (None, *ENCODERS[name].pixel_formats)]
    if not fitting:
        return first, ()  # refused later, with the formats that it has

    def lost(name: str) -> tuple[int, ...]:
        return () if asked.pixel_format else _loss(info, _layout(name, info))

    best = min(fitting, key=lambda name: (lost(name), not _has_preset(name, asked.preset)))
    if best == first:
        return first, ()
    if first not in fitting:
        why = f"has no {asked.pixel_format}"
    elif lost(best) < lost(first):
        why = f"would lose {', '.join(losses(info.layout, _layout(first, info)))}"
    else:
        why = f"has no preset {asked.preset}"
    return best, (f"{best} is used, because {first} {why}",)


def _with_own_preset(name: str, asked: EncoderSettings) -> tuple[EncoderSettings, tuple[str, ...]]:
    """Return the settings with the encoder, and without a preset that only x264 has."""
    own, of_x264 = ENCODERS[name].preset, ENCODERS[USUAL[0]].preset
    chosen = replace(asked, encoder=name)
    if _has_preset(name, asked.preset) or of_x264 is None or asked.preset not in of_x264.choices:
        return chosen, ()
    instead = f"; its default, {own.default}, is used" if own else ""
    return replace(chosen, preset=None), (f"{name} has no preset {asked.preset}{instead}",)


def _with_own_quality(name: str, asked: EncoderSettings) -> tuple[EncoderSettings, tuple[str, ...]]:
    """Return the settings with the nearest CRF of the encoder for one that only WebM's first encoder has."""
    own, first, crf = ENCODERS[name].quality, ENCODERS[IN_WEBM[0]].quality, asked.crf
    if crf is None or own is None or first is None or not first.best <= crf <= first.worst:
        return asked, ()  # what neither has is refused later
    nearest_crf = min(max(crf, own.best), own.worst)
    if nearest_crf == crf:
        return asked, ()
    return replace(asked, crf=nearest_crf), (f"{name} has no CRF {crf:g}; {nearest_crf:g} is used",)


def _has_preset(name: str, preset: str | None) -> bool:
    own = ENCODERS[name].preset
    return preset is None or (own is not None and preset in own.choices)


def _layout(name: str, info: VideoInfo) -> PixelLayout:
    """Return the layout that an encoder stores of a source."""
    formats = ENCODERS[name].pixel_formats
    best = nearest(info.layout, formats, layout_of, width=info.width, height=info.height, even=False)
    assert best is not None  # every size fits if it need not be even
    return layout_of(best)


def _loss(info: VideoInfo, given: PixelLayout) -> tuple[int, ...]:
    """Return how much is lost; HDR in fewer than 10 bits, which is refused, is worst."""
    flat = info.color.transfer in _HDR and given.bit_depth < _HDR_BITS <= info.layout.bit_depth
    return (int(flat), *loss(info.layout, given))
