"""Which ffmpeg runs: the one on the PATH where it is new enough, else that of the package imageio-ffmpeg."""

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
"""What our commands are made of; ffmpeg 6.1 is the first that takes all of it."""


def chosen(cmd: str | Sequence[str] | None) -> list[str]:
    """The words that run ffmpeg.

    Args:
        cmd: The caller's choice, taken as it is; None looks for one.

    Raises:
        vsr.PluginError: there is none, or none that is new enough.
    """
    if cmd is not None:
        return [cmd] if isinstance(cmd, str) else list(cmd)
    found = list(_candidates())
    for path in found:
        if is_new_enough((path,)):
            return [path]
    if not found:
        raise vsr.PluginError("vsr-ffmpeg: no ffmpeg on the PATH; install it, or pip install imageio-ffmpeg")
    raise too_old((found[0],))


def too_old(words: Sequence[str]) -> vsr.PluginError:
    """The error for an ffmpeg that does not understand our commands."""
    return vsr.PluginError(
        f"vsr-ffmpeg: {' '.join(words)} is {_version(tuple(words))}, and ffmpeg {NEEDED} or later is needed; "
        "pip install imageio-ffmpeg, or name a newer one: cmd=..."
    )


@cache
def is_new_enough(words: tuple[str, ...]) -> bool:
    """Whether an ffmpeg understands our commands: it is tried, as builds are numbered in many ways."""
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

        with suppress(RuntimeError):  # a wheel without its binary
            yield str(imageio_ffmpeg.get_ffmpeg_exe())


def _version(words: tuple[str, ...]) -> str:
    """As it says itself: `ffmpeg version 5.1.6`."""
    with suppress(OSError):
        said = subprocess.run([*words, "-version"], capture_output=True, stdin=subprocess.DEVNULL).stdout
        return said.decode("utf-8", "replace").partition(" Copyright")[0].strip() or "no ffmpeg"
    return "no program"
