"""Chains of FFmpeg's filters before and after the generator.

A filter is written as in FFmpeg, `name=arguments`. A filter that cannot take a frame's pixel format is
refused, because FFmpeg would convert the frame without a message, for example from 10 bits to 8.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import av.filter
from av import VideoFrame
from av.filter import filters_available

from vsr.color.spec import PixelLayout
from vsr.errors import ConfigError
from vsr.frame import Stamp, VideoInfo, YuvFrame
from vsr.media.files.option_safety import check_expression
from vsr.media.metadata.tags import buffer_arguments
from vsr.media.pixels.layouts import layout_of, planar_format
from vsr.media.pixels.pixel_formats import losses
from vsr.media.pixels.planes import repacked, to_av_frame, to_planes

Stamped = tuple[VideoFrame, Stamp]

FILTERS: dict[str, str] = {
    "atadenoise": "denoise over time",
    "bilateral": "smooth, edges kept",
    "bm3d": "denoise, slow and good",
    "cas": "sharpen by contrast",
    "chromanr": "denoise colour",
    "crop": "cut borders off",
    "deband": "remove steps in slopes",
    "deblock": "remove block edges",
    "deflicker": "even out brightness over time",
    "fftdnoiz": "denoise",
    "fillborders": "repair dirty border pixels",
    "gblur": "blur",
    "gradfun": "remove steps in slopes, 8 bits",
    "hqdn3d": "denoise over time, quick",
    "median": "remove specks",
    "nlmeans": "denoise, slow, 8 bits",
    "owdenoise": "denoise by wavelets",
    "removegrain": "remove specks, 8 bits",
    "unsharp": "sharpen or blur",
    "vaguedenoiser": "denoise by wavelets",
}
"""The allowed filters with their purpose. Each returns one frame for each frame, and none reads a file. LGPL
builds of FFmpeg lack some of them."""
_WITH_MEMORY = frozenset({"atadenoise", "deflicker", "fftdnoiz", "hqdn3d"})
"""Filters that also use other frames. After the generator, their output would differ in a resumed run."""
_BEFORE_ONLY = _WITH_MEMORY | {"crop"}
_RUN_UPS = {"atadenoise": 129, "deflicker": 129, "fftdnoiz": 2}
"""The number of earlier frames that decide a frame, at most: the largest windows that FFmpeg allows."""
_COUNTS = re.compile(r"\b(n|t|pos|enable)\b")
"""Variables of FFmpeg's expressions that depend on where a filter began."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter with its arguments."""

    name: str
    arguments: str
    """In FFmpeg's syntax, such as `luma_amount=0.5:chroma_amount=0`; may be empty."""


def parse(words: Sequence[str], *, where: str) -> list[Filter]:
    """Parse filters such as `["crop=640:460", "unsharp"]`; "filters_after" allows only those that use one
    frame.

    Args:
        words: One filter each, as `name=arguments`.
        where: The setting, "filters_before" or "filters_after"; also used in messages.

    Raises:
        ConfigError: a filter is unknown, missing in this build of FFmpeg, or not allowed there.
    """
    found = [Filter(name, arguments) for name, _, arguments in (word.partition("=") for word in words)]
    for one in found:
        if one.name not in FILTERS:
            raise ConfigError(f"`{where}`: filter {one.name!r} is not allowed; use {', '.join(available())}")
        if one.name not in filters_available:
            raise ConfigError(
                f"`{where}`: this build of FFmpeg has no filter {one.name!r}; it has {', '.join(available())}"
            )
        check_expression(one.arguments, where=f"`{where}`: {one.name}")
        if where == "filters_after" and one.name in _BEFORE_ONLY:
            raise ConfigError(f"`{where}`: {one.name!r} is allowed in `filters_before` only; move it there")
    return found


def available() -> list[str]:
    """Return the allowed filters that this build of FFmpeg has."""
    return [name for name in FILTERS if name in filters_available]


def run_up_of(filters: Sequence[Filter]) -> int | None:
    """Return how many earlier frames decide a filtered frame; None if all do."""
    if any(one.name == "hqdn3d" or _COUNTS.search(one.arguments) for one in filters):
        return None
    return sum(_RUN_UPS.get(one.name, 0) for one in filters)


