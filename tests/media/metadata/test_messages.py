"""Captions, active format, HDR10+ and other side data stay with their frames; what is lost is named.

Sources are made by inserting messages into encoded frames. ffprobe reads the side data of the output's
frames.
"""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from tests.judges import ffprobe
from tests.media.message_maker import (
    UUID,
    active_format,
    ambient,
    caption,
    carrying_clip,
    dynamic,
    user_data,
)
from tests.media_maker import make_clip, picture
from vsr.color.spec import ColorSpec, Matrix
from vsr.errors import InputError
from vsr.frame import DolbyVision
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video
from vsr.media.formats.boxes import box, edited, find_boxes
from vsr.media.metadata.bits import BitWriter
from vsr.media.metadata.bitstream import escaped
from vsr.media.metadata.hdr10plus import hdr10plus_message
from vsr.media.metadata.messages import LABELS, caption_messages, loss_note, messages_of
from vsr.media.metadata.side_data import side_data, side_data_of
from vsr.pipeline.run import upscale

_CAPTIONS, _AFD = "ATSC A53 Part 4 Closed Captions", "Active format description"
_HDR10PLUS = "HDR Dynamic Metadata SMPTE2094-40 (HDR10+)"
_AMBIENT, _USER = "Ambient viewing environment", "H.26[45] User Data Unregistered SEI message"


def _beside(path: Path, *kinds: str) -> list[list[object]]:
    """Return the side data that ffprobe finds in each frame, in the order of `kinds`."""
    frames = ffprobe(path, "-show_frames", "-select_streams", "v")["frames"]
    found = [frame.get("side_data_list", []) for frame in frames]
    return [[data for kind in kinds for data in frame if data["side_data_type"] == kind] for frame in found]


def _bytes_beside(path: Path, kind: str) -> list[list[bytes]]:
    with av.open(str(path)) as box:
        return [[bytes(d) for k, d in side_data_of(frame) if k == kind] for frame in box.decode(video=0)]


def _upscaled(source: Path, name: str, encoder: str, **settings: object) -> Path:
    target = source.with_name(name)
    preset = "12" if encoder == "libsvtav1" else "ultrafast"
    upscale(source, target, model="bicubic", scale=2, encoder=encoder, preset=preset, **settings)
    return target


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize(
    ("encoder", "name"),
    [("libx264", "b.mp4"), ("libx264", "b.mkv"), ("libx265", "b.mp4"), ("libx265", "b.mkv")],
)
def test_captions_and_active_format_stay_with_their_frames(
    tmp_path: Path, encoder: str, name: str, pix_fmt: str
) -> None:
    source = carrying_clip(tmp_path / "a.ts", "h264", caption, active_format, user_data, frames=30)
    result = _upscaled(source, name, encoder, pixel_format=pix_fmt, segment_seconds=0.5)
    # ffprobe 5.1 reads the active format in H.264 only.
    kinds = [_CAPTIONS, _AFD] if encoder == "libx264" else [_CAPTIONS]
    was = _beside(source, *kinds)
    assert all(len(frame) == len(kinds) for frame in was)
    assert _beside(result, *kinds) == was
    for kind in ("A53_CC", "AFD"):
        assert _bytes_beside(result, kind) == _bytes_beside(source, kind)
    kept = [
        [data for data in frame if data.startswith(UUID)]
        for frame in _bytes_beside(result, "SEI_UNREGISTERED")
    ]
    assert kept == [[user_data(number).payload] for number in range(30)]


def _mpeg2(path: Path) -> Path:
    """Write MPEG-2 with B-frames, captions and active format in the user data of frames (ATSC A/53 part
    4).
    """
    with av.open(str(path), "w") as box:
        stream = box.add_stream("mpeg2video", rate=25, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        packets = []
        for number in range(12):
            frame = picture(number)
            frame.pts = number
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)]:
            data, number = bytes(packet), round(packet.pts * packet.time_base * 25)
            slices = (data.find(b"\0\0\1" + bytes([row])) for row in range(1, 0xB0))
            at = min(place for place in slices if place >= 0)
            user = b"".join(b"\0\0\1\xb2" + make(number).payload[3:] for make in (caption, active_format))
            made = av.Packet(data[:at] + user + data[at:])
            made.stream, made.pts, made.dts, made.duration = stream, packet.pts, packet.dts, packet.duration
            made.time_base, made.is_keyframe = packet.time_base, packet.is_keyframe
            box.mux(made)
    return path


def test_captions_of_mpeg2_become_those_of_h264_without_loss(tmp_path: Path) -> None:
    source = _mpeg2(tmp_path / "a.ts")
    assert probe(source).side_data == ("A53_CC", "AFD")  # without the pan-scan window that MPEG-2 always has
    result = _upscaled(source, "b.mkv", "libx264")
    was = _beside(source, _CAPTIONS, _AFD)
    assert all(len(frame) == 2 for frame in was)
    assert _beside(result, _CAPTIONS, _AFD) == was
    for kind in ("A53_CC", "AFD"):
        assert _bytes_beside(result, kind) == _bytes_beside(source, kind)


