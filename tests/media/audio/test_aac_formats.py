"""AAC that changes its channels or rate within the stream stays playable, or a warning says where it is
not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from tests import judges
from tests.media.pass_through import pass_through
from tests.media_maker import Audio, make_clip

STEREO, SURROUND = Audio(codec="aac", layout="stereo"), Audio(codec="aac", layout="5.1")
MONO_44 = Audio(codec="aac", rate=44100, layout="mono")
Make = Callable[..., Path]
ADVICE = "write to .mp4 to keep it"


def recording(folder: Path, *parts: Audio) -> Path:
    """Join transport streams end to end, as in a broadcast whose programme changes."""
    clips = [make_clip(folder / f"{n}.ts", frames=25, audio=[audio]) for n, audio in enumerate(parts)]
    whole = folder / "in.ts"
    whole.write_bytes(b"".join(clip.read_bytes() for clip in clips))
    return whole


def live_stream(folder: Path, *parts: Audio) -> Path:
    """Join FLV files end to end, as in a live stream that was started again."""
    whole, at = b"", 0
    for number, audio in enumerate(parts):
        data = make_clip(folder / f"{number}.flv", frames=25, audio=[audio]).read_bytes()
        whole = whole or data[:13]
        whole += b"".join(later(tag, at) for tag in flv_tags(data) if tag[0] != 18 or not at)
        at += 1000
    path = folder / "in.flv"
    path.write_bytes(whole)
    return path


def flv_tags(data: bytes) -> Iterator[bytes]:
    at = 13
    while at < len(data):
        end = at + 11 + int.from_bytes(data[at + 1 : at + 4], "big") + 4
        yield data[at:end]
        at = end


def later(tag: bytes, milliseconds: int) -> bytes:
    time = int.from_bytes(tag[7:8] + tag[4:7], "big") + milliseconds
    return tag[:4] + (time & 0xFFFFFF).to_bytes(3, "big") + bytes([time >> 24]) + tag[8:]


def heard(path: Path) -> list[tuple[int, int]]:
    """Return the channels of the decoded audio and their number of samples, one entry for each change
    (ffprobe).
    """
    asked = ("-show_entries", "frame=nb_samples,channels", "-select_streams", "a")
    frames = judges.ffprobe(path, "-show_frames", *asked)["frames"]
    found: list[tuple[int, int]] = []
    for frame in frames:
        if not found or found[-1][0] != frame["channels"]:
            found.append((frame["channels"], 0))
        found[-1] = (found[-1][0], found[-1][1] + frame["nb_samples"])
    return found


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("make", [recording, live_stream])
def test_mp4_and_mov_have_each_format(make: Make, suffix: str, tmp_path: Path) -> None:
    source = make(tmp_path, STEREO, SURROUND, STEREO)
    out = pass_through(source, tmp_path / f"out.{suffix}")
    assert [channels for channels, _ in heard(out.path)] == [2, 6, 2]
    assert min(samples for _, samples in heard(out.path)) >= 47_000, "each part is a second"
    assert not any("format" in warning for warning in out.warnings)


@pytest.mark.parametrize(
    ("make", "to"), [(recording, SURROUND), (live_stream, SURROUND), (live_stream, MONO_44)]
)
def test_matroska_keeps_the_first_format_and_warns_about_later_ones(
    make: Make, to: Audio, tmp_path: Path
) -> None:
    out = pass_through(make(tmp_path, STEREO, to), tmp_path / "out.mkv")
    (warning,) = [warning for warning in out.warnings if ADVICE in warning]
    assert "changes its format at" in warning
    audio = [track for track in judges.mkvmerge(out.path)["tracks"] if track["type"] == "audio"]
    kept = [(t["properties"]["audio_channels"], t["properties"]["audio_sampling_frequency"]) for t in audio]
    assert kept == [(2, 48000)]
    with av.open(str(out.path)) as box:
        assert len(box.streams) == 2, "FFmpeg's muxer wrote the new format over the header, and broke it"


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_audio_of_one_format_is_copied_without_a_warning(suffix: str, tmp_path: Path) -> None:
    source = recording(tmp_path, STEREO)
    out = pass_through(source, tmp_path / f"out.{suffix}")
    with av.open(str(source)) as box:  # an ADTS header without a checksum has seven bytes
        packets = [bytes(packet)[7:] for packet in box.demux(audio=0) if packet.size]
    with av.open(str(out.path)) as box:
        assert [bytes(packet) for packet in box.demux(audio=0) if packet.size] == packets
    assert not any("audio" in warning for warning in out.warnings)


def test_one_damaged_header_is_not_a_change_of_format(tmp_path: Path) -> None:
    data = bytearray(recording(tmp_path, STEREO).read_bytes())
    at = [n for n in range(len(data) - 4) if data[n : n + 2] == b"\xff\xf1"][10]
    data[at + 2] ^= 0x40  # another rate, in one packet
    source = tmp_path / "bad.ts"
    source.write_bytes(data)
    assert not any("changes" in warning for warning in pass_through(source, tmp_path / "out.mkv").warnings)
