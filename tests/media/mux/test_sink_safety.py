"""The sink refuses bad settings before any work, and leaves nothing behind after an error."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from tests.media.pass_through import fitted, open_for, pass_through, tracks
from tests.media_maker import Audio, Subtitle, make_clip, pts_of
from vsr.errors import ConfigError, InputError, OutputError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video
from vsr.media.formats.muxers import cannot_write
from vsr.media.mux.sink import VideoSink

# Settings that are refused before any work


def info_for(clip: Path) -> VideoInfo:
    return probe(clip)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", frames=30, audio=[Audio()])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which only the test's own files may remain."""
    yield tmp_path
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".vsr-")]


def test_the_input_is_never_overwritten(clip: Path, folder: Path) -> None:
    link = folder / "link.mp4"
    link.symlink_to(clip)
    hard = folder / "hard.mp4"
    os.link(clip, hard)
    for target in (clip, link, hard):
        with pytest.raises(ConfigError, match="is the input itself"):
            open_for(clip, target, info_for(clip), overwrite=True)


def test_an_existing_file_needs_permission_to_be_replaced(clip: Path, folder: Path) -> None:
    target = folder / "out.mkv"
    target.write_text("precious")
    with pytest.raises(ConfigError, match="overwrite=True"):
        open_for(clip, target, info_for(clip))
    sink = open_for(clip, target, info_for(clip), overwrite=True)
    sink.abort()
    assert target.read_text() == "precious"


def test_the_later_of_two_runs_to_the_same_new_file_is_refused(clip: Path, folder: Path) -> None:
    target = folder / "out.mkv"
    with open_video(clip) as video:
        slow = open_for(clip, target, video.info)
        for frame in video.frames():
            slow.write(fitted(frame, slow.layout))
    first = pass_through(clip, target).path.read_bytes()
    with pytest.raises(OutputError, match="appeared during the run"):
        slow.finish()
    assert target.read_bytes() == first


def test_unwritable_folders_are_named(clip: Path, folder: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        open_for(clip, folder / "none" / "out.mkv", info_for(clip))
    with pytest.raises(ConfigError, match="is a folder"):
        open_for(clip, folder, info_for(clip))
    with pytest.raises(OutputError, match="cannot be written there"):
        open_for(clip, Path("/proc/out.mkv"), info_for(clip))


def test_names_of_250_bytes_work(clip: Path, folder: Path) -> None:
    target = folder / ("ü" * 123 + ".mkv")
    assert len(os.fsencode(target.name)) == 250
    assert pass_through(clip, target).path.exists()


def test_the_file_obeys_the_umask(clip: Path, folder: Path) -> None:
    before = os.umask(0o027)
    try:
        out = pass_through(clip, folder / "out.mkv").path
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o640


# Errors during the work


def write_some(clip: Path, target: Path, *, fail_at: int) -> None:
    with open_video(clip) as video, open_for(clip, target, video.info) as sink:
        for frame in video.frames():
            if frame.stamp.index == fail_at:
                raise RuntimeError("stop here")
            sink.write(frame)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("fail_at", [0, 7])
def test_an_exception_leaves_nothing(clip: Path, folder: Path, suffix: str, fail_at: int) -> None:
    with pytest.raises(RuntimeError, match="stop here"):
        write_some(clip, folder / f"out{suffix}", fail_at=fail_at)
    assert list(folder.iterdir()) == []


def interrupted(sink: VideoSink, frame: YuvFrame) -> None:
    with sink:
        sink.write(frame)
        raise KeyboardInterrupt


def test_ctrl_c_leaves_nothing(clip: Path, folder: Path) -> None:
    with open_video(clip) as video:
        sink = open_for(clip, folder / "out.mp4", video.info)
        with pytest.raises(KeyboardInterrupt):
            interrupted(sink, next(iter(video.frames())))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_header_that_the_container_refuses_leaves_nothing(
    clip: Path, folder: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OutputError("no")

    monkeypatch.setattr("vsr.media.mux.sink.start_output", refuse)
    with pytest.raises(OutputError):
        open_for(clip, folder / f"out{suffix}", info_for(clip))
    assert list(folder.iterdir()) == []


def test_a_run_without_frames_is_an_error_and_leaves_nothing(clip: Path, folder: Path) -> None:
    sink = open_for(clip, folder / "out.mkv", info_for(clip))
    with pytest.raises(OutputError, match="no frame was written"):
        sink.finish()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_full_disk_at_any_point_is_reported_and_leaves_nothing(
    clip: Path, folder: Path, suffix: str
) -> None:
    """Uses a limit on file sizes. The last of these sizes fails only when the file is closed."""
    whole = pass_through(clip, folder / f"whole{suffix}").report.bytes
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 100, whole // 2, whole - 2048, whole - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            with pytest.raises(OutputError, match="cannot be"):
                pass_through(clip, folder / f"out{suffix}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [path.name for path in folder.iterdir()] == [f"whole{suffix}"]


def test_finish_may_be_called_twice(clip: Path, folder: Path) -> None:
    with open_video(clip) as video:
        sink = open_for(clip, folder / "out.mkv", video.info)
        for frame in video.frames():
            sink.write(fitted(frame, sink.layout))
    report = sink.finish()
    assert sink.finish() is report
    sink.close()
    sink.abort()
    assert report.path.stat().st_size == report.bytes
    assert (report.frames, report.streams) == (30, 1)


# Damaged audio


def with_bad_headers(clip: Path, to: Path, which: slice) -> tuple[Path, int]:
    """Write a TS whose audio has an invalid sampling rate in some ADTS headers; return how many."""
    data = bytearray(clip.read_bytes())
    headers = [n for n in range(len(data) - 4) if data[n] == 0xFF and data[n + 1 : n + 3] == b"\xf1\x4c"]
    for place in headers[which]:
        data[place + 2] |= 0x3C
    to.write_bytes(data)
    return to, len(headers[which])


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("which", [slice(0, 1), slice(20, 21), slice(20, 24)])
def test_damaged_audio_is_left_out_and_counted_and_the_run_continues(
    tmp_path: Path, suffix: str, which: slice
) -> None:
    clip = make_clip(tmp_path / "in.ts", frames=30, audio=[Audio()])
    bad, number = with_bad_headers(clip, tmp_path / "bad.ts", which)
    assert number
    there = len(tracks(bad, "audio")[0].times)
    out = tmp_path / f"out{suffix}"
    with open_video(bad) as video, open_for(bad, out, video.info) as sink:
        for frame in video.frames():
            sink.write(frame)
    report = sink.finish()
    assert len(pts_of(out)) == 30
    assert sink.damage.broken_packets >= 1
    assert sink.damage.notes
    assert report.packets == len(tracks(out, "audio")[0].times) == there - sink.damage.broken_packets


def test_strict_stops_at_damaged_audio_and_leaves_nothing(folder: Path) -> None:
    clip = make_clip(folder / "in.ts", frames=30, audio=[Audio()])
    bad, _ = with_bad_headers(clip, folder / "bad.ts", slice(20, 21))
    with pytest.raises(InputError, match="`strict`"):
        pass_through(bad, folder / "out.mkv", strict=True)
    assert not (folder / "out.mkv").exists()


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "make room"), (errno.EROFS, "another folder")])
def test_disk_errors_are_reported_as_disk_errors(tmp_path: Path, number: int, words: str) -> None:
    assert words in str(cannot_write(tmp_path / "out.mkv", OSError(number, os.strerror(number))))


