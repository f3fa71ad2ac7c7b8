"""A worker process: started, told what to do, listened to, and ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, cast

from vsr.errors import DeviceError
from vsr.pipeline.crew.task import read_line, write_line
from vsr.system.processes import start_helper

_MODULE = "vsr.pipeline.workers.worker"
_LAST_LINES = 20
"""Lines of a worker's standard error that are kept, to say why it ended."""
_SECONDS_TO_END = 5.0
"""How long a worker that was asked to end may take before it is killed."""

OnMessage = Callable[[dict[str, Any] | None], None]
"""Called with each message of a worker, on a thread; None says that it has ended."""


class WorkerProcess:
    """One process that makes segments for another one; see `vsr.pipeline.workers.worker`."""

    def __init__(self, name: str, device: str, threads: int, on_message: OnMessage) -> None:
        """Start it.

        Args:
            name: For messages and threads.
            device: Its device, for messages.
            threads: Threads for computation on a CPU; 0 leaves the number to torch.
            on_message: Called with what it says.

        Raises:
            DeviceError: the system refuses to start a process.
        """
        environment = dict(os.environ)
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        try:
            self.process = start_helper([sys.executable, "-m", _MODULE], environment)
        except OSError as error:
            raise DeviceError(f"a worker for {device} cannot be started ({error.strerror})") from error
        self._on_message = on_message
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        self._threads = [
            threading.Thread(target=target, name=f"vsr-{name}", daemon=True)
            for target in (self._listen, self._keep_last_lines)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether the process is no more."""
        return self.process.poll() is not None

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send it a message; if it has ended, `on_message` is called with None soon."""
        with suppress(OSError, ValueError):
            write_line(cast(BinaryIO, self.process.stdin), message)

    def last_words(self) -> str:
        """Return why it ended, as far as its exit code and its standard error tell."""
        code = self.process.wait()
        for thread in self._threads:
            thread.join(_SECONDS_TO_END)  # they may still be reading what it wrote before its end
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{how}: {self._said[-1]}" if self._said else how

    def ask_to_end(self) -> None:
        """Let it end, and do not wait."""
        with suppress(OSError):
            cast(BinaryIO, self.process.stdin).close()

    def end(self) -> None:
        """End it, and wait until it is no more."""
        self.ask_to_end()
        try:
            self.process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join()

    def _listen(self) -> None:
        with suppress(OSError, ValueError), cast(BinaryIO, self.process.stdout) as output:
            while (message := read_line(output)) is not None:
                self._on_message(message)
        self._on_message(None)

    def _keep_last_lines(self) -> None:
        with suppress(OSError, ValueError), cast(BinaryIO, self.process.stderr) as errors:
            for line in errors:
                self._said.append(line.decode(errors="replace").strip())
