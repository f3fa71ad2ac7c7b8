"""Real clips, checked by an external audit: nothing is lost in Matroska, nor in MP4 where MP4 supports it.

The clips and the audit program come from the folder in VSR_MATERIAL; without it these tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from vsr.media.audit import verify
from vsr.pipeline.run import upscale
from vsr.settings.schema import EncoderSettings, UpscaleSettings

pytestmark = pytest.mark.needs_material

FOLDER = Path(os.environ.get("VSR_MATERIAL", "/nonexistent"))
CLIPS = sorted((FOLDER / "data" / "clips").glob("*.m[pk][4v]")) or [Path("no-clips")]
MP4_CANNOT = {
    "testsrc_with_attachment": ("attachments", "is left out"),
    "webvtt": ("subtitles", "converted to mov_text"),
}
"""Checks that cannot hold in MP4, and the message of the run: MP4 has no attachments, and mov_text fills
pauses between lines with empty packets, which changes their number."""
LONG = 500_000
"""Bytes of a clip from which it is one of the slow tests: such a clip takes ten to thirty seconds."""
CASES = [
    pytest.param(
        clip,
        suffix,
        id=f"{clip.stem}-{suffix}",
        marks=[pytest.mark.slow] if clip.exists() and clip.stat().st_size > LONG else [],
    )
    for clip in CLIPS
    for suffix in ("mkv", "mp4")
]


@pytest.mark.parametrize(("clip", "suffix"), CASES)
def test_nothing_is_lost(clip: Path, suffix: str, tmp_path: Path, material: Path) -> None:
    target = tmp_path / f"{clip.stem}.{suffix}"
    # These settings encode fast at high quality, since the audit checks what is kept and not the bits.
    quick = EncoderSettings(preset="ultrafast", crf=14)
    wish = UpscaleSettings(model="bicubic", scale=Fraction(2), encoder=quick)
    report = upscale(clip, target, wish)
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
    assert says in " ".join([*report.warnings, *map(str, report.streams)]), "changed without a message"
    known = ("attached files", "video: 0 further streams of 1")  # both have a warning
    assert [line for line in verify(clip, target).lost if not line.startswith(known)] == []
