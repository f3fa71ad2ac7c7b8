"""Ends the process some time after a signal, even if the main thread cannot handle it.

Python runs its signal handlers on the main thread between two bytecode instructions, so not while a library
computes or writes there. But the low-level handler immediately writes the signal's number into a pipe
(`set_wakeup_fd`). A thread waits at the other end. At first it is a Python thread, which is sufficient as
long as libraries release the GIL. Some calls of FFmpeg do not, for example moving a film's index to its
beginning. For commands with such calls, `strengthen` replaces it by a thread that executes no Python.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vsr.cli import console
from vsr.cli.records import events
from vsr.system.stopping import NUMBERS, Wakeup

if TYPE_CHECKING:
    from vsr.kernels.llvm import Library

logger = logging.getLogger(__name__)

NEVER = -1
_CANCELLED = 0
"""Byte in the pipe, besides the numbers of signals, that says that the command has ended."""
_LAST_WORDS = "ended at once; what was finished before is kept"


class Guard:
    """The pipe and the thread that reads it."""

    def __init__(self, grace_seconds: float) -> None:
        """Start waiting; call it on the main thread.

        Args:
            grace_seconds: Time from the first signal to the end; a second signal ends the process at once.
        """
        self._usual = round(grace_seconds * 1000)
        self._grace, self._there = ctypes.c_int64(self._usual), ctypes.c_int64(0)
        self._text = ctypes.create_string_buffer(last_words())
        self._library: Library | None = None
        self._wakeup = self._start(self._wait)
        self._before = signal.set_wakeup_fd(self._wakeup.writer, warn_on_full_buffer=False)

    def strengthen(self) -> None:
        """Wait without Python from now on, if llvmlite is available; call it once, on the main thread.

        On Windows it does nothing, because signals arrive through a socket that only Python reads.
        """
        if sys.platform != "win32" and self._library is None and self._compile():
            old, self._wakeup = self._wakeup, self._start(self._wait_without_python)
            while not self._there.value:  # until it has started, the thread needs Python
                time.sleep(0.001)
            signal.set_wakeup_fd(self._wakeup.writer, warn_on_full_buffer=False)
            old.close()  # ends the previous thread

    def _compile(self) -> bool:
        try:
            from vsr.kernels.llvm import Library

            self._library = Library(_PROGRAM)
        except Exception as error:  # llvmlite is missing or broken; Python's thread remains as a fallback
            logger.debug("signals are waited for in Python: %s", error)
        return self._library is not None

    def patient(self, wanted: bool) -> None:
        """Set whether the first signal has no time limit, because the work ends itself at the next step."""
        self._grace.value = NEVER if wanted else self._usual

    def cancel(self) -> None:
        """End the guard, because the command has ended; earlier signals have no effect any more."""
        signal.set_wakeup_fd(self._before)
        self._wakeup.send(_CANCELLED)
        self._wakeup.close()

    def _start(self, wait: Callable[[Wakeup], None]) -> Wakeup:
        """Start a thread that waits for signals, and return the `Wakeup` that sends them to it."""
        wakeup = Wakeup()
        threading.Thread(target=wait, args=(wakeup,), name="vsr-signals", daemon=True).start()
        return wakeup

    def _wait(self, wakeup: Wakeup) -> None:
        asked = _CANCELLED  # later the number of the first signal
        while True:
            forever = not asked or self._grace.value == NEVER
            byte = wakeup.wait(None if forever else self._grace.value / 1000)
            if byte is None:
                leave(asked)
            elif byte < 0:  # the writing end was closed
                wakeup.close_reader()
                return
            elif byte == _CANCELLED:
                asked = _CANCELLED
            elif byte in NUMBERS and asked:
                leave(byte)
            elif byte in NUMBERS:
                asked = byte

    if sys.platform != "win32":

        def _wait_without_python(self, wakeup: Wakeup) -> None:
            assert self._library is not None
            text, length = ctypes.addressof(self._text), len(self._text) - 1
            grace, there = ctypes.addressof(self._grace), ctypes.addressof(self._there)
            self._library.function("wait", 5)(wakeup.reader, grace, there, text, length)
            wakeup.close_reader()


def last_words() -> bytes:
    """Return the last message; on a terminal, it first shows the cursor that a progress line has hidden."""
    if console.is_diverted():
        return events.last_words(_LAST_WORDS)
    line = f"vsr: {_LAST_WORDS}\n".encode()
    return b"\x1b[?25h\n" + line if os.isatty(2) else line


def leave(number: int) -> None:
    """End the process at once."""
    try:
        os.write(2, last_words())
    finally:
        os._exit(128 + number)


_PROGRAM = f"""
; {{descriptor, events, returned events}}: struct pollfd of poll.h, in which POLLIN is 1.
%pollfd = type {{ i32, i16, i16 }}
declare i64 @read(i32, ptr, i64)
declare i64 @write(i32, ptr, i64)
declare i32 @poll(ptr, i64, i32)
declare void @_exit(i32)

; Whether a byte is the number of a signal that asks for the end.
define i1 @asks(i8 %byte) {{
  switch i8 %byte, label %no [ {" ".join(f"i8 {int(number)}, label %yes" for number in NUMBERS)} ]
yes:
  ret i1 true
no:
  ret i1 false
}}

define void @wait(i64 %pipe, i64 %grace_at, i64 %there_at, i64 %text_at, i64 %length) {{
  %fd = trunc i64 %pipe to i32
  %grace_cell = inttoptr i64 %grace_at to ptr
  %there = inttoptr i64 %there_at to ptr
  store volatile i64 1, ptr %there
  %text = inttoptr i64 %text_at to ptr
  %place = alloca i8
  %poll = alloca %pollfd
  br label %idle

idle:
  %got = call i64 @read(i32 %fd, ptr %place, i64 1)
  %closed = icmp eq i64 %got, 0
  br i1 %closed, label %done, label %heard
heard:
  %whole = icmp eq i64 %got, 1
  br i1 %whole, label %first, label %later
later:                         ; interrupted by a signal that this thread got: look again, without haste
  %slept = call i32 @poll(ptr null, i64 0, i32 10)
  br label %idle
first:
  %number = load i8, ptr %place
  %meant = call i1 @asks(i8 %number)
  br i1 %meant, label %asked, label %idle

asked:
  %grace_long = load volatile i64, ptr %grace_cell
  %grace = trunc i64 %grace_long to i32
  %fd_at = getelementptr %pollfd, ptr %poll, i32 0, i32 0
  %events_at = getelementptr %pollfd, ptr %poll, i32 0, i32 1
  store i32 %fd, ptr %fd_at
  store i16 1, ptr %events_at
  %ready = call i32 @poll(ptr %poll, i64 1, i32 %grace)
  %late = icmp eq i32 %ready, 0
  br i1 %late, label %leave, label %more
more:
  %interrupted = icmp slt i32 %ready, 0
  br i1 %interrupted, label %asked, label %second
second:
  %got_again = call i64 @read(i32 %fd, ptr %place, i64 1)
  %ended = icmp eq i64 %got_again, 0
  br i1 %ended, label %done, label %judge
judge:
  %byte = load i8, ptr %place
  %off = icmp eq i8 %byte, {_CANCELLED}
  br i1 %off, label %idle, label %again
again:
  %meant_again = call i1 @asks(i8 %byte)
  br i1 %meant_again, label %leave, label %asked

leave:
  %written = call i64 @write(i32 2, ptr %text, i64 %length)
  %wide = zext i8 %number to i32
  %code = add i32 %wide, 128
  call void @_exit(i32 %code)
  br label %done
done:
  ret void
}}
"""
