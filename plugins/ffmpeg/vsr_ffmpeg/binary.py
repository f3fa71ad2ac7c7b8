"""Finds the ffmpeg to run: on the PATH if it is new enough, otherwise that of the package imageio-ffmpeg."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache

import vsr

NEEDED = "6.1"
_SOURCE = ("-v", "error", "-f", "lavfi", "-i", "nullsrc=size=16x16:duration=0.04")
_ASKED = ("-fps_mode", "passthrough", "-enc_time_base", "filter", "-f", "null", "-")
"""Options that the commands use; ffmpeg 6.1 is the first version with all of them."""


def chosen(cmd: str | Sequence[str] | None) -> list[str]:
    """Return the words that run ffmpeg.

    Args:
        cmd: The caller's choice, used unchanged; None searches for one.

    Raises:
        vsr.PluginError: There is no ffmpeg, or none that is new enough.
    """
    if cmd is not None:
        return [cmd] if isinstance(cmd, str) else list(cmd)
    found = list(_candidates())
    for path in found:
        if is_new_enough((path,)):
            return [path]
    if not found:
        raise vsr.PluginError(
            "vsr-ffmpeg: there is no ffmpeg on the PATH. Install it, or run pip install imageio-ffmpeg"
        )
    raise too_old((found[0],))


def too_old(words: Sequence[str]) -> vsr.PluginError:
    """Return the error for an ffmpeg that does not support the commands."""
    return vsr.PluginError(
        f"vsr-ffmpeg: {' '.join(words)} is {_version(tuple(words))}, but ffmpeg {NEEDED} or later is"
        " required. Run pip install imageio-ffmpeg, or pass a newer one as cmd=..."
    )


@cache
def is_new_enough(words: tuple[str, ...]) -> bool:
    """Return whether an ffmpeg supports the commands, by a trial, because
    builds have many kinds of version numbers."""
    with suppress(OSError):
        return (
            subprocess.run(
                [*words, *_SOURCE, *_ASKED], capture_output=True, stdin=subprocess.DEVNULL
            ).returncode
            == 0
        )
    return False


def _candidates() -> Iterator[str]:
    on_path = shutil.which("ffmpeg")
    if on_path is not None:
        yield on_path
    if importlib.util.find_spec("imageio_ffmpeg") is not None:
        import imageio_ffmpeg

        with suppress(RuntimeError):  # a wheel without a binary
            yield str(imageio_ffmpeg.get_ffmpeg_exe())


def _version(words: tuple[str, ...]) -> str:
    """Return the version as ffmpeg prints it: `ffmpeg version 5.1.6`."""
    with suppress(OSError):
        said = subprocess.run([*words, "-version"], capture_output=True, stdin=subprocess.DEVNULL).stdout
        return said.decode("utf-8", "replace").partition(" Copyright")[0].strip() or "no ffmpeg"
    return "no program"
