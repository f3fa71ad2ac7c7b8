"""A test host for the element, run with the system's Python: gives it one frame at a time.

    python3 live_host_for_tests.py live COUNT PROPERTIES       # a camera that shows the same image python3
    live_host_for_tests.py segment COUNT PROPERTIES    # a segment of COUNT frames, without an end of stream

JSON on standard output has the number of frames that had arrived when
the last was given, or before SEGMENT_DONE.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst

CAPS = "video/x-raw,format=I420,width=64,height=48,framerate=25/1"
FRAME = 64 * 48 * 3 // 2
PATIENCE = 60
"""Seconds; only a failing test waits that long."""


class Counter:
    """Counts the buffers that pass a pad."""

    def __init__(self, pad: Any) -> None:
        self.came, self._changed = 0, threading.Condition()
        self.before_done = -1
        """Number of buffers that had passed at the end of a segment."""
        pad.add_probe(Gst.PadProbeType.BUFFER, self._buffer)
        pad.add_probe(Gst.PadProbeType.EVENT_FLUSH | Gst.PadProbeType.EVENT_DOWNSTREAM, self._event)

    def reaches(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.came >= count, PATIENCE)

    def _buffer(self, *_: Any) -> Any:
        with self._changed:
            self.came += 1
            self._changed.notify()
        return Gst.PadProbeReturn.OK

    def segment_is_done(self) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.before_done >= 0, PATIENCE)

    def _event(self, _pad: Any, info: Any) -> Any:
        with self._changed:
            if info.get_event().type == Gst.EventType.FLUSH_STOP:
                self.came = 0
            if info.get_event().type == Gst.EventType.SEGMENT_DONE:
                self.before_done = self.came
                self._changed.notify()
        return Gst.PadProbeReturn.OK


def live(pipeline: Any, counter: Counter, count: int) -> int:
    """Give frames, and wait for each result before the next; return the number of results."""
    pipeline.set_state(Gst.State.PLAYING)
    source = pipeline.get_by_name("in")
    for number in range(count):
        buffer = Gst.Buffer.new_wrapped(bytes([100]) * FRAME)
        buffer.pts, buffer.duration = number * Gst.SECOND // 25, Gst.SECOND // 25
        source.emit("push-buffer", buffer)
        if not counter.reaches(number + 1):
            break
    return counter.came


def segment(pipeline: Any, counter: Counter, count: int) -> int:
    """Play a segment of `count` frames; return the number of results
    before its end, after which none comes."""
    pipeline.set_state(Gst.State.PAUSED)
    ready = Gst.MessageType.ASYNC_DONE | Gst.MessageType.ERROR
    pipeline.get_bus().timed_pop_filtered(PATIENCE * Gst.SECOND, ready)
    flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.SEGMENT
    stop = count * Gst.SECOND // 25
    pipeline.seek(1.0, Gst.Format.TIME, flags, Gst.SeekType.SET, 0, Gst.SeekType.SET, stop)
    pipeline.set_state(Gst.State.PLAYING)
    counter.segment_is_done()
    return counter.before_done


SOURCES = {
    "live": f"appsrc name=in is-live=true format=time caps={CAPS}",
    "segment": f"videotestsrc pattern=snow ! {CAPS}",
}


def main(kind: str, count: str, properties: str) -> None:
    """Run a test and print its result."""
    Gst.init(None)
    words = f"{SOURCES[kind]} ! vsrupscale {properties} ! fakesink name=out sync=false"
    pipeline = Gst.parse_launch(words)
    counter = Counter(pipeline.get_by_name("out").get_static_pad("sink"))
    came = (live if kind == "live" else segment)(pipeline, counter, int(count))
    pipeline.set_state(Gst.State.NULL)
    json.dump({"came": came}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