def test_captions_go_into_av1(tmp_path: Path) -> None:
    source = carrying_clip(tmp_path / "a.mkv", "h264", caption, frames=20)
    result = _upscaled(source, "b.mkv", "libsvtav1")
    assert _bytes_beside(result, "A53_CC") == _bytes_beside(source, "A53_CC")


def test_captions_stay_with_frames_that_are_deinterlaced_or_repeated(tmp_path: Path) -> None:
    source = carrying_clip(tmp_path / "a.mkv", "h264", caption, frames=6)
    result = _upscaled(source, "b.mkv", "libx264", deinterlace="auto", filters_before=("unsharp",))
    assert _bytes_beside(result, "A53_CC") == _bytes_beside(source, "A53_CC")


@pytest.mark.parametrize(
    ("encoder", "name"), [("libx265", "b.mp4"), ("libx265", "b.mkv"), ("libsvtav1", "b.mkv")]
)
def test_every_field_of_dynamic_metadata_survives(tmp_path: Path, encoder: str, name: str) -> None:
    source = carrying_clip(tmp_path / "a.mkv", "hevc", dynamic, pix_fmt="yuv420p10le")
    result = _upscaled(source, name, encoder)
    assert len(_bytes_beside(source, "DYNAMIC_HDR_PLUS")) == 8
    assert _bytes_beside(result, "DYNAMIC_HDR_PLUS") == _bytes_beside(source, "DYNAMIC_HDR_PLUS")
    if encoder == "libx265":
        assert _beside(result, _HDR10PLUS) == _beside(source, _HDR10PLUS)


def test_ambient_light_is_repeated_at_key_frames(tmp_path: Path) -> None:
    source = carrying_clip(tmp_path / "a.mkv", "hevc", ambient)
    result = _upscaled(source, "b.mkv", "libx265")
    was = _bytes_beside(source, "AMBIENT_VIEWING_ENVIRONMENT")
    assert was[0]
    assert _bytes_beside(result, "AMBIENT_VIEWING_ENVIRONMENT") == was


def test_a_frame_with_more_captions_than_a_message_holds_has_several() -> None:
    made = caption_messages(bytes(range(3)) * 40)
    assert [len(m.payload) for m in made] == [11 + 3 * 31, 11 + 3 * 9]


@pytest.mark.parametrize(("encoder", "name"), [("libvpx-vp9", "b.mkv"), ("ffv1", "b.mkv")])
def test_unsupported_side_data_is_named_once_with_an_encoder_that_keeps_it(
    tmp_path: Path, encoder: str, name: str
) -> None:
    source = carrying_clip(tmp_path / "a.mkv", "h264", caption, active_format)
    report = upscale(source, tmp_path / name, model="bicubic", scale=2, encoder=encoder)
    (note,) = [line for line in report.warnings if "lacks side data" in line]
    assert "closed captions" in note
    assert "active format" in note
    assert "`encoder='libx264'` or `encoder='libx265'`" in note


def test_side_data_that_begins_later_is_named_too(tmp_path: Path) -> None:
    plain, late = (
        carrying_clip(tmp_path / f"{n}.ts", "h264", *made)
        for n, made in enumerate(((active_format,), (caption,)))
    )
    joined = tmp_path / "joined.ts"
    joined.write_bytes(plain.read_bytes() + late.read_bytes())
    report = upscale(joined, tmp_path / "b.mkv", model="bicubic", scale=2, encoder="ffv1")
    notes = [line for line in report.warnings if "lacks side data" in line]
    assert ["closed captions" in note for note in notes] == [False, True]


def test_the_note_names_encoders_only_for_side_data_that_they_keep() -> None:
    assert loss_note(["A53_CC"], codec="h264") == []
    (note,) = loss_note(["DOVI_METADATA"], codec="hevc", dolby_vision=DolbyVision(profile=8, viewable=True))
    assert note.endswith("Dolby Vision profile 8 (its base layer is kept)")
    (note,) = loss_note(["DYNAMIC_HDR_PLUS", "ICC_PROFILE"], codec="h264")
    assert note.endswith(
        "HDR10+ metadata, an ICC profile; `encoder='libx265'` or `encoder='libsvtav1'` keeps HDR10+ metadata"
    )
    assert all(loss_note([kind], codec="rawvideo") for kind in LABELS)


def test_the_encoders_own_settings_are_not_user_data(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=2)
    with av.open(str(clip)) as box:
        frame = next(iter(box.decode(video=0)))
    assert side_data(frame, "SEI_UNREGISTERED") is not None
    assert messages_of(frame) == ((), ())


def test_several_windows_of_hdr10plus_are_not_scaled_but_named() -> None:
    data = bytearray(11304)
    data[2] = 2
    assert hdr10plus_message(bytes(data)) is None
    data[2] = 1  # every denominator is 0
    assert hdr10plus_message(bytes(data)) is None


