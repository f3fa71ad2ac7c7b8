"""Caption tracks (CEA-608 in MOV) become text; each caption is complete and has its own time."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests import judges
from tests.media.pass_through import pass_through, settings_for, tracks
from tests.media_maker import make_clip

FRAME = Fraction(1001, 30000)
RESUME_LOADING, ERASE_HIDDEN, ROW_15, END_OF_CAPTION = (0x14, 0x20), (0x14, 0x2E), (0x14, 0x70), (0x14, 0x2F)
ERASE_SHOWN = (0x14, 0x2C)
ROLL_UP, PAINT_ON, NEW_ROW = (0x14, 0x25), (0x14, 0x29), (0x14, 0x2D)
NOTHING = (0x00, 0x00)


def pop_on(text: str) -> list[tuple[int, int]]:
    """Return the byte pairs that load a caption and show it with the last one (CEA-608; commands are sent
    twice).
    """
    begin = twice(RESUME_LOADING, ERASE_HIDDEN, ROW_15)
    return [*begin, *letters(text), END_OF_CAPTION, END_OF_CAPTION]


def twice(*commands: tuple[int, int]) -> list[tuple[int, int]]:
    return [pair for command in commands for pair in (command, command)]


def letters(text: str) -> list[tuple[int, int]]:
    data = text.encode("ascii") + b"\0" * (len(text) % 2)
    return list(zip(data[::2], data[1::2], strict=True))


def with_odd_parity(value: int) -> int:
    return value | (0 if value.bit_count() % 2 else 0x80)


def caption_clip(path: Path, pairs: list[tuple[int, int]]) -> Path:
    """Write a MOV of 30000/1001 frames per second with a caption track of one byte pair per frame."""
    film = make_clip(path.with_name("film.mov"), frames=len(pairs), rate=Fraction(30000, 1001))
    with av.open(str(film)) as box, av.open(str(path), "w") as out:
        picture = out.add_stream_from_template(box.streams.video[0], opaque=True)
        captions = out.add_mux_stream("cc_dec", time_base=Fraction(1, 30000))
        captions.metadata["language"] = "eng"
        for packet in [p for p in box.demux(video=0) if p.size]:
            packet.stream = picture
            out.mux(packet)
        for number, pair in enumerate(pairs):
            packet = av.Packet(bytes([0xFC, *map(with_odd_parity, pair)]))
            packet.stream, packet.time_base = captions, Fraction(1, 30000)
            packet.pts = packet.dts = number * 1001
            packet.duration = 1001
            out.mux(packet)
    return path


FIRST, SECOND = pop_on("FIRST"), pop_on("SECOND")
PAIRS = [*FIRST, *[NOTHING] * 10, *SECOND, *[NOTHING] * 5, ERASE_SHOWN, ERASE_SHOWN, *[NOTHING] * 5]
SHOWN = [
    (len(FIRST) - 2, len(FIRST) + 10 + len(SECOND) - 2, "FIRST"),
    (len(FIRST) + 10 + len(SECOND) - 2, len(FIRST) + 10 + len(SECOND) + 5, "SECOND"),
]
"""First and last frame of each caption, and its text, as the byte pairs define them."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return caption_clip(tmp_path_factory.mktemp("captions") / "in.mov", PAIRS)


def lines(path: Path) -> list[tuple[int, int, str]]:
    """Return first frame, last frame and text of everything shown, as an independent program reads it."""
    packets = judges.ffprobe(path, "-show_packets", "-select_streams", "s")["packets"]
    (track,) = tracks(path, "subtitle")
    found = []
    for packet, payload in zip(packets, track.payloads, strict=True):
        begin = Fraction(packet["pts_time"])
        end = begin + Fraction(packet["duration_time"])
        text = payload.decode("utf-8", "replace").split(",", 8)[-1]
        text = re.sub(r"\{.*?\}|\\N|[\x00-\x1f]", "", text).strip()
        if text:
            found.append((round(begin / FRAME), round(end / FRAME), text))
    return found


