"""The element `vsrupscale` of GStreamer: raw video through `vsr upscale - -`.

Pictures go to a process of vsr and come back; their times stay here. GStreamer's Python is the system's, and
need not have torch: this module imports nothing but `gi`.

Two threads work. Upstream's writes pictures into the process, and puts what has to follow them (a stamp for
each picture, and events in between) into a queue. The task of the source pad takes from the queue in order,
reads a picture from the process for each stamp, and pushes. The pipes are what holds a fast upstream back.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, GObject, Gst, GstVideo  # noqa: E402


@dataclass(frozen=True)
class Format:
    """How a format of GStreamer travels in YUV4MPEG2."""

    space: str
    """YUV4MPEG2's name of it."""
    sample_bytes: int = 1
    chroma: tuple[int, int] | None = (1, 1)
    """log2 of the subsampling, across and down; None where there is no chroma."""
    interleaved: tuple[int, ...] = ()
    """Of planes whose samples lie side by side in one of GStreamer: the order in which they do."""

    def sides(self, width: int, height: int) -> list[tuple[int, int]]:
        """Bytes in a row, and rows, of each plane of YUV4MPEG2."""
        luma = (width * self.sample_bytes, height)
        if self.chroma is None:
            return [luma]
        across, down = self.chroma
        chroma = (-(-width >> across) * self.sample_bytes, -(-height >> down))
        return [luma, chroma, chroma]


FORMATS = {
    "I420": Format("420"),
    "NV12": Format("420", interleaved=(1, 2)),
    "Y42B": Format("422", chroma=(1, 0)),
    "Y444": Format("444", chroma=(0, 0)),
    "RGB": Format("444", chroma=(0, 0), interleaved=(2, 0, 1)),  # matrix 0 of H.273 has G, B, R in this order
    "GRAY8": Format("mono", chroma=None),
    "I420_10LE": Format("420p10", 2),
    "I422_10LE": Format("422p10", 2, (1, 0)),
    "Y444_10LE": Format("444p10", 2, (0, 0)),
    "I420_12LE": Format("420p12", 2),
    "I422_12LE": Format("422p12", 2, (1, 0)),
    "Y444_12LE": Format("444p12", 2, (0, 0)),
    "Y444_16LE": Format("444p16", 2, (0, 0)),
    "GRAY16_LE": Format("mono16", 2, None),
}
"""By GStreamer's names; those that come first are preferred."""

TEMPLATE = f"""video/x-raw, format=(string){{ {", ".join(FORMATS)} }}, width=(int)[1, 2147483647],
height=(int)[1, 2147483647], framerate=(fraction)[0/1, 2147483647/1]"""
_CENTER, _LEFT, _TOPLEFT = ("center", "jpeg"), ("left", "mpeg2"), ("topleft", "paldv")
SITES = {
    "jpeg": _CENTER,
    "none": _CENTER,
    "mpeg2": _LEFT,
    "h-cosited": _LEFT,
    "cosited": _TOPLEFT,
    "dv": _TOPLEFT,
}
"""Of caps, to vsr's words, and to what YUV4MPEG2 puts behind 420 at 8 bits, where it always says one. The
words of the caps: `GstVideo.VideoInfo` of 1.22 has centre for all that have no colorimetry beside them."""
USUAL_SITE = _LEFT
"""Of what players show, for caps that do not say."""
UNSPECIFIED = 2
"""Of H.273's matrices, transfers and primaries."""
RANGES = {GstVideo.VideoColorRange(1): "full", GstVideo.VideoColorRange(2): "limited"}
MODEL_SCALE = 0.0
NO_STRENGTH = -1.0
_MARK = b"FRAME\n"
_LONGEST_HEADER = 4096


class RunError(Exception):
    """The process of vsr cannot go on; one line that says why."""