def put_exp_golomb(bits: BitWriter, value: int) -> None:
    """Append a number as ue(v), an Exp-Golomb code (ITU-T H.264, 9.1)."""
    bits.put(value + 1, 2 * (value + 1).bit_length() - 1)


def _dolby_vision(profile: int) -> bytes:
    """Return a Dolby Vision RPU with identity curves (ETSI GS CCM 001, 5.3), of profile 5 or 8."""
    bits = BitWriter()
    for value, width in [
        (25, 8),
        (2, 6),
        (18, 11),
        (0 if profile == 5 else 1, 4),
        (0, 4),
        (1, 1),
        (0, 1),
        (0, 2),
    ]:
        bits.put(value, width)
    put_exp_golomb(bits, 23)  # coef_log2_denom
    for value, width in [(1, 2), (profile == 5, 1)]:
        bits.put(value, width)
    for depth in (2, 2, 4):  # bits beyond 8 of base, enhancement, and signal
        put_exp_golomb(bits, depth)
    for value, width in [(0, 1), (0, 3), (0, 1), (1, 1), (0, 1), (0, 1)]:
        bits.put(value, width)
    for value in (0, 0, 0):  # vdr_rpu_id, colour space and format of the mapping
        put_exp_golomb(bits, value)
    for _ in range(3):
        put_exp_golomb(bits, 0)  # two pivots
        bits.put(0, 10)
        bits.put(1023, 10)
    put_exp_golomb(bits, 0)
    put_exp_golomb(bits, 0)
    for _ in range(3):
        put_exp_golomb(bits, 0)  # polynomial
        put_exp_golomb(bits, 0)  # of order 1
        bits.put(0, 1)
        for whole in (0, 2):  # se(v): 0, and 1
            put_exp_golomb(bits, whole if whole == 0 else 1)
            bits.put(0, 23)
    return bits.done() + bytes(4) + b"\x80"


def _with_rpu(path: Path, profile: int) -> Path:
    """Write a clip of H.265 with a Dolby Vision unit (type 62) after each frame's slices."""
    plain = carrying_clip(path.with_name("plain.mkv"), "hevc", pix_fmt="yuv420p10le", frames=3)
    with av.open(str(plain)) as source, av.open(str(path), "w") as box:
        stream = box.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.size:
                unit = b"\x7c\x01" + escaped(_dolby_vision(profile))
                made = av.Packet(bytes(packet) + len(unit).to_bytes(4, "big") + unit)
                made.stream, made.pts, made.dts = stream, packet.pts, packet.dts
                made.time_base, made.is_keyframe = packet.time_base, packet.is_keyframe
                box.mux(made)
    return path


def test_dolby_vision_without_a_compatible_layer_is_refused_unless_a_matrix_is_set(
    tmp_path: Path,
) -> None:
    clip = _with_rpu(tmp_path / "a.mkv", 5)
    assert probe(clip).dolby_vision == DolbyVision(profile=5, viewable=False)
    with pytest.raises(InputError, match=r"profile 5.*colours would be wrong"):
        upscale(clip, tmp_path / "b.mkv", model="bicubic", scale=2)
    with open_video(clip, color=ColorSpec(matrix=Matrix.BT2020_NCL)) as video:
        assert any("colours are wrong" in line for line in video.warnings)


def test_the_containers_dolby_vision_profile_counts_if_frames_have_no_metadata(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", codec="libx265", frames=2)
    config = bytes([1, 0, 5 << 1, 1, 0]) + bytes(19)
    _put_in_entry(clip, box(b"dvcC", config))
    assert probe(clip).dolby_vision == DolbyVision(profile=5, viewable=False)
    with pytest.raises(InputError, match="colours would be wrong"):
        open_video(clip)


def _put_in_entry(path: Path, added: bytes) -> None:
    """Insert a box into the first sample entry; the index is at the end of the file."""

    def put(stsd: bytes) -> bytes:
        size = int.from_bytes(stsd[8:12], "big")
        return stsd[:8] + box(stsd[12:16], stsd[16 : 8 + size] + added) + stsd[8 + size :]

    data = path.read_bytes()
    with path.open("rb") as file:
        ((start, end),) = find_boxes(file, 0, len(data), b"moov")
    moov = edited(data[start:end], put, b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    path.write_bytes(data[: start - 8] + box(b"moov", moov) + data[end:])


def test_dolby_vision_with_a_base_layer_is_named(tmp_path: Path) -> None:
    clip = _with_rpu(tmp_path / "a.mkv", 8)
    report = upscale(clip, tmp_path / "b.mkv", model="bicubic", scale=2, encoder="libx265")
    (note,) = [line for line in report.warnings if "lacks side data" in line]
    assert note.endswith("Dolby Vision profile 8 (its base layer is kept)")
