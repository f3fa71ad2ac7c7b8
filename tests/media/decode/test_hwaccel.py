"""A GPU decodes the same frames as software; where it cannot, software decodes with a note."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch

from tests.media.fake_gpu import FakeGpu
from tests.media_maker import make_clip, truncated
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.errors import DeviceError
from vsr.frame import YuvFrame
from vsr.media.decode import hwaccel
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.hwaccel import SOFTWARE, Decoding, as_software, choose_decoding
from vsr.media.decode.source import VideoSource, open_video

HDR = ColorSpec(matrix=Matrix.BT2020_NCL, transfer=Transfer.PQ, primaries=Primaries.BT2020)
FULL = ColorSpec(matrix=Matrix.BT709, range=Range.FULL)
CLIPS: dict[str, dict[str, Any]] = {
    "plain.mp4": {"bframes": 3},
    "stream.ts": {"bframes": 2},
    "bare.h264": {"bframes": 2},
    "vfr.mkv": {"pts": [0, 40, 90, 100, 400, 440, 500], "frames": 7, "time_base": Fraction(1, 1000)},
    "full.mp4": {"pix_fmt": "yuvj420p", "color": FULL},
    "interlaced.mkv": {"interlaced": "top", "bframes": 1},
    "turned.mp4": {"rotation": 90, "sar": Fraction(4, 3)},
    "hevc.mp4": {"codec": "libx265", "bframes": 2},
    "hdr.mkv": {"codec": "libx265", "pix_fmt": "yuv420p10le", "bframes": 2, "hdr10": True, "color": HDR},
}
"""Clips that a GPU may decode."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    gpu = FakeGpu()
    gpu.install(monkeypatch)
    return gpu


def read(video: VideoSource) -> list[YuvFrame]:
    with video:
        return list(video.frames())


def assert_same(ours: VideoSource, software: VideoSource) -> None:
    """Check that both decode the same: samples, times, order, tags, damage, and notes."""
    frames, expected = read(ours), read(software)
    assert [frame.stamp for frame in frames] == [frame.stamp for frame in expected]
    for one, other in zip(frames, expected, strict=True):
        assert (one.layout, one.color, one.alpha) == (other.layout, other.color, other.alpha)
        assert all(torch.equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))
    assert ours.damage == software.damage
    assert ours.info == software.info
    assert ours.warnings == software.warnings


@pytest.mark.parametrize("name", CLIPS)
def test_a_gpu_decodes_the_same_frames_as_software(tmp_path: Path, gpu: FakeGpu, name: str) -> None:
    path = make_clip(tmp_path / name, **CLIPS[name])
    ours = open_video(path, hwaccel="cuda")
    assert ours.decoding == Decoding(card=0)
    assert_same(ours, open_video(path))
    assert gpu.used == 2  # for the test of the first frame, and for the run


@pytest.mark.needs_cuda
@pytest.mark.parametrize("name", CLIPS)
def test_nvdec_decodes_the_same_bits_as_software(tmp_path: Path, name: str) -> None:
    if hwaccel.available()["cuda"].startswith("not here"):
        pytest.skip(hwaccel.available()["cuda"])  # a GPU that can compute, but not decode
    # Exact: H.264 and H.265 define every bit. NVDEC refuses frames as small as those of the other tests.
    path = make_clip(tmp_path / name, width=320, height=180, **CLIPS[name])
    ours = open_video(path, hwaccel="cuda")
    assert ours.decoding.name == "cuda:0"
    assert_same(ours, open_video(path))


@pytest.mark.parametrize("name", ["plain.mp4", "hdr.mkv"])
def test_hwaccel_auto_gives_the_same_frames_with_and_without_a_gpu(tmp_path: Path, name: str) -> None:
    path = make_clip(tmp_path / name, **CLIPS[name])
    ours, software = open_video(path, hwaccel="auto"), open_video(path)
    software.warnings += ours.warnings  # one note if this machine has no GPU, else none
    assert len(ours.warnings) == (ours.decoding.card is None)
    assert_same(ours, software)


def test_a_range_of_a_video_is_the_same(tmp_path: Path, gpu: FakeGpu) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=20, bframes=2)
    part = {"start": Fraction(5, 25), "end": Fraction(12, 25)}
    assert_same(open_video(path, hwaccel="cuda", **part), open_video(path, **part))
    assert len(read(open_video(path, hwaccel="cuda", **part))) == 7


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_a_truncated_file_has_the_same_damage(tmp_path: Path, gpu: FakeGpu, name: str) -> None:
    cut = truncated(make_clip(tmp_path / name, frames=60, gop=6), tmp_path / f"cut_{name}", 0.4)
    ours = open_video(cut, hwaccel="cuda")
    assert_same(ours, open_video(cut))
    assert ours.damage


@pytest.mark.parametrize(
    "then",
    [{"width": 96, "height": 80}, {"pix_fmt": "yuv420p10le"}, {"color": FULL}],
    ids=["size", "depth", "range"],
)
def test_a_video_whose_format_changes_is_decoded_as_in_software(
    tmp_path: Path, gpu: FakeGpu, then: dict[str, Any]
) -> None:
    color = ColorSpec(matrix=Matrix.BT709, range=Range.LIMITED)
    parts = [
        make_clip(tmp_path / "1.ts", frames=10, color=color),
        make_clip(tmp_path / "2.ts", frames=10, **{"color": color, **then}),
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert_same(open_video(joined, hwaccel="cuda"), open_video(joined))


def test_software_takes_over_with_a_warning_when_the_gpu_cannot_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=20, bframes=2)
    FakeGpu(until=8).install(monkeypatch)
    ours, software = open_video(path, hwaccel="cuda"), open_video(path)
    frames = read(ours)
    assert ours.warnings == [
        "the video changes to a format that the GPU cannot decode; software decodes the rest"
    ]
    for one, other in zip(frames, read(software), strict=True):
        assert one.stamp == other.stamp
        assert all(torch.equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))