@pytest.mark.parametrize("error", [av.InvalidDataError(1, "x"), OSError(errno.EINVAL, "y"), ValueError("z")])
def test_muxer_errors_are_not_reported_as_disk_errors(tmp_path: Path, error: Exception) -> None:
    said = str(cannot_write(tmp_path / "out.mkv", error))
    assert "muxer" in said
    assert "room" not in said


# Real clips


def test_aac_of_transport_streams_loses_its_headers_in_mp4_and_matroska(tmp_path: Path) -> None:
    """Without ADTS headers the bytes differ, but the audio is the same."""
    clip = make_clip(tmp_path / "in.ts", frames=30, audio=[Audio()])
    for suffix in (".mkv", ".mp4"):
        out = pass_through(clip, tmp_path / f"out{suffix}")
        before, after = tracks(clip, "audio")[0], tracks(out.path, "audio")[0]
        late = [a - out.report.shift - b for a, b in zip(after.times, before.times, strict=True)]
        assert max(map(abs, late)) <= before.tick * 3  # from 90 kHz to 48 kHz ticks


CANNOT = {
    ("testsrc_with_attachment.mkv", ".mp4"): "attachments",
    # Two texts with a gap: QuickTime text fills gaps with blank packets, which the audit counts.
    ("webvtt.mkv", ".mp4"): "subtitles",
}


@pytest.mark.slow  # tests/acceptance/test_real_clips.py asks the same of whole runs
@pytest.mark.needs_material
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_no_real_clip_loses_anything(material: Path, tmp_path: Path, suffix: str) -> None:
    for source in sorted((material / "data" / "clips").iterdir()):
        out = pass_through(source, tmp_path / f"{source.stem}{suffix}").path
        command = [sys.executable, str(material / "acceptance" / "audit.py"), str(source), str(out)]
        command += ["--scale", "1", "--expect-drop", CANNOT.get((source.name, suffix), "")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{source.name}:\n{done.stdout}{done.stderr}"
        out.unlink()


def test_text_and_audio_are_interleaved_with_slow_video(tmp_path: Path) -> None:
    """Packets of the same time are close together in the file, so that players need not seek."""
    clip = make_clip(tmp_path / "in.mp4", frames=100, audio=[Audio()], subtitles=[Subtitle(codec="mov_text")])
    out = pass_through(clip, tmp_path / "out.mkv").path
    with av.open(str(out)) as box:
        times = [float(p.dts * p.time_base) for p in box.demux() if p.dts is not None]
    assert max(max(times[:n]) - time for n, time in enumerate(times) if n) < 0.5
