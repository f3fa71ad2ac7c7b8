"""The element `vsrupscale` of GStreamer: raw video through `vsr upscale - -`.

Frames go to a process of vsr and come back, while their times stay here. GStreamer uses the system's Python,
which may have no torch, so this module and its parts in `vsr_gst` import only `gi`.

Two threads work. The upstream thread writes frames into the process, and puts into a queue what must follow
them: a stamp for each frame, and events between frames. The task of the source pad takes items from the queue
in order, reads a frame from the process for each stamp, and pushes it. The pipes limit a fast upstream.
"""

from __future__ import annotations

from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, GObject, Gst, GstVideo
from vsr_gst.layout import TEMPLATE, of_any_size
from vsr_gst.process import Run, RunError
from vsr_gst.waiting import Begin, End, FrameItem, Waiting

MODEL_SCALE = 0.0
NO_STRENGTH = -1.0


class VsrUpscale(Gst.Element):  # type: ignore[misc]
    """Element that upscales every frame and keeps its time."""

    __gstmetadata__ = (
        "vsr upscaler",
        "Filter/Effect/Video",
        "Upscales video with vsr and keeps the time of every frame",
        "the vsr project",
    )
    __gsttemplates__ = (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, Gst.Caps(TEMPLATE)),
        Gst.PadTemplate.new("src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, Gst.Caps(TEMPLATE)),
    )
    model = GObject.Property(
        type=str, default="auto", nick="Model", blurb="Name in vsr's catalog, or a weight file"
    )
    scale = GObject.Property(
        type=float,
        default=MODEL_SCALE,
        minimum=0.0,
        maximum=16.0,
        nick="Scale",
        blurb="Output side / input side; 0 uses the model's own",
    )
    strength = GObject.Property(
        type=float,
        default=NO_STRENGTH,
        minimum=NO_STRENGTH,
        maximum=1.0,
        nick="Strength",
        blurb="From 0, faithful, to 1, crisp, for pairs of models; -1 uses the model itself",
    )
    device = GObject.Property(type=str, default="auto", nick="Device", blurb="auto, cpu, cuda, cuda:N")
    precision = GObject.Property(
        type=str, default="auto", nick="Precision", blurb="auto, fp32, bf16, fp16, int8"
    )

    def __init__(self) -> None:
        super().__init__()
        self._run: Run | None = None
        """The process for the next frame."""
        self._runs: list[Run] = []
        """That process, and earlier ones whose last frames have not been read."""
        self._caps: Any = None
        self._waiting = Waiting()
        self._result = Gst.FlowReturn.OK
        """Result of the last push, which upstream gets for its next frame."""
        self._sink = Gst.Pad.new_from_template(self.get_pad_template("sink"), "sink")
        self._sink.set_chain_function_full(self._chain)
        self._sink.set_event_function_full(self._event)
        self._sink.set_query_function_full(self._query)
        self._src = Gst.Pad.new_from_template(self.get_pad_template("src"), "src")
        self._src.set_query_function_full(self._query)
        self.add_pad(self._sink)
        self.add_pad(self._src)

    # The upstream thread

    def _chain(self, _pad: Any, _parent: Any, buffer: Any) -> Any:
        if self._stopped():
            return self._stopped()
        flags = buffer.get_flags()
        try:
            run = self._run or self._begin_run()
            stamp = FrameItem(run, buffer.pts, buffer.duration, buffer.offset, buffer.offset_end, flags)
            run.write(buffer)
        except RunError as error:
            return self._stopped() or self._fail(error)
        self._waiting.put(stamp)
        return Gst.FlowReturn.OK

    def _stopped(self) -> Any | None:
        """Return why no more frames are accepted; None while they are."""
        if self._waiting.flushing:
            return Gst.FlowReturn.FLUSHING
        return None if self._result == Gst.FlowReturn.OK else self._result

    def _event(self, pad: Any, parent: Any, event: Any) -> bool:
        match event.type:
            case Gst.EventType.FLUSH_START:
                pushed = self._src.push_event(event)
                self._interrupt()
                self._src.pause_task()  # waits, because nothing may follow this event
                return bool(pushed)
            case Gst.EventType.FLUSH_STOP:
                self._reset()
                pushed = self._src.push_event(event)
                return bool(self._src.start_task(self._loop) and pushed)
            case Gst.EventType.CAPS:
                return self._take_caps(event.parse_caps())
            case Gst.EventType.EOS:
                self._end_run()
        if not Gst.EventType.get_flags(event.type) & Gst.EventTypeFlags.SERIALIZED:
            return bool(pad.event_default(parent, event))
        self._waiting.put(event)
        return True

    def _take_caps(self, caps: Any) -> bool:
        if self._caps is not None and self._caps.is_equal(caps) and self._run is not None:
            return True
        self._end_run()
        self._caps = caps
        try:
            self._begin_run()
        except RunError as error:
            self._fail(error)
            return False
        return True

    def _begin_run(self) -> Run:
        """Start a new process.

        Raises:
            RunError: There are no caps, they are not supported, or the process cannot be started.
        """
        if self._caps is None:
            raise RunError("a frame arrived before its caps")
        info = GstVideo.VideoInfo.new_from_caps(self._caps)
        if info is None:
            raise RunError(f"these caps are not raw video: {self._caps.to_string()}")
        if info.interlace_mode != GstVideo.VideoInterlaceMode.PROGRESSIVE:
            mode = GstVideo.VideoInterlaceMode.to_string(info.interlace_mode)
            raise RunError(
                f"interlaced video ({mode}) is not supported. Put the element deinterlace before this one"
            )
        self._run = Run(info, self._caps, self._words())
        self._runs.append(self._run)
        self._waiting.put(Begin(self._run))
        return self._run

    def _words(self) -> list[str]:
        """Return the properties as flags of vsr."""
        words = [f"--model={self.model}", f"--device={self.device}", f"--precision={self.precision}"]
        words += [f"--scale={self.scale:.12g}"] if self.scale != MODEL_SCALE else []
        return words + ([f"--strength={self.strength:.12g}"] if self.strength >= 0 else [])

    def _end_run(self) -> None:
        """Close the input of this process; the task reads its remaining frames."""
        if self._run is not None:
            self._run.finish()
            self._waiting.put(End(self._run))
            self._run = None

    # The source pad's thread

    def _loop(self, *_: Any) -> None:
        """Process one item of the queue."""
        item = self._waiting.take()
        try:
            match item:
                case None:
                    self._src.pause_task()
                case Begin(run):
                    caps = run.read_caps()
                    if caps is not None and not self._src.push_event(Gst.Event.new_caps(caps)):
                        self._end_with(Gst.FlowReturn.NOT_NEGOTIATED)
                case FrameItem() if self._result == Gst.FlowReturn.OK:
                    self._push(item)
                case FrameItem():
                    pass  # flushed frames are discarded
                case End(run):
                    self._end(run)
                case _:
                    self._src.push_event(item)
        except RunError as error:
            if not self._stopped():
                self._fail(error)
                self._src.push_event(Gst.Event.new_eos())

    def _push(self, picture: FrameItem) -> None:
        buffer = Gst.Buffer.new_wrapped(picture.run.read())
        buffer.pts, buffer.duration = picture.pts, picture.duration
        buffer.offset, buffer.offset_end = picture.offset, picture.offset_end
        buffer.set_flags(picture.flags)
        result = self._src.push(buffer)
        if result != Gst.FlowReturn.OK:
            self._end_with(result)

    def _end(self, run: Run) -> None:
        if self._result == Gst.FlowReturn.OK:
            run.wait()
        run.close()
        self._runs.remove(run)

    def _end_with(self, result: Any) -> None:
        """Stop, because downstream accepts no more; the upstream thread may be waiting for a process."""
        self._result = result
        for run in list(self._runs):
            run.kill()
        if result in (Gst.FlowReturn.ERROR, Gst.FlowReturn.NOT_NEGOTIATED, Gst.FlowReturn.NOT_LINKED):
            self._post(f"streaming stopped: {result.value_nick} from the next element")
            self._src.push_event(Gst.Event.new_eos())

    # Any thread

    def _fail(self, error: RunError) -> Any:
        """Report an error to the application once, and accept no more frames."""
        if self._result != Gst.FlowReturn.ERROR:
            self._result = Gst.FlowReturn.ERROR
            self._post(str(error))
        return Gst.FlowReturn.ERROR

    def _post(self, words: str) -> None:
        told = GLib.Error.new_literal(Gst.StreamError.quark(), f"vsrupscale: {words}", Gst.StreamError.FAILED)
        self.post_message(Gst.Message.new_error(self, told, ""))

    def _query(self, pad: Any, parent: Any, query: Any) -> bool:
        if query.type != Gst.QueryType.CAPS:
            return bool(pad.query_default(parent, query))
        other = self._src if pad is self._sink else self._sink
        caps = of_any_size(other.peer_query_caps(None))
        wanted = query.parse_caps()
        query.set_caps_result(
            caps if wanted is None else wanted.intersect_full(caps, Gst.CapsIntersectMode.FIRST)
        )
        return True

    # State changes

    def do_change_state(self, transition: Any) -> Any:
        """Start and stop the threads."""
        if transition == Gst.StateChange.READY_TO_PAUSED:
            self._reset()
        if transition == Gst.StateChange.PAUSED_TO_READY:
            self._interrupt()
        result = Gst.Element.do_change_state(self, transition)
        if transition == Gst.StateChange.READY_TO_PAUSED and result != Gst.StateChangeReturn.FAILURE:
            self._src.start_task(self._loop)
        if transition == Gst.StateChange.PAUSED_TO_READY:
            self._src.stop_task()
            self._close()
            self._caps = None
        return result

    def _interrupt(self) -> None:
        """Make all waiting threads return."""
        self._waiting.flush(True)
        for run in list(self._runs):
            run.kill()

    def _close(self) -> None:
        for run in self._runs:
            run.close()
        self._runs, self._run = [], None

    def _reset(self) -> None:
        """Return to the state before the first frame; caps are kept."""
        self._close()
        self._waiting.flush(False)
        self._result = Gst.FlowReturn.OK


GObject.type_register(VsrUpscale)
__gstelementfactory__ = ("vsrupscale", Gst.Rank.NONE, VsrUpscale)
