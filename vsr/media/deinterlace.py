"""Interlaced pictures through FFmpeg's bwdif: one picture out for one in, progressive ones untouched."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import av
import av.filter
from av import VideoFrame

from vsr.frame import Stamp

Stamped = tuple[VideoFrame, Stamp]


class Deinterlacer:
    """Starts with the first interlaced picture; before that, pictures pass as they are.

    bwdif looks one picture ahead, so pictures come out one late, and `drain` gives the last. It doubles the
    time base on its way; stamps therefore wait in a queue beside it and are never touched.
    """

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._stamps: deque[Stamp] = deque()

    @property
    def running(self) -> bool:
        """Whether an interlaced picture was seen."""
        return self._graph is not None

    def push(self, frame: VideoFrame, stamp: Stamp) -> Iterator[Stamped]:
        """Take a picture; all pictures must have one size and format. Gives what is ready."""
        if self._graph is None:
            if not frame.interlaced_frame:
                yield frame, stamp
                return
            self._graph = _graph_for(frame)
        self._stamps.append(stamp)
        frame.pts = stamp.index  # strictly increasing is all that bwdif needs
        self._graph.vpush(frame)
        yield from self._ready(self._graph)

    def drain(self) -> Iterator[Stamped]:
        """The pictures still inside; the end."""
        if self._graph is not None and self._stamps:
            self._graph.vpush(None)
            yield from self._ready(self._graph)
        assert not self._stamps, "bwdif in send_frame mode gives one picture for each"

    def _ready(self, graph: av.filter.Graph) -> Iterator[Stamped]:
        while self._stamps:
            try:
                frame = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield frame, self._stamps.popleft()


def _graph_for(frame: VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.threads = 1  # the cores belong to the network and the encoder
    source = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000"
        f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}",
    )
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
    return graph
