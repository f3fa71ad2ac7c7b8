"""Properties that change inside a file are converted to those of the output, or the change is reported."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from tests.media.pass_through import pass_through
from tests.media_maker import make_clip, number_in
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.frame import YuvFrame
from vsr.media.audit import verify
from vsr.media.decode.facts import sizes
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video

SMALL, LARGE = (64, 48), (96, 72)
BT601 = ColorSpec(
    primaries=Primaries.SMPTE170M,
    transfer=Transfer.SMPTE170M,
    matrix=Matrix.SMPTE170M,
    range=Range.LIMITED,
)
BT709 = ColorSpec(
    primaries=Primaries.BT709, transfer=Transfer.BT709, matrix=Matrix.BT709, range=Range.LIMITED
)


def joined(path: Path, *parts: dict[str, object]) -> Path:
    """Write transport streams of ten frames each, joined end to end; their frame numbers continue."""
    whole = b""
    for place, knobs in enumerate(parts):
        clip = make_clip(path.with_name(f"{place}.ts"), frames=10, first_number=10 * place, **knobs)
        whole += clip.read_bytes()
    path.write_bytes(whole)
    return path


def read(path: Path, **more: object) -> tuple[list[YuvFrame], list[str]]:
    source = open_video(path, **more)  # type: ignore[arg-type]
    with source:
        return list(source.frames()), source.warnings


def size_of(frames: list[YuvFrame]) -> set[tuple[int, int]]:
    return {(frame.width, frame.height) for frame in frames}


@pytest.mark.parametrize("order", [(SMALL, LARGE), (LARGE, SMALL)])
def test_frames_of_a_recording_get_its_largest_size(
    tmp_path: Path, order: tuple[tuple[int, int], ...]
) -> None:
    parts = [{"width": width, "height": height} for width, height in order]
    frames, warnings = read(joined(tmp_path / "in.ts", *parts))
    assert size_of(frames) == {LARGE}
    assert [number_in(frame.planes[0]) for frame in frames] == list(range(20))
    assert any("size changes" in warning and "96x72" in warning for warning in warnings)


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "mpeg2video", "mpeg1video"])
def test_no_frame_is_lost_where_the_size_changes(tmp_path: Path, codec: str, bframes: int) -> None:
    """FFmpeg's decoders of MPEG-1, 2 and 4 drop the frame that they hold back."""
    small, large = (
        {"codec": codec, "bframes": bframes, "width": width, "height": height}
        for width, height in (SMALL, LARGE)
    )
    path = joined(tmp_path / "in.ts", small, large, small)
    frames, _ = read(path)
    assert [number_in(frame.planes[0]) for frame in frames] == list(range(30))
    made = pass_through(path, tmp_path / "out.mkv").path
    assert not any("frames" in line for line in verify(path, made).lost)


def test_the_largest_size_is_found_in_a_file_too_large_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "WHOLE", 0)
    small, large = ({"width": width, "height": height} for width, height in (SMALL, LARGE))
    path = joined(tmp_path / "in.ts", small, small, small, large)
    assert sizes.with_lasting_size(probe(path)).width == LARGE[0]


def test_a_size_that_only_a_damaged_header_states_is_not_the_videos(tmp_path: Path) -> None:
    """MPEG-2 repeats its sequence header before each group of frames; the first one gets 12,336 rows here."""
    path = make_clip(tmp_path / "in.mpg", codec="mpeg2video", frames=40, options={"g": "10"})
    data = bytearray(path.read_bytes())
    data[data.index(b"\x00\x00\x01\xb5") + 6] |= 0b0110_0000  # the highest bits of the height
    path.write_bytes(data)
    assert probe(path).height == (3 << 12) + SMALL[1]
    with open_video(path) as source:
        assert size_of(list(source.frames())) == {SMALL}
        assert source.damage


@pytest.mark.parametrize("suffix", [".webm", ".mkv"])
def test_the_size_that_a_container_states_overrides_the_first_frames(tmp_path: Path, suffix: str) -> None:
    """A recorded video call, for example, begins with small frames."""
    clips = [
        make_clip(tmp_path / f"{w}.webm", codec="libvpx-vp9", width=w, height=h, frames=5)
        for w, h in (SMALL, LARGE)
    ]
    path = tmp_path / f"in{suffix}"
    with av.open(str(clips[1])) as large, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(large.streams.video[0], opaque=True)
        for place, clip in enumerate(clips):
            with av.open(str(clip)) as box:
                for packet in box.demux(video=0):
                    if packet.size:
                        packet.stream = stream
                        packet.pts = packet.dts = packet.pts + 200 * place
                        made.mux(packet)
    frames, _ = read(path)
    assert size_of(frames) == {LARGE}
    assert size_of(read(clips[0])[0]) == {SMALL}, "nothing changes in a file of one size"


