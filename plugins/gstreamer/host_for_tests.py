"""A test host for the element, run with the system's Python: plays a pipeline and reports its output.

    python3 host_for_tests.py PIPELINE DATA [SEEK_NS]

PIPELINE has an element `vsrupscale name=vsr` and a sink `name=out`. Frames that reach the sink are appended
to the file DATA. JSON on standard output has their times, the input of the element, caps, errors, and
remaining child processes. With SEEK_NS, the host seeks to that time, flushing, after the first frame.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import IO, Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst


def watch(pad: Any, times: list[list[int]], caps: list[str], data: IO[bytes] | None = None) -> None:
    """Record the times and caps of everything that passes a pad."""

    def buffer(pad: Any, info: Any) -> Any:
        one = info.get_buffer()
        times.append([one.pts, one.duration])
        told = pad.get_current_caps().to_string()
        if told not in caps[-1:]:
            caps.append(told)
        if data is not None:
            data.write(one.extract_dup(0, one.get_size()))
        return Gst.PadProbeReturn.OK

    def flush(_pad: Any, info: Any) -> Any:
        if info.get_event().type == Gst.EventType.FLUSH_STOP:
            times.clear()
        return Gst.PadProbeReturn.OK

    pad.add_probe(Gst.PadProbeType.BUFFER, buffer)
    pad.add_probe(Gst.PadProbeType.EVENT_FLUSH, flush)


def children() -> list[str]:
    """Return the child processes of this one that still exist."""
    tasks = Path("/proc/self/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


def main(words: str, target: str, seek_ns: str = "") -> None:
    """Play the pipeline to its end, or to its first error."""
    Gst.init(None)
    pipeline = Gst.parse_launch(words)
    told: dict[str, Any] = {"in": [], "out": [], "caps_in": [], "caps_out": [], "error": "", "end": ""}
    with Path(target).open("wb") as data:
        element, sink = pipeline.get_by_name("vsr"), pipeline.get_by_name("out")
        watch(element.get_static_pad("sink"), told["in"], told["caps_in"])
        watch(sink.get_static_pad("sink"), told["out"], told["caps_out"], data)
        bus = pipeline.get_bus()
        ends = Gst.MessageType.EOS | Gst.MessageType.ERROR
        if seek_ns:
            pipeline.set_state(Gst.State.PAUSED)
            bus.timed_pop_filtered(120 * Gst.SECOND, Gst.MessageType.ASYNC_DONE | ends)
            data.truncate(data.seek(0))
            flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE
            told["sought"] = pipeline.seek_simple(Gst.Format.TIME, flags, int(seek_ns))
        pipeline.set_state(Gst.State.PLAYING)
        message = bus.timed_pop_filtered(120 * Gst.SECOND, ends)
        told["end"] = "time" if message is None else message.type.first_value_nick
        if message is not None and message.type == Gst.MessageType.ERROR:
            told["error"] = message.parse_error()[0].message
            told["domain"] = message.parse_error()[0].domain
        pipeline.set_state(Gst.State.NULL)
    told["children"] = children()
    told["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told["peak_children_kib"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
