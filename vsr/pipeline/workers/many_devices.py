"""Makes the segments of a video with worker processes, and checks that they were made from the right frames.

This process decodes the source once, too. It computes no frame, but compares hashes of its frames with those
that the workers decoded, finds the damage, and knows how many frames there are. A segment that was made from
other frames is forgotten, and `run.compute` makes it again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from vsr import errors
from vsr.errors import DeviceError, VsrError
from vsr.frame import YuvFrame
from vsr.media.encode.segments import Segment
from vsr.media.mux.resumable.resumable_sink import SegmentedSink
from vsr.media.remote.places import remote_of
from vsr.pipeline.crew.crew import Crew
from vsr.pipeline.crew.task import Engine, Task
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.job.job import Job
from vsr.pipeline.workers.claims import ATTEMPTS, Claims
from vsr.pipeline.workers.frames_done import FramesDone
from vsr.settings.toml import from_table

_SOURCE = ""
"""Name of the thread that decodes here, among the names of workers."""
_OF_A_DEVICE = frozenset({"DeviceError", "DeviceMemoryError"})
"""Errors after which the other devices go on."""


@dataclass(slots=True, kw_only=True)
class _State:
    job: Job
    sink: SegmentedSink
    crew: Crew
    meter: Meter
    claims: Claims
    done: FramesDone
    on_frame: Callable[[int], None]
    """Called with the number of frames that are computed so far."""
    waiting: list[str] = field(default_factory=list)
    """Idle workers that wait for a segment."""
    heard: set[str] = field(default_factory=set)
    """Workers that have said something; others wait for a machine."""
    late: set[str] = field(default_factory=set)
    """Workers that are making a segment which another one has finished first."""
    early_ends: int = 0
    """How many workers ended before they began a segment."""
    why: str = ""
    """Why the last worker ended early."""


def make_segments(job: Job, crew: Crew, meter: Meter, on_frame: Callable[[int], None]) -> bool:
    """Make all segments that the job still lacks.

    Args:
        job: A job whose sink is a `SegmentedSink`.
        crew: The workers; after an error they are ended.
        meter: Measures the stages; the time of all workers is added up.
        on_frame: Called on this thread with the number of frames computed so far, by all workers. It is
            smaller than before when a worker ended early, whose frames must be computed again.

    Returns:
        Whether all segments are made, and from the frames that this process has decoded. If not, the source
        must be decoded again, and the sink says which frames it wants.

    Raises:
        VsrError: An error that a worker met; a segment that ended three workers.
    """
    assert isinstance(job.sink, SegmentedSink)
    claims = Claims(finished=job.sink.finished, duplicates=crew.duplicates)
    done = FramesDone(length=job.sink.length, finished=claims.finished)
    state = _State(
        job=job, sink=job.sink, crew=crew, meter=meter, claims=claims, done=done, on_frame=on_frame
    )
    watching = threading.Thread(target=_watch, args=(state,), name="vsr-decode", daemon=True)
    try:
        crew.begin(_task(job, job.sink))
        watching.start()
        while not claims.is_over:
            _handle(state, *crew.events.get())
        _let_rest(state)
    except BaseException:
        crew.close()
        job.sink.drop_name()
        raise
    finally:
        job.source.close()
        if watching.ident is not None:
            watching.join()
    if claims.failed:
        raise VsrError(_given_up(state))
    job.sink.end_frames()
    if job.sink.numbers <= job.sink.finished:
        return True
    job.source.reopen()
    job.sink.start_again()
    return False


def _task(job: Job, sink: SegmentedSink) -> Task:
    upscaler, info = job.upscaler, job.source.info
    plan = upscaler.plan(info.height, info.width)
    named = {"source": remote_of(info.path), "target": remote_of(sink.target), "store": sink.store}
    places = {name: place for name, place in named.items() if place is not None}
    engine = Engine(
        batch=plan.batch,
        tile=plan.tile,
        backend=upscaler.backend,
        precision=upscaler.resolved_precision,
    )
    return Task(
        source=str(info.path),
        target=str(sink.target),
        folder=str(sink.folder),
        length=sink.length,
        key=sink.key,
        engine=engine,
        settings=job.settings,
        urls={name: place.url for name, place in places.items()},
        allow_network=any(place.allow_network for place in places.values()),
    )


def _watch(state: _State) -> None:
    """Decode the whole source for the sink, on a thread."""
    events, job = state.crew.events, state.job
    try:
        for _ in job.source.frames(wanted=partial(_observed, state)):
            pass
        events.put((_SOURCE, None))
    except BaseException as error:  # any error is raised again on the caller's thread
        events.put((_SOURCE, error))


def _observed(state: _State, frame: YuvFrame) -> bool:
    state.job.alive()
    return state.sink.observe(frame)


def _handle(state: _State, name: str, message: dict[str, Any] | BaseException | None) -> None:
    if isinstance(message, BaseException):
        raise message
    state.heard.add(name)
    if name == _SOURCE:
        state.claims.known = state.sink.numbers
    elif name not in state.crew.names:
        return  # of a worker of an earlier task that has ended
    elif message is None:
        _replace(state, name)
    else:
        for kind, handle in _HANDLERS.items():
            if kind in message:
                handle(state, name, message)
    _serve_waiting(state)


def _ask(state: _State, name: str, message: dict[str, Any]) -> None:
    if message["ask"] == "idle":
        state.done.lost(name)
        state.late.discard(name)
        state.waiting.append(name)
    else:
        state.crew.tell(name, {"segment": state.claims.take(name, is_idle=False)})


def _serve_waiting(state: _State) -> None:
    for name in list(state.waiting):
        number = state.claims.take(name, is_idle=True)
        if number is not None:
            state.waiting.remove(name)
            state.crew.tell(name, {"segment": number})


def _frame(state: _State, name: str, message: dict[str, Any]) -> None:
    state.done.computed(name, message["frame"])
    state.job.alive()
    state.on_frame(state.done.frames)


def _made(state: _State, name: str, message: dict[str, Any]) -> None:
    if message["made"] in state.claims.finished:
        state.sink.drop_made(message["name"])
        return
    before = state.sink.frames
    stored = message.get("stored")
    segment = None if stored is None else from_table(stored, Segment, where="a segment of a worker")
    state.sink.take(message["made"], message["name"], message["sha256"], segment)
    state.late |= set(state.claims.finish(message["made"])) - {name}
    state.done.made(message["made"], state.sink.frames - before)


def _counts(state: _State, name: str, message: dict[str, Any]) -> None:
    for what, number in message["counts"].items():
        if what != "decoded":
            state.meter.count(what, number)
    for stage, seconds in message["busy"].items():
        state.meter.add(stage, seconds)
    state.meter.merge(message["occupancy"], lasted=message["lasted"])
    state.job.upscaler.redone_smaller += message["smaller"]


def _error(state: _State, name: str, message: dict[str, Any]) -> None:
    """Raise an error that every worker would meet; one of its device or of its own disk, and a bug, end only
    the worker.
    """
    kind, text = message["error"], message["text"]
    error = getattr(errors, kind, VsrError)(text) if kind else None
    own = _OF_A_DEVICE if state.sink.store is None else _OF_A_DEVICE | {"OutputError"}
    if error is not None and kind not in own:
        raise error
    state.why = text
    if error is not None:
        state.claims.release(name)
        state.done.lost(name)
        state.crew.retire(name)
        if not state.crew.names:
            raise error


def _replace(state: _State, name: str) -> None:
    """Start a worker again that ended early; its segments go to whoever asks next."""
    state.why = state.why or state.crew.last_words(name)
    lost = state.claims.lose(name)
    state.early_ends += not lost
    state.done.lost(name)
    with suppress(ValueError):
        state.waiting.remove(name)
    if lost or state.early_ends < ATTEMPTS:
        state.crew.restart(name)
        return
    state.crew.retire(name)
    if not state.crew.names:
        raise DeviceError(f"{state.job.report.source}: no worker could start ({state.why})")


_HANDLERS: dict[str, Callable[[_State, str, dict[str, Any]], None]] = {
    "ask": _ask,
    "frame": _frame,
    "made": _made,
    "counts": _counts,
    "error": _error,
    "absent": lambda state, name, message: state.claims.skip(message["absent"], message["first"]),
    "back": lambda state, name, message: state.claims.give_back(message["back"], name),
    "end": lambda state, name, message: state.claims.end(name, message["end"]),
}
"""What to do with a message that has a key."""


def _let_rest(state: _State) -> None:
    """Wait until all workers are idle, and tell them that the task is over; others are ended."""
    for name in state.crew.names:
        while name in state.crew.names and name in state.heard - state.late and name not in state.waiting:
            _handle(state, *state.crew.events.get())
    for name in state.crew.names:
        if name in state.waiting:
            state.crew.tell(name, {"segment": None})
        else:
            state.crew.retire(name)


def _given_up(state: _State) -> str:
    failed = state.claims.failed
    first, length = failed[0] * state.sink.length, state.sink.length
    return (
        f"{state.job.report.source}: {len(failed)} parts ended their worker {ATTEMPTS} times, the first one"
        f" with the frames {first} to {first + length - 1} ({state.why}). All other parts are kept; run it"
        " again with one `device` to see the error itself"
    )
