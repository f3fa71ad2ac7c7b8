"""Chooses the encoder of a container where the user names none."""

from __future__ import annotations

from vsr.color.spec import PixelLayout, Transfer
from vsr.frame import VideoInfo
from vsr.media.encode.encoder_table import ENCODERS, IN_WEBM, USUAL
from vsr.media.encode.encoder_trial import why_not
from vsr.media.formats.containers import Container
from vsr.media.pixels.layouts import layout_of
from vsr.media.pixels.pixel_formats import loss, losses, nearest

_HDR = (Transfer.PQ, Transfer.HLG)
_HDR_BITS = 10


def usual(container: Container, info: VideoInfo) -> tuple[str, tuple[str, ...]]:
    """Return the default encoder, and a sentence if it is not the container's first one.

    In WebM that is VP9, which all browsers play. The libvpx in PyAV's wheels has 8 bits only, so AV1 takes
    its place where that keeps more of a source.

    Args:
        container: Container of the output.
        info: The source's video stream.
    """
    names = IN_WEBM if container.muxer == "webm" else USUAL
    here = [name for name in names if container.muxer in ENCODERS[name].muxers and why_not(name) is None]
    if container.muxer != "webm" or len(here) < 2:
        return next(iter(here), names[0]), ()
    first, best = here[0], min(here, key=lambda name: _loss(info, _layout(name, info)))
    if best == first:
        return first, ()
    lost = ", ".join(losses(info.layout, _layout(first, info)))
    return best, (f"{best} is used, because {first} would lose {lost}",)


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