class FilterGraph:
    """Passes frames of one size and format through filters in turn, which may return more or fewer."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._filters = filters
        self._graph: av.filter.Graph | None = None

    def push(self, frame: VideoFrame, time: int) -> Iterator[VideoFrame]:
        """Take a frame with its time, and yield those that are ready.

        Raises:
            ValueError, av.FFmpegError: a filter refuses its arguments or the frame.
        """
        if self._graph is None:
            self._graph = _graph_for(frame, self._filters)
        frame.pts = time
        self._graph.vpush(frame)
        yield from _ready(self._graph)

    def drain(self) -> Iterator[VideoFrame]:
        """Yield the remaining frames at the end of the stream."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from _ready(self._graph)


def _ready(graph: av.filter.Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


class FilterChain:
    """Passes frames of one size and format through filters in turn. Their stamps do not pass through
    FFmpeg.
    """

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._graph = FilterGraph(filters)
        self._stamps: deque[Stamp] = deque()

    def push(self, frame: VideoFrame, stamp: Stamp) -> Iterator[Stamped]:
        """Take a frame, and yield those that are ready.

        Raises:
            ValueError, av.FFmpegError: a filter refuses its arguments or the frame.
        """
        self._stamps.append(stamp)
        for made in self._graph.push(frame, stamp.index):  # filters only need increasing times
            yield made, self._stamps.popleft()

    def drain(self) -> Iterator[Stamped]:
        """Yield the remaining frames at the end of the stream."""
        if self._stamps:
            for made in self._graph.drain():
                yield made, self._stamps.popleft()
        assert not self._stamps, "a filter returned fewer frames than it took"


def _graph_for(frame: VideoFrame, filters: Sequence[Filter]) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.threads = 1  # the cores belong to the network and the encoder
    source = graph.add("buffer", buffer_arguments(frame))
    nodes = [graph.add(one.name, one.arguments or None) for one in filters]
    graph.link_nodes(source, *nodes, graph.add("buffersink")).configure()
    return graph


def filtered_info(info: VideoInfo, filters: Sequence[Filter], *, where: str) -> VideoInfo:
    """Return the `VideoInfo` of frames after the filters. Only their size may differ.

    Raises:
        ConfigError: a filter refuses its arguments, or cannot take such frames without loss.
    """
    for one in filters:
        made = _tried(one, info.layout, info.width, info.height, where=where)
        if (made.width, made.height) != (
            info.width,
            info.height,
        ):  # positions in the frame are no longer valid
            info = replace(info, width=made.width, height=made.height, crop=None, spherical=None)
    return info


class FiltersAfter:
    """Applies filters to the generator's output frames. An object must be used by one thread only."""

    def __init__(self, filters: Sequence[Filter], layout: PixelLayout, *, height: int, width: int) -> None:
        """Test the filters on a black frame.

        Args:
            filters: If empty, frames are returned unchanged.
            layout: Pixel layout of the frames.
            height: Height of the frames in pixels.
            width: Width of the frames in pixels.

        Raises:
            ConfigError: a filter refuses its arguments or such frames, or changes their size.
        """
        for one in filters:
            made = _tried(one, layout, width, height, where="filters_after")
            if (made.width, made.height) != (width, height):
                raise ConfigError(
                    f"`filters_after`: {one.name!r} changes the size; move it to `filters_before`"
                )
        self._chain = FilterChain(filters) if filters else None

    def __call__(self, frame: YuvFrame) -> YuvFrame:
        """Return the filtered frame, in host memory."""
        if self._chain is None:
            return frame
        unfiltered = to_av_frame(frame, planar_format(frame.layout))
        ((made, _),) = self._chain.push(unfiltered, frame.stamp)
        planes, alpha = to_planes(repacked(made, frame.layout))
        return replace(frame, planes=planes, alpha=alpha)


def _tried(one: Filter, layout: PixelLayout, width: int, height: int, *, where: str) -> VideoFrame:
    """Return a black frame after one filter."""
    frame = VideoFrame(width, height, planar_format(layout))
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    chain = FilterChain([one])
    stamp = Stamp(index=0, pts=0, duration=0, time_base=Fraction(1))
    try:
        ((made, _),) = [*chain.push(frame, stamp), *chain.drain()]
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"`{where}`: {one.name!r} refuses {one.arguments!r} for {width}x{height} ({reason}); see "
            "FFmpeg's manual of filters"
        ) from error
    lost = losses(layout, layout_of(made.format.name))
    if lost:
        raise ConfigError(
            f"`{where}`: {one.name!r} cannot keep {', '.join(lost)}; leave it out, or use one that can"
        )
    return made
