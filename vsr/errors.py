"""The errors that `vsr` raises, and the exit code of each.

```
VsrError               1   any error that `vsr` raises on purpose
├── ConfigError        2   a setting, a flag or a pipeline file is wrong
├── InputError         3   the input cannot be opened, contains no video, or is not what it claims to be
├── OutputError        4   the output cannot be written: folder, disk, an existing file
│   └── ReaderGoneError  141   the reader of standard output has closed the pipe
├── ModelError         5   weights are missing, unreadable, or of an unknown or wrong shape
├── DeviceMemoryError  6   too little memory, even after smaller batches and tiles
├── DeviceError        7   a device or an encoder cannot do what was requested
├── PluginError        1   a plugin failed; the message names its distribution
└── CancelledError   130   the caller of `vsr.upscale` cancelled the run
```

A message is one line: what is wrong with which value, what the limit is, and what to do next. Errors of
libraries are translated once, where they enter.
"""

from __future__ import annotations

from typing import ClassVar


class VsrError(Exception):
    """Base class of all errors that `vsr` raises on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(VsrError):
    """A setting, a flag or a pipeline file is wrong; no work was started."""

    exit_code = 2


class InputError(VsrError):
    """The input cannot be opened or decoded, or contains no video."""

    exit_code = 3


class OutputError(VsrError):
    """The output cannot be written; the file at the final path is unchanged."""

    exit_code = 4


class ReaderGoneError(OutputError):
    """The reader of standard output has closed the pipe, often on purpose, as `head` does."""

    exit_code = 141


class ModelError(VsrError):
    """Weights are missing, unreadable, or not of a supported network."""

    exit_code = 5


class DeviceMemoryError(VsrError):
    """There is too little memory even for the smallest batch and tile."""

    exit_code = 6


class DeviceError(VsrError):
    """A device or an encoder cannot do what was requested."""

    exit_code = 7


class PluginError(VsrError):
    """A plugin cannot be loaded or failed; the message names its distribution."""


class CancelledError(VsrError):
    """The caller cancelled a run; no unfinished file has the output's name."""

    exit_code = 130


DAMAGED_INPUT = 10
"""Exit code of a finished run whose input was damaged; the damage was counted and reported."""
INTERRUPTED = 130
"""Exit code after Ctrl-C (128 + SIGINT)."""
TERMINATED = 143
"""Exit code after SIGTERM (128 + SIGTERM)."""