def test_files_of_constant_size_are_not_searched_for_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "_key_frames", lambda *_, **__: pytest.fail("it was searched"))
    for name in ("a.mp4", "a.mkv", "a.avi"):
        assert size_of(read(make_clip(tmp_path / name, codec="mpeg4"))[0]) == {SMALL}


def test_each_frame_is_converted_by_its_own_matrix(tmp_path: Path) -> None:
    """Two parts with equal Y'CbCr values have different colours, and each must keep its own."""
    frames, warnings = read(joined(tmp_path / "in.ts", {"color": BT601}, {"color": BT709}))
    assert [frame.color.matrix for frame in frames] == [Matrix.SMPTE170M] * 10 + [Matrix.BT709] * 10
    before, after = frames[0].to_rgb().image, frames[10].to_rgb().image
    assert float((before - after)[:, 24:].abs().max()) > 0.02, "the same values are other colours"
    assert any("colour matrix changes" in warning for warning in warnings)
    overridden, warnings = read(tmp_path / "in.ts", color=ColorSpec(matrix=Matrix.BT709))
    assert {frame.color.matrix for frame in overridden} == {Matrix.BT709}
    assert not any("matrix changes" in warning for warning in warnings)


def test_the_matrix_of_untagged_frames_is_guessed_from_their_own_size(tmp_path: Path) -> None:
    parts = [
        {"codec": "mpeg2video", "width": 720, "height": 480},
        {"codec": "mpeg2video", "width": 1280, "height": 720},
    ]
    frames, _ = read(joined(tmp_path / "in.ts", *parts))
    assert size_of(frames) == {(1280, 720)}
    assert [frame.color.matrix for frame in frames] == [Matrix.SMPTE170M] * 10 + [Matrix.BT709] * 10


def test_a_change_of_primaries_or_curve_is_reported_once_with_its_time(tmp_path: Path) -> None:
    pq = ColorSpec(primaries=Primaries.BT2020, transfer=Transfer.PQ, matrix=Matrix.BT709, range=Range.LIMITED)
    _, warnings = read(joined(tmp_path / "in.ts", {"color": BT709}, {"color": pq}, {"color": BT709}))
    (primaries,) = [text for text in warnings if "primaries" in text]
    (curve,) = [text for text in warnings if "transfer curve" in text]
    assert "at about 0.400 s from bt709 to bt2020" in primaries
    assert "from bt709 to pq" in curve
    _, warnings = read(joined(tmp_path / "same.ts", {"color": BT601}, {"color": BT601}))
    assert not any("changes at" in text for text in warnings)


def test_a_change_between_equal_curves_is_not_reported(tmp_path: Path) -> None:
    other = ColorSpec(
        primaries=Primaries.BT709, transfer=Transfer.SMPTE170M, matrix=Matrix.BT709, range=Range.LIMITED
    )
    _, warnings = read(joined(tmp_path / "in.ts", {"color": BT709}, {"color": other}))
    assert not any("curve" in text for text in warnings)


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_a_change_of_the_pixel_aspect_ratio_is_reported(tmp_path: Path, codec: str) -> None:
    wide, narrow = (
        {"codec": codec, "width": 144, "height": 96, "sar": sar} for sar in (Fraction(8, 9), Fraction(32, 27))
    )
    _, warnings = read(joined(tmp_path / "in.ts", wide, narrow))
    assert sum("pixel aspect ratio changes" in text and "8:9 to 32:27" in text for text in warnings) == 1
    _, warnings = read(joined(tmp_path / "same.ts", wide, wide))
    assert not any("pixel aspect ratio" in text for text in warnings)


def test_frames_with_another_matrix_keep_their_colours(tmp_path: Path) -> None:
    """The R'G'B' values of the second part equal those of its own file."""
    frames, _ = read(joined(tmp_path / "in.ts", {"color": BT601}, {"color": BT709}))
    alone, _ = read(tmp_path / "1.ts")
    assert torch.equal(frames[10].to_rgb().image, alone[0].to_rgb().image)
