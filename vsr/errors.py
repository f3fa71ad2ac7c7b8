"""The errors that `vsr` raises, and the exit code of each.

```
VsrError               1   anything of ours that went wrong
├── ConfigError        2   a setting, a flag or a pipeline file is wrong
├── InputError         3   the input cannot be opened, holds no video, or is not what it claims
├── OutputError        4   the output cannot be written: folder, disk, an existing file
│   └── ReaderGoneError  141   nobody reads standard output any more
├── ModelError         5   weights missing, unreadable, of an unknown or wrong shape
├── DeviceMemoryError  6   too little memory, even after smaller batches and tiles
├── DeviceError        7   a device or an encoder cannot do what was asked
├── PluginError        1   a plugin failed; carries the distribution's name
└── CancelledError   130   the caller of `vsr.upscale` asked for the end
```

A message is one line: what is wrong with which value, what the limit is, and what to do next. Errors of
libraries are translated once, where they enter.
"""

from __future__ import annotations

from typing import ClassVar


class VsrError(Exception):
    """Root of all errors that `vsr` raises on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(VsrError):
    """A setting, a flag or a pipeline file is wrong; nothing was started."""

    exit_code = 2


class InputError(VsrError):
    """The input cannot be opened or decoded, or holds no video."""

    exit_code = 3


class OutputError(VsrError):
    """The output cannot be written; the final path is untouched."""

    exit_code = 4


class ReaderGoneError(OutputError):
    """Nobody reads standard output any more: often on purpose, as with `head`."""

    exit_code = 141


class ModelError(VsrError):
    """Weights are missing, unreadable, or not of a network that we know."""

    exit_code = 5


class DeviceMemoryError(VsrError):
    """Too little memory even for the smallest batch and tile."""

    exit_code = 6


class DeviceError(VsrError):
    """A device or an encoder cannot do what was asked of it."""

    exit_code = 7


class PluginError(VsrError):
    """A plugin failed to load or to run; the message names its distribution."""


class CancelledError(VsrError):
    """The caller asked for the end of a run; nothing unfinished carries the output's name."""

    exit_code = 130


DAMAGED_INPUT = 10
"""Exit code of a finished run whose input was damaged; the counts were reported."""
INTERRUPTED = 130
"""Exit code after Ctrl-C (128 + SIGINT)."""
TERMINATED = 143
"""Exit code after SIGTERM (128 + SIGTERM)."""
