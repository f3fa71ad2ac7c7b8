"""Real clips, audited from outside: nothing is lost in Matroska, nor in MP4 where MP4 can carry it.

The clips and the audit program come from the folder that VSR_MATERIAL names; without it these tests skip.
"""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from vsr.media.audit import verify
from vsr.pipeline.run import upscale_video
from vsr.settings.schema import EncoderSettings, UpscaleSettings

pytestmark = pytest.mark.needs_material

FOLDER = Path(os.environ.get("VSR_MATERIAL", "/nonexistent"))
CLIPS = sorted((FOLDER / "data" / "clips").glob("*.m[pk][4v]")) or [Path("no-clips")]
MP4_CANNOT = {
    "testsrc_with_attachment": ("attachments", "is left out"),
    "webvtt": ("subtitles", "converted to mov_text"),
}
"""Checks that cannot hold in MP4, and what the run says: it has no attachments, and mov_text fills the pauses
between lines with empty packets, so that their number differs."""


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.stem)
def test_nothing_is_lost(clip: Path, suffix: str, tmp_path: Path, material: Path) -> None:
    target = tmp_path / f"{clip.stem}.{suffix}"
    # Quick to encode and of high quality: the audit looks at what is kept, not at bits.
    quick = EncoderSettings(preset="ultrafast", crf=14)
    wish = UpscaleSettings(model="bicubic", scale=Fraction(2), encoder=quick)
    report = upscale_video(clip, target, wish)
    assert report.exit_code == 0, report.damage.notes
    allowed, says = MP4_CANNOT.get(clip.stem, ("", "")) if suffix == "mp4" else ("", "")
    command = [
        sys.executable,
        str(material / "acceptance" / "audit.py"),
        str(clip),
        str(target),
        "--scale",
        "2",
    ]
    if allowed:
        command += ["--expect-drop", allowed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["nothing lost"], done.stdout + done.stderr
    assert says in " ".join([*report.warnings, *report.streams]), "changed without a word"
    known = ("attached files", "video: 0 further streams of 1")  # both are warned of
    assert [line for line in verify(clip, target).lost if not line.startswith(known)] == []
