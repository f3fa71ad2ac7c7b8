"""A worker process: `python -m vsr.pipeline.workers.worker` makes segments of a video for another process.

The two talk in lines of JSON over standard input and output; see `crew.task` and `many_devices`. The
worker ends at once when its standard input does.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from vsr.engine.memory import Plan
from vsr.errors import ConfigError, VsrError
from vsr.frame import YuvFrame
from vsr.media.decode.source import VideoSource
from vsr.media.encode.segments import Segment
from vsr.media.files.stdio import place_of
from vsr.media.formats.containers import container_of
from vsr.media.mux.resumable.worker_sink import WorkerSink
from vsr.media.mux.sink import VideoSink
from vsr.media.remote.folder import StoreFolder
from vsr.media.remote.places import Remote, remote_of
from vsr.pipeline.crew.hosts import LOCAL
from vsr.pipeline.crew.task import Task, read_line, task_of, write_line
from vsr.pipeline.flow.graph import open_frames
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.flow.writing import write_frames
from vsr.pipeline.job.job import Job
from vsr.pipeline.job.resume import Opening
from vsr.pipeline.job.warm_generator import WarmGenerator
from vsr.pipeline.preparation import prepare
from vsr.system.scratch import new_scratch_folder

_ENTRY = 250
"""Frames between key frames, as encoders set it by default."""
_READING, _FETCHING = 1 / 100, 1 / 4
"""The cost of reading the packets of a frame twice, in frames decoded: from a disk (25 µs and 3.8 ms were
measured at 1280x720), and from a store at 100 MB/s."""


class Talk:
    """The connection to the other process."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._outgoing, self._lock = outgoing, threading.Lock()
        self._lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._scratch: Path | None = None
        threading.Thread(target=self._listen, args=(incoming,), name="vsr-talk", daemon=True).start()

    def say(self, **message: Any) -> None:
        """Send a message; may be called on any thread."""
        with self._lock:
            write_line(self._outgoing, message)

    def next_line(self) -> dict[str, Any]:
        """Wait for the next message."""
        return self._lines.get()

    def ask(self, *, idle: bool) -> int | None:
        """Ask for the number of the next segment; None if there is none now.

        Args:
            idle: Wait until there is one, or until the task is over. It means that all segments so far are
                finished.
        """
        self.say(ask="idle" if idle else "next")
        number: int | None = self.next_line()["segment"]
        return number

    def scratch(self) -> Path:
        """Return a folder of this process, for segments until they are in a store.

        Raises:
            OutputError: it cannot be made.
        """
        if self._scratch is None:
            self._scratch = new_scratch_folder("vsr-worker-")
        return self._scratch

    @property
    def where(self) -> str:
        """The machine, for messages that leave it; empty if the other process shares its folders."""
        return "" if self._scratch is None else f" (on {socket.gethostname()})"

    def end(self, code: int) -> NoReturn:
        """End this process at once; what it has on the disk is removed."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
        os._exit(code)

    def _listen(self, incoming: BinaryIO) -> None:
        while (line := read_line(incoming)) is not None:
            self._lines.put(line)
        self.end(0)  # the other process has ended or needs this one no more; nothing here must be saved


def serve(talk: Talk) -> None:
    """Do one task after another; never returns."""
    warm = WarmGenerator()
    while True:
        line = talk.next_line()
        if line["threads"]:
            import torch

            torch.set_num_threads(line["threads"])
        task = task_of(line["task"])
        source, target = _place(task, "source", task.source), _place(task, "target", task.target)
        folder, store = Path(task.folder), None
        if "store" in task.urls:
            folder = talk.scratch()
            target, store = folder / f"result{target.suffix}", _store(task)
        settings = replace(
            task.settings,
            device=line["device"],
            on=LOCAL,
            backend=task.engine.backend,
            precision=task.engine.precision,
        )
        opened = partial(_open_parts, task, line["worker"], folder, store)
        with prepare(source, target, settings, overwrite=True, warm=warm, output=opened) as job:
            make_segments(job, talk, is_stored=store is not None)


def make_segments(job: Job, talk: Talk, *, is_stored: bool = False) -> None:
    """Make the segments that are asked for, until the task is over."""
    sink = job.sink
    assert isinstance(sink, WorkerSink)
    sink.made = partial(_say_made, talk, is_stored=is_stored)
    while (first := talk.ask(idle=True)) is not None:
        meter = Meter()
        sink.begin()
        with open_frames(job, meter, _claimed(job.source, sink, talk, first)) as frames:
            write_frames(job, _told(frames, talk), meter)
        sink.end_frames()
        talk.say(
            counts=meter.counts,
            busy=meter.busy(),
            occupancy=meter.occupancy(),
            lasted=meter.elapsed,
            smaller=job.upscaler.redone_smaller,
        )


def _say_made(talk: Talk, number: int, name: str, digest: str, segment: Segment, *, is_stored: bool) -> None:
    """Tell of a finished segment. What is in a store, the other process need not read to know."""
    trailer = {"stored": asdict(segment)} if is_stored else {}
    talk.say(made=number, name=name, sha256=digest, **trailer)


def _claimed(source: VideoSource, sink: WorkerSink, talk: Talk, first: int) -> Iterator[YuvFrame]:
    """Decode the source from a segment on, and yield the frames of those that are given to this worker."""
    wanted: int | None = first
    while wanted is not None:
        wanted = yield from _decoded_from(source, sink, talk, wanted)


def _decoded_from(
    source: VideoSource, sink: WorkerSink, talk: Talk, wanted: int
) -> Generator[YuvFrame, None, int | None]:
    """Decode as `_claimed` does; returns the next segment if it is so far away that decoding begins anew."""
    source.reopen()
    position, yielded = wanted - 1, False
    for frame in source.frames(first=wanted * sink.length):
        position = frame.stamp.index // sink.length
        if position > wanted:
            if not yielded:  # the video is cut at its beginning
                talk.say(absent=wanted, first=position)
            following = talk.ask(idle=False)
            if following is None:
                return None
            if following < position:  # another worker ended while it made this one; it is behind
                talk.say(back=following)
                return None
            if _is_far(source, frame.stamp.index, following * sink.length):
                return following
            wanted, yielded = following, False
        if position == wanted:
            sink.hashes.add(frame)
            yielded = True
            yield frame
    if not source.is_closed:  # else an error elsewhere ends this, and not the video
        talk.say(end=position + 1)
    return None


def _is_far(source: VideoSource, position: int, wanted: int) -> bool:
    """Return whether a seek to a key frame near a frame takes less time than decoding all frames up to it.

    A seek decodes about `_ENTRY` frames, and reads the packets before the key frame twice.
    """
    cost = _READING if remote_of(source.info.path) is None else _FETCHING
    return source.begins_late is not False and wanted - position > _ENTRY + wanted * cost


def _told(frames: Iterator[YuvFrame], talk: Talk) -> Iterator[YuvFrame]:
    for frame in frames:
        yield frame
        talk.say(frame=frame.stamp.index)


def _place(task: Task, name: str, path: str) -> Path:
    """Return the path of the input or the output, which may stand for a URL."""
    return place_of(task.urls.get(name, path), allow_network=task.allow_network)


def _store(task: Task) -> StoreFolder:
    """Return the folder of a store into which segments are put."""
    url = task.urls["store"]
    scheme = url.partition("://")[0]
    return StoreFolder(
        Remote(path=Path(url), shown=url, scheme=scheme, url=url, allow_network=task.allow_network)
    )


def _open_parts(
    task: Task,
    worker: str,
    folder: Path,
    store: StoreFolder | None,
    opening: Opening,
    opener: Callable[..., VideoSink],
) -> WorkerSink:
    """Open the sink of a worker, after a check that it would compute what the task wants.

    Raises:
        ConfigError: a fact that decides the result is another one here, such as the version of a package.
    """
    checked = opener(temporary=folder / f"{worker}.tmp")
    checked.abort()
    key = replace(opening, settings=task.settings).key(checked.plan)
    for name in (*task.key, *key):
        if task.key.get(name) != key.get(name):
            raise ConfigError(
                f"a worker on {opening.upscaler.device} has {name} {key.get(name)}, not {task.key.get(name)}"
                " as the process that started it; use equal devices and versions"
            )
    opening.follow(Plan(batch=task.engine.batch, tile=task.engine.tile), task.engine.backend)
    container = container_of(opening.target)
    return WorkerSink(
        checked, opening.like, container, folder=folder, worker=worker, length=task.length, store=store
    )


def main() -> None:
    """Run a worker. Standard output belongs to the messages: whatever else writes there goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    talk = Talk(sys.stdin.buffer, outgoing)
    try:
        serve(talk)
    except VsrError as error:
        talk.say(error=type(error).__name__, text=f"{error}{talk.where}")
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(at.filename).name}:{at.lineno}"
        talk.say(error="", text=f"internal error at {where}, {type(error).__name__}: {error}")
    sys.stderr.flush()
    talk.end(1)


if __name__ == "__main__":
    main()
