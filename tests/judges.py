"""Independent programs that report what a file contains: ffprobe, mkvmerge, mediainfo and exiftool.

`vsr verify` reads a result with the code that wrote it; these programs do not share its
mistakes. Each function skips the test if its program is not installed. The Debian
packages are ffmpeg, mkvtoolnix, mediainfo and libimage-exiftool-perl.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


def ffprobe(path: Path, *arguments: str) -> dict[str, Any]:
    """Return what ffprobe prints about streams, format and chapters; `arguments` select more or less.

    `ffprobe(path, "-show_frames", "-select_streams", "v")["frames"]` lists the frames of the video.
    """
    shown = arguments or ("-show_streams", "-show_format", "-show_chapters")
    return json.loads(run("ffprobe", "-v", "error", "-of", "json", *shown, str(path)))


def mkvmerge(path: Path) -> dict[str, Any]:
    """Return what `mkvmerge -J` identifies: container, tracks, attachments, chapters and tags."""
    return json.loads(run("mkvmerge", "-J", str(path)))


def mediainfo(path: Path) -> list[dict[str, Any]]:
    """Return mediainfo's tracks; the first has the type General."""
    return json.loads(run("mediainfo", "--Output=JSON", str(path)))["media"]["track"]


def exiftool(path: Path) -> dict[str, Any]:
    """Return the tags of a picture as `GROUP:NAME`, with numbers as they are stored."""
    return json.loads(run("exiftool", "-json", "-n", "-G1", str(path)))[0]


def run(program: str, *arguments: str) -> str:
    """Return the output of a program; an exit status other than 0 fails the test with its error message."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([program, *arguments], capture_output=True, encoding="utf-8", errors="replace")
    assert done.returncode == 0, f"{program} exits with {done.returncode}: {done.stderr.strip()}"
    return done.stdout
