"""Times and metadata are exactly the same with PyAV 18 and PyAV 19."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from tests.cli.run_cli import run_cli
from tests.media.pass_through import pass_through
from tests.media_maker import Audio, make_clip
from vsr.media.files.pyav import fraction, time_base_of

LATIN = "M\N{LATIN SMALL LETTER U WITH DIAERESIS}nchen".encode("latin-1")


class Unknown:
    """PyAV 19's value of an unknown rate: its AVRational is false, but not None."""

    numerator, denominator = 0, 0

    def __bool__(self) -> bool:
        return False


def test_an_unknown_rate_is_none_in_every_pyav_release() -> None:
    assert fraction(None) is None
    assert fraction(Unknown()) is None
    assert fraction(Fraction(30000, 1001)) == Fraction(30000, 1001)


def test_times_of_packets_and_streams_are_fractions_that_multiply_exactly(tmp_path: Path) -> None:
    with av.open(str(make_clip(tmp_path / "in.mp4", rate=Fraction(30000, 1001)))) as box:
        packet = next(box.demux(video=0))
        for timed in (packet, packet.stream, box.streams.video[0]):
            assert type(time_base_of(timed)) is Fraction
        assert fraction(box.streams.video[0].average_rate) == Fraction(30000, 1001)
    fine = SimpleNamespace(time_base=Fraction(1, 2**31 - 1))
    assert time_base_of(fine) * time_base_of(fine) == Fraction(1, (2**31 - 1) ** 2)


def latin_clip(path: Path) -> Path:
    """Write a file whose titles (of the file, its audio and its chapter) are Latin-1 although Matroska uses
    UTF-8.
    """
    title = "X" * len(LATIN)
    make_clip(
        path,
        frames=3,
        audio=[Audio(title=title)],
        chapters=[(0.0, 0.1, title)],
        metadata={"title": title},
        attachments=[("note.txt", "text/plain", b"a note")],
    )
    path.write_bytes(path.read_bytes().replace(title.encode(), LATIN))
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_metadata_that_is_not_utf8_keeps_its_bytes(tmp_path: Path, suffix: str) -> None:
    source = latin_clip(tmp_path / "in.mkv")
    assert source.read_bytes().count(LATIN) == 3
    made = pass_through(source, tmp_path / f"out{suffix}").path
    assert made.read_bytes().count(LATIN) >= 3


def test_the_commands_print_metadata_that_is_not_utf8(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, made = latin_clip(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    for words in (["info"], ["info", "--json"]):
        assert "nchen" in run_cli(capfd, *words, str(source)).out
    assert run_cli(capfd, "upscale", str(source), str(made), "--dry-run", "-m", "bicubic").code == 0
    report = tmp_path / "report.json"
    done = run_cli(capfd, "upscale", str(source), str(made), "-m", "bicubic", "--report", str(report))
    assert done.code == 0, done
    assert run_cli(capfd, "verify", str(source), str(made)).code == 0
