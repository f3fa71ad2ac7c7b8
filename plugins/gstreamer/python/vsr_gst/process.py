"""A process of `vsr upscale - -`: writes and reads frames, and reports why it ended."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gi.repository import Gst, GstVideo

from vsr_gst.layout import Shape
from vsr_gst.tags import color_of, header_of

_MARK = b"FRAME\n"
_LONGEST_HEADER = 4096


class RunError(Exception):
    """The process of vsr cannot continue; the message is one line."""


def vsr_command() -> list[str]:
    """Return the command of vsr: the one on the PATH, otherwise the module of this Python.

    Raises:
        RunError: Neither exists.
    """
    found = shutil.which("vsr")
    if found is not None:
        return [found]
    if sys.executable and importlib.util.find_spec("vsr") is not None:
        return [sys.executable, "-m", "vsr"]
    raise RunError(
        "there is no command vsr on the PATH. Install vsr-pipeline, and put its folder bin on the PATH"
    )


class Run:
    """A process of vsr for frames of one size and format."""

    def __init__(self, info: Any, caps: Any, words: Sequence[str]) -> None:
        """Start the process.

        Args:
            info: `GstVideo.VideoInfo` of the input.
            caps: Caps of the input.
            words: Flags of `vsr upscale`.

        Raises:
            RunError: It cannot be started.
        """
        self.caps = caps.copy()
        """Caps of the output, once its size is known. They always contain the colour, because GStreamer's
        default depends on the size, which changes."""
        self.caps.set_value("colorimetry", info.colorimetry.to_string())
        self.lr = Shape.of(info)
        self.sr: Shape | None = None
        self.pictures = 0
        """Number of frames written to the process."""
        tags = [f"--color={tag}={value}" for tag, value in color_of(info, caps).items()]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        command = [*vsr_command(), "upscale", "-", "-", "--quiet", "--format=y4m", *words, *tags]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,  # Ctrl-C is for the host, which may need to shut down first
            )
        except OSError as error:
            raise RunError(f"{command[0]} cannot be run ({error.strerror})") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._into, self._from = self._process.stdin, self._process.stdout
        self._header = header_of(info, caps)

    def write(self, buffer: Any) -> None:
        """Write a frame to the process; waits while the process is busy.

        Raises:
            RunError: The process has ended, or the buffer is too short.
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
        """Close the input; pending frames still arrive."""
        with suppress(OSError):
            self._into.close()

    def read_caps(self) -> Any | None:
        """Return the caps of the output after waiting for the first frame; None if no frame was written.

        Raises:
            RunError: The process has ended before.
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

    def read(self) -> bytes:
        """Return the next frame as the content of a buffer.

        Raises:
            RunError: The process has ended before.
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
        """Wait for the end of the process, after its last frame was read.

        Raises:
            RunError: It returned more frames than it got, or failed.
        """
        if self.pictures and (self._from.read(1) or self._process.wait()):
            raise RunError(self._why())
        self.kill()

    def kill(self) -> None:
        """End the process now, so that all waiting calls return; may be
        called repeatedly and from any thread."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Release resources; no thread may be in one of the other calls."""
        self.kill()
        for file in (self._into, self._from, self._said):
            with suppress(OSError):
                file.close()

    def _why(self) -> str:
        """Return the last message of the process."""
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        self._said.seek(0)
        lines = [line for line in self._said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        code = self._process.returncode
        return lines[-1].removeprefix("vsr: error: ") if lines else f"vsr ended with exit code {code}"