@pytest.mark.parametrize(("target", "codec"), [(".mkv", "ssa"), (".mp4", "mov_text"), (".webm", "webvtt")])
def test_each_caption_is_one_line_for_as_long_as_it_is_on_the_screen(
    clip: Path, tmp_path: Path, target: str, codec: str
) -> None:
    settings = settings_for("libvpx-vp9" if target == ".webm" else "libx264")
    out = pass_through(clip, tmp_path / f"out{target}", settings=settings)
    (track,) = tracks(out.path, "subtitle")
    assert track.codec == codec
    assert lines(out.path) == SHOWN
    reported = [warning for warning in out.warnings if "position on the screen" in warning]
    assert len(reported) == (codec != "ssa"), "only ASS says where on the screen a caption stands"


def test_quicktime_keeps_the_captions_as_they_are(clip: Path, tmp_path: Path) -> None:
    out = pass_through(clip, tmp_path / "out.mov")
    (before,), (after,) = tracks(clip, "subtitle"), tracks(out.path, "subtitle")
    assert out.warnings == []
    assert after.payloads == before.payloads
    (track,) = [s for s in judges.ffprobe(out.path)["streams"] if s["codec_type"] == "subtitle"]
    assert track["codec_name"] == "eia_608"


def test_a_clip_includes_the_caption_that_is_on_the_screen(clip: Path, tmp_path: Path) -> None:
    begin = (SHOWN[0][0] + 3) * FRAME
    out = pass_through(clip, tmp_path / "out.mkv", start=begin)
    cut = SHOWN[0][0] + 3
    assert lines(out.path) == [(max(0, first - cut), last - cut, text) for first, last, text in SHOWN]


PAUSE = [NOTHING] * 20
ROLLED = [
    *twice(ROLL_UP, NEW_ROW, ROW_15),
    *letters("ONE"),
    *PAUSE,
    *twice(NEW_ROW),
    *letters("TWO"),
    *PAUSE,
    *twice(ERASE_SHOWN),
    *PAUSE,
    *twice(ROLL_UP, NEW_ROW, ROW_15),
    *letters("THREE"),
    *PAUSE,
]
PAINTED = [
    *twice(PAINT_ON, ROW_15),
    *letters("ONE"),
    *PAUSE,
    *twice(ERASE_SHOWN),
    *PAUSE,
    *twice(PAINT_ON, ROW_15),
    *letters("TWO"),
    *PAUSE,
    *twice(ERASE_SHOWN),
    NOTHING,
]


@pytest.mark.parametrize("target", [".mkv", ".mp4"])
@pytest.mark.parametrize(
    ("pairs", "shown"),
    [
        pytest.param(ROLLED, [(6, 28, "ONE"), (28, 52, "ONETWO"), (80, len(ROLLED), "THREE")], id="roll-up"),
        pytest.param(PAINTED, [(4, 26, "ONE"), (52, 74, "TWO")], id="paint-on"),
    ],
)
def test_captions_that_are_written_on_the_screen_begin_with_their_first_letter(
    pairs: list[tuple[int, int]], shown: list[tuple[int, int, str]], target: str, tmp_path: Path
) -> None:
    """The frames follow from the byte pairs: a caption begins with its first pair of letters, and a row that
    rolls up stays for one more caption."""
    out = pass_through(caption_clip(tmp_path / "in.mov", pairs), tmp_path / f"out{target}")
    assert lines(out.path) == shown


def test_captions_of_a_second_channel_are_left_out_with_a_warning(tmp_path: Path) -> None:
    second = [(first | 0x08, last) for first, last in twice(PAINT_ON, ROW_15)]
    pairs = [*second, *letters("OTHER"), *PAUSE, *PAINTED]
    out = pass_through(caption_clip(tmp_path / "in.mov", pairs), tmp_path / "out.mkv")
    delay = len(pairs) - len(PAINTED)
    assert lines(out.path) == [(delay + 4, delay + 26, "ONE"), (delay + 52, delay + 74, "TWO")]
    assert [warning for warning in out.warnings if "only the first becomes text" in warning]