@dataclass(frozen=True)
class Shape:
    """Where the samples of a picture lie in a buffer of GStreamer."""

    format: Format
    width: int
    height: int
    strides: Sequence[int]
    """Bytes from row to row, of each plane of GStreamer."""
    offsets: Sequence[int]
    """Of the first byte of each."""
    size: int
    """Of a buffer in bytes."""

    @classmethod
    def of(cls, info: Any) -> Shape:
        """Of a `GstVideo.VideoInfo`, or of a buffer's `GstVideo.VideoMeta`."""
        name = info.finfo.name if hasattr(info, "finfo") else GstVideo.VideoFormat.to_string(info.format)
        strides, offsets = list(info.stride), list(info.offset)
        return cls(FORMATS[name], info.width, info.height, strides, offsets, getattr(info, "size", 0))

    def planes(self, data: memoryview) -> list[bytes]:
        """The planes of YUV4MPEG2, out of a buffer."""
        sides = self.format.sides(self.width, self.height)
        mixed = self.format.interleaved
        alone = [n for n in range(len(sides)) if n not in mixed]
        found = {n: _rows(data, self.offsets[n], self.strides[n], *sides[n]) for n in alone}
        if mixed:
            row, rows = sides[mixed[0]]
            last = len(alone)
            together = _rows(data, self.offsets[last], self.strides[last], row * len(mixed), rows)
            found |= {plane: together[at :: len(mixed)] for at, plane in enumerate(mixed)}
        return [found[n] for n in range(len(sides))]

    def buffer(self, picture: bytes) -> bytearray:
        """What goes into a buffer, of the planes of YUV4MPEG2 one after the other."""
        sides = self.format.sides(self.width, self.height)
        mixed = self.format.interleaved
        starts = [sum(row * rows for row, rows in sides[:n]) for n in range(len(sides))]
        planes = [
            picture[start : start + row * rows] for start, (row, rows) in zip(starts, sides, strict=True)
        ]
        alone = [n for n in range(len(sides)) if n not in mixed]
        made = bytearray(self.size)
        for n in alone:
            _place(made, self.offsets[n], self.strides[n], *sides[n], planes[n])
        if mixed:
            row, rows = sides[mixed[0]]
            last = len(alone)
            together = bytearray(row * rows * len(mixed))
            for at, plane in enumerate(mixed):
                together[at :: len(mixed)] = planes[plane]
            _place(made, self.offsets[last], self.strides[last], row * len(mixed), rows, together)
        return made


def _rows(data: memoryview, offset: int, stride: int, row: int, rows: int) -> bytes:
    """Rows without what pads them."""
    if stride == row:
        return bytes(data[offset : offset + row * rows])
    return b"".join(data[at : at + row] for at in range(offset, offset + stride * rows, stride))


def _place(made: bytearray, offset: int, stride: int, row: int, rows: int, plane: bytes | bytearray) -> None:
    """The reverse of `_rows`."""
    if stride == row:
        made[offset : offset + row * rows] = plane
        return
    for number in range(rows):
        at = offset + stride * number
        made[at : at + row] = plane[row * number : row * (number + 1)]


def site_of(caps: Any) -> tuple[str, str]:
    """Where chroma samples lie, as `SITES` says it."""
    return SITES.get(caps.get_structure(0).get_string("chroma-site") or "", USUAL_SITE)


def header_of(info: Any, caps: Any) -> bytes:
    """First line of YUV4MPEG2; the rate is a label, as times do not go through it."""
    rate = f"{info.fps_n}:{info.fps_d}" if info.fps_n else "25:1"
    space = FORMATS[info.finfo.name].space
    space += site_of(caps)[1] if space == "420" else ""
    return f"YUV4MPEG2 W{info.width} H{info.height} F{rate} Ip A0:0 C{space}\n".encode()


def color_of(info: Any, caps: Any) -> dict[str, str]:
    """Tags of caps in vsr's words and H.273's numbers.

    Where caps have no colorimetry, GStreamer's rule for that is meant, and `info` has it.
    """
    tags, chroma = info.colorimetry, FORMATS[info.finfo.name].chroma
    numbers = {
        "matrix": GstVideo.VideoColorMatrix.to_iso(tags.matrix) if chroma is not None else UNSPECIFIED,
        "transfer": GstVideo.VideoTransferFunction.to_iso(tags.transfer),
        "primaries": GstVideo.VideoColorPrimaries.to_iso(tags.primaries),
    }
    words = {tag: str(number) for tag, number in numbers.items() if number != UNSPECIFIED}
    if tags.range in RANGES:
        words["range"] = RANGES[tags.range]
    return words | ({"chroma_location": site_of(caps)[0]} if chroma == (1, 1) else {})