@pytest.mark.parametrize(
    ("name", "knobs", "words"),
    [
        ("a.mkv", {"codec": "ffv1"}, "only h264 and hevc are decoded on a GPU, not ffv1"),
        (
            "a.mp4",
            {"pix_fmt": "yuv422p10le"},
            "only 4:2:0 with 8 or 10 bits is decoded on a GPU, not yuv422p10le",
        ),
        ("a.webm", {"codec": "libvpx-vp9"}, "only h264 and hevc are decoded on a GPU, not vp9"),
    ],
)
def test_software_decodes_unsupported_formats_with_a_note(
    tmp_path: Path, gpu: FakeGpu, name: str, knobs: dict[str, Any], words: str
) -> None:
    path = make_clip(tmp_path / name, **knobs)
    ours, software = open_video(path, hwaccel="auto"), open_video(path)
    assert ours.warnings == [f"`hwaccel='auto'`: {words}; software decodes the same frames instead"]
    assert ours.decoding.name == "software"
    assert gpu.used == 0
    software.warnings += ours.warnings
    assert_same(ours, software)


def test_strict_decodes_in_software_because_a_gpu_does_not_report_damage(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    path = make_clip(tmp_path / "a.mp4")
    ours = open_video(path, hwaccel="auto", strict=True)
    assert ours.decoding.card is None
    assert "`strict=True`" in ours.warnings[0]


class RefusingGpu(FakeGpu):
    """FFmpeg falls back to software from the first frame on, as for H.264 with 10 bits."""

    def __init__(self) -> None:
        super().__init__(until=0)


class OtherBits(FakeGpu):
    """One sample differs."""

    def converted(self, frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        made = super().converted(frames)
        for frame in made:
            memoryview(frame.planes[1]).cast("B")[0] ^= 1
        return made


class OtherSize(FakeGpu):
    """FFmpeg does not crop a GPU's frames at the left and top."""

    def converted(self, frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        return super().converted([frame.reformat(width=frame.width + 2, threads=1) for frame in frames])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (RefusingGpu, "GPU 0 or its driver cannot decode h264 yuv420p of 64x48"),
        (OtherBits, "the GPU's first frame differs from the one that software decodes"),
        (OtherSize, "the GPU's first frame differs from the one that software decodes"),
    ],
)
def test_a_gpu_whose_first_frame_differs_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[FakeGpu], words: str
) -> None:
    kind().install(monkeypatch)
    info = probe(make_clip(tmp_path / "a.mp4"))
    decoding = choose_decoding(info, "auto")
    assert decoding.card is None
    assert words in str(decoding.note)
    with pytest.raises(
        DeviceError, match=f"`hwaccel='cuda'` is impossible: {words}; use `hwaccel='auto'`, or leave it out"
    ):
        choose_decoding(info, "cuda")


def test_no_gpu_is_used_unless_requested(tmp_path: Path, gpu: FakeGpu) -> None:
    assert open_video(make_clip(tmp_path / "a.mp4")).decoding == SOFTWARE
    assert gpu.used == 0


def test_ffmpeg_gets_the_gpu_number_and_may_fall_back_to_software(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, dict[str, object]]] = []
    monkeypatch.setattr(hwaccel, "HWAccel", lambda kind, **more: calls.append((kind, more)))
    hwaccel.accelerator(None)
    hwaccel.accelerator(3)
    assert calls == [("cuda", {"device": 3, "allow_software_fallback": True})]


def test_a_machine_without_a_gpu_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoDevice:
        def __init__(self, *_: object, **__: object) -> None: ...

        def create(self, codec: object) -> None:
            raise av.FFmpegError(1, "Operation not permitted")

    monkeypatch.setattr(hwaccel, "HWAccel", NoDevice)
    why = "there is no NVIDIA driver, or no GPU 3 (Operation not permitted)"
    assert hwaccel.missing(3) == why
    info = probe(make_clip(tmp_path / "a.mp4"))
    note = choose_decoding(info, "auto", card=3).note
    assert note == f"`hwaccel='auto'`: {why}; software decodes the same frames instead"


def test_an_ffmpeg_build_without_gpu_decoders_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    # No PNG decoder can use a GPU, so PyAV raises the error here that it raises for all such decoders.
    monkeypatch.setattr(hwaccel, "CODECS", ("png",))
    assert hwaccel.missing() == "this build of FFmpeg cannot decode on NVIDIA GPUs"


def test_a_gpu_without_video_libraries_is_not_available(
    monkeypatch: pytest.MonkeyPatch, gpu: FakeGpu
) -> None:
    # Without the capability `video`, a container has the driver but no decoder, and FFmpeg falls back.
    assert "lacks its video libraries" in hwaccel.available()["cuda"]
    monkeypatch.setattr(hwaccel, "is_decoded_on_gpu", lambda decoder: True)
    assert hwaccel.available() == {"cuda": "is there, for h264 and hevc"}


def test_a_planar_frame_keeps_the_tags_and_times_of_the_gpu_frame(tmp_path: Path, gpu: FakeGpu) -> None:
    path = make_clip(tmp_path / "a.mkv", **CLIPS["interlaced.mkv"])
    with av.open(str(path)) as box:
        for frame in box.decode(video=0):
            (ours,) = gpu.converted([frame])
            planar = as_software(ours, "yuv420p")
            assert planar.format.name == "yuv420p"
            for name in ("pts", "dts", "duration", "time_base", "interlaced_frame", "is_corrupt", "rotation"):
                assert getattr(planar, name) == getattr(frame, name), name