def vsr_command() -> list[str]:
    """What starts vsr: the command on the PATH, else the module of this Python.

    Raises:
        RunError: neither is there.
    """
    found = shutil.which("vsr")
    if found is not None:
        return [found]
    if sys.executable and importlib.util.find_spec("vsr") is not None:
        return [sys.executable, "-m", "vsr"]
    raise RunError("no command vsr on the PATH; install vsr-pipeline, and put its folder bin on the PATH")


class Run:
    """A process of vsr, for pictures of one size and format."""

    def __init__(self, info: Any, caps: Any, words: Sequence[str]) -> None:
        """Start it.

        Args:
            info: `GstVideo.VideoInfo` of what comes.
            caps: The caps of that.
            words: Flags of `vsr upscale`.

        Raises:
            RunError: it cannot be started.
        """
        self.caps = caps.copy()
        """Of what comes out, once it has its size. Colour is said even where it was GStreamer's rule for what
        comes in: that goes by the size, which changes."""
        self.caps.set_value("colorimetry", info.colorimetry.to_string())
        self.lr = Shape.of(info)
        self.sr: Shape | None = None
        self.pictures = 0
        """Given to it."""
        tags = [f"--color={tag}={value}" for tag, value in color_of(info, caps).items()]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        command = [*vsr_command(), "upscale", "-", "-", "--quiet", "--format=y4m", *words, *tags]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,  # Ctrl-C is for the host, which may want to end in order
            )
        except OSError as error:
            raise RunError(f"{command[0]} cannot be run ({error.strerror})") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._into, self._from = self._process.stdin, self._process.stdout
        self._header = header_of(info, caps)

    def write(self, buffer: Any) -> None:
        """Give it a picture; waits while it is busy.

        Raises:
            RunError: it has ended, or the buffer is too short.
        """
        meta = GstVideo.buffer_get_video_meta(buffer)
        shape = self.lr if meta is None else Shape.of(meta)
        mapped, memory = buffer.map(Gst.MapFlags.READ)
        if not mapped:
            raise RunError("a buffer cannot be read")
        try:
            planes = shape.planes(memory.data)
        finally:
            buffer.unmap(memory)
        expected = [row * rows for row, rows in shape.format.sides(shape.width, shape.height)]
        if [len(plane) for plane in planes] != expected:
            raise RunError(
                f"a buffer of {len(memory.data)} bytes is too short for {self.lr.width}x{self.lr.height}"
            )
        self.pictures += 1
        try:
            self._into.write(b"".join([self._header, _MARK, *planes]))
            self._into.flush()
        except (OSError, ValueError) as error:  # ValueError: closed by `kill`
            raise RunError(self._why()) from error
        self._header = b""

    def finish(self) -> None:
        """No more pictures; what is under way still comes."""
        with suppress(OSError):
            self._into.close()

    def read_caps(self) -> Any | None:
        """Caps of what comes out; waits for the first picture. None where none went in.

        Raises:
            RunError: it has ended before.
        """
        line = self._from.readline(_LONGEST_HEADER)
        if not line and not self.pictures:
            return None
        values = {word[:1]: word[1:] for word in line.split()[1:]}
        if not line.startswith(b"YUV4MPEG2 ") or not line.endswith(b"\n"):
            raise RunError(self._why())
        caps = self.caps.copy()
        caps.set_value("width", int(values[b"W"]))
        caps.set_value("height", int(values[b"H"]))
        self.sr = Shape.of(GstVideo.VideoInfo.new_from_caps(caps))
        return caps

    def read(self) -> bytearray:
        """The next picture, as a buffer has it.

        Raises:
            RunError: it has ended before.
        """
        if self.sr is None:
            raise RunError(self._why())
        wanted = sum(row * rows for row, rows in self.sr.format.sides(self.sr.width, self.sr.height))
        mark = self._from.readline(_LONGEST_HEADER)
        picture = self._from.read(wanted)
        if mark != _MARK or len(picture) != wanted:
            raise RunError(self._why())
        return self.sr.buffer(picture)

    def wait(self) -> None:
        """For its end, after its last picture was read.

        Raises:
            RunError: it gave more pictures than it got, or failed.
        """
        if self.pictures and (self._from.read(1) or self._process.wait()):
            raise RunError(self._why())
        self.kill()

    def kill(self) -> None:
        """End it now; whoever waits for it goes on. May be called more than once, and from any thread."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Give back what it used; no thread may be in one of the other calls."""
        self.kill()
        for file in (self._into, self._from, self._said):
            with suppress(OSError):
                file.close()

    def _why(self) -> str:
        """What it said last."""
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        self._said.seek(0)
        lines = [line for line in self._said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        code = self._process.returncode
        return lines[-1].removeprefix("vsr: error: ") if lines else f"vsr ended with exit code {code}"


@dataclass(frozen=True)
class Begin:
    """In the queue: pictures of another size or format follow."""

    run: Run


@dataclass(frozen=True)
class Picture:
    """In the queue: a picture that is in the process, and what belongs to it."""

    run: Run
    pts: int
    duration: int
    offset: int
    offset_end: int
    flags: Any


@dataclass(frozen=True)
class End:
    """In the queue: the process has no more pictures."""

    run: Run


@dataclass
class Waiting:
    """The queue between the two threads."""

    items: deque[Any] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    flushing: bool = True

    def put(self, item: Any) -> None:
        with self.changed:
            self.items.append(item)
            self.changed.notify()

    def take(self) -> Any | None:
        """The next; None when flushing."""
        with self.changed:
            self.changed.wait_for(lambda: self.items or self.flushing)
            return None if self.flushing else self.items.popleft()

    def flush(self, on: bool) -> None:
        with self.changed:
            self.flushing = on
            self.items.clear()
            self.changed.notify()


class VsrUpscale(Gst.Element):  # type: ignore[misc]
    """Element: every picture through a generator, with its own time."""

    __gstmetadata__ = (
        "vsr upscaler",
        "Filter/Effect/Video",
        "Upscales video with vsr, every picture with its own time",
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
        blurb="Output side over input side; 0 takes the model's own",
    )
    strength = GObject.Property(
        type=float,
        default=NO_STRENGTH,
        minimum=NO_STRENGTH,
        maximum=1.0,
        nick="Strength",
        blurb="From 0, faithful, to 1, crisp, for models of a pair; -1 leaves the model as it is",
    )
    device = GObject.Property(type=str, default="auto", nick="Device", blurb="auto, cpu, cuda, cuda:N")
    precision = GObject.Property(
        type=str, default="auto", nick="Precision", blurb="auto, fp32, bf16, fp16, int8"
    )

    def __init__(self) -> None:
        super().__init__()
        self._run: Run | None = None
        """That of the next picture."""
        self._runs: list[Run] = []
        """That one, and those whose last pictures are still to come."""
        self._caps: Any = None
        self._waiting = Waiting()
        self._result = Gst.FlowReturn.OK
        """Of the last push; upstream's next picture gets it."""
        self._sink = Gst.Pad.new_from_template(self.get_pad_template("sink"), "sink")
        self._sink.set_chain_function_full(self._chain)
        self._sink.set_event_function_full(self._event)
        self._sink.set_query_function_full(self._query)
        self._src = Gst.Pad.new_from_template(self.get_pad_template("src"), "src")
        self._src.set_query_function_full(self._query)
        self.add_pad(self._sink)
        self.add_pad(self._src)

    # Upstream's thread

    def _chain(self, _pad: Any, _parent: Any, buffer: Any) -> Any:
        if self._stopped():
            return self._stopped()
        flags = buffer.get_flags()
        try:
            run = self._run or self._begin_run()
            stamp = Picture(run, buffer.pts, buffer.duration, buffer.offset, buffer.offset_end, flags)
            run.write(buffer)
        except RunError as error:
            return self._stopped() or self._fail(error)
        self._waiting.put(stamp)
        return Gst.FlowReturn.OK

    def _stopped(self) -> Any | None:
        """Why no more pictures are wanted; None while they are."""
        if self._waiting.flushing:
            return Gst.FlowReturn.FLUSHING
        return None if self._result == Gst.FlowReturn.OK else self._result

    def _event(self, pad: Any, parent: Any, event: Any) -> bool:
        match event.type:
            case Gst.EventType.FLUSH_START:
                pushed = self._src.push_event(event)
                self._interrupt()
                self._src.pause_task()  # waits: nothing may follow this event
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
        """A new process.

        Raises:
            RunError: there are no caps, or none that it can take, or it cannot be started.
        """
        if self._caps is None:
            raise RunError("a picture before its caps")
        info = GstVideo.VideoInfo.new_from_caps(self._caps)
        if info is None:
            raise RunError(f"caps that are no raw video: {self._caps.to_string()}")
        if info.interlace_mode != GstVideo.VideoInterlaceMode.PROGRESSIVE:
            mode = GstVideo.VideoInterlaceMode.to_string(info.interlace_mode)
            raise RunError(f"interlaced video ({mode}); put the element deinterlace before this one")
        self._run = Run(info, self._caps, self._words())
        self._runs.append(self._run)
        self._waiting.put(Begin(self._run))
        return self._run

    def _words(self) -> list[str]:
        """The properties as flags of vsr."""
        words = [f"--model={self.model}", f"--device={self.device}", f"--precision={self.precision}"]
        words += [f"--scale={self.scale:.12g}"] if self.scale != MODEL_SCALE else []
        return words + ([f"--strength={self.strength:.12g}"] if self.strength >= 0 else [])

    def _end_run(self) -> None:
        """No more pictures for this process; the task reads what is still to come."""
        if self._run is not None:
            self._run.finish()
            self._waiting.put(End(self._run))
            self._run = None

    # The source pad's thread

    def _loop(self, *_: Any) -> None:
        """One item of the queue."""
        item = self._waiting.take()
        try:
            match item:
                case None:
                    self._src.pause_task()
                case Begin(run):
                    caps = run.read_caps()
                    if caps is not None and not self._src.push_event(Gst.Event.new_caps(caps)):
                        self._end_with(Gst.FlowReturn.NOT_NEGOTIATED)
                case Picture() if self._result == Gst.FlowReturn.OK:
                    self._push(item)
                case Picture():
                    pass  # nobody wants it
                case End(run):
                    self._end(run)
                case _:
                    self._src.push_event(item)
        except RunError as error:
            if not self._stopped():
                self._fail(error)
                self._src.push_event(Gst.Event.new_eos())

    def _push(self, picture: Picture) -> None:
        buffer = Gst.Buffer.new_wrapped(bytes(picture.run.read()))
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
        """Downstream takes no more; upstream's thread may be waiting for a process."""
        self._result = result
        for run in list(self._runs):
            run.kill()
        if result in (Gst.FlowReturn.ERROR, Gst.FlowReturn.NOT_NEGOTIATED, Gst.FlowReturn.NOT_LINKED):
            self._post(f"streaming stopped: {result.value_nick} from the next element")
            self._src.push_event(Gst.Event.new_eos())

    # Any thread

    def _fail(self, error: RunError) -> Any:
        """Tell the application once, and want no more pictures."""
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
        caps = _of_any_size(other.peer_query_caps(None))
        wanted = query.parse_caps()
        query.set_caps_result(
            caps if wanted is None else wanted.intersect_full(caps, Gst.CapsIntersectMode.FIRST)
        )
        return True

    # States

    def do_change_state(self, transition: Any) -> Any:
        """Start and stop what runs."""
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
        """Nobody waits any more."""
        self._waiting.flush(True)
        for run in list(self._runs):
            run.kill()

    def _close(self) -> None:
        for run in self._runs:
            run.close()
        self._runs, self._run = [], None

    def _reset(self) -> None:
        """As before the first picture; caps stay."""
        self._close()
        self._waiting.flush(False)
        self._result = Gst.FlowReturn.OK


def _of_any_size(caps: Any) -> Any:
    """What one side can be when the other is so: the same, but for width and height."""
    template = Gst.Caps(TEMPLATE)
    if caps.is_any() or caps.is_empty():
        return template if caps.is_any() else caps
    free = caps.copy()
    for side in ("width", "height"):
        free.set_value(side, Gst.IntRange(range(1, 2**31 - 1)))
    return free.intersect_full(template, Gst.CapsIntersectMode.FIRST)


GObject.type_register(VsrUpscale)
__gstelementfactory__ = ("vsrupscale", Gst.Rank.NONE, VsrUpscale)
