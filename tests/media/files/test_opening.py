"""Only real, local and valid videos are opened; everything else gives one line that says why."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from av.format import ContainerFormat
from PIL import Image

from tests.media_maker import make_clip, truncated
from vsr.errors import InputError
from vsr.media.files.opening import CONTAINERS, open_media, shown

TEXTS = {
    "notes.txt": (b"hello\nworld\n" * 50, "is text"),
    "notes.mp4": (b"hello\nworld\n" * 50, "is text"),
    "pointer.mp4": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
    "page.mp4": (b"<!doctype html><html></html>", "a web page"),
    "list.mp4": (b"#EXTM3U\n#EXTINF:1,\na.ts\n", "a playlist"),
    "concat.mp4": (b"ffconcat version 1.0\nfile notes.txt\n", "a playlist"),
    "empty.mkv": (b"", "is empty"),
    "zeros.mkv": (bytes(5000), "of no format that vsr accepts"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_files_without_video_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, words = TEXTS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        open_media(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_missing_files_folders_and_pipes_are_refused_without_being_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it for reading would block forever
    for path, words in (("gone.mp4", "no such file"), (".", "is a folder"), ("pipe", "not a regular file")):
        with pytest.raises(InputError, match=words):
            open_media(tmp_path / path)


def test_an_error_names_the_file_as_the_user_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    Path("in/text.mp4").write_text("hello")
    Path("in/empty.mp4").touch()
    Path("in/zeros.mkv").write_bytes(bytes(5000))
    for name in ("in", "in/gone.mp4", "in/text.mp4", "in/empty.mp4", "in/zeros.mkv", "in/../in/gone.mp4"):
        with pytest.raises(InputError) as caught:
            open_media(name)
        assert str(caught.value).startswith(f"{name}: ")


def test_an_mp4_without_an_index_is_reported_as_truncated(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4")
    with pytest.raises(InputError, match="cut off"):
        open_media(truncated(whole, tmp_path / "part.mp4", 0.5))


def test_a_frame_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", width=64, height=48)
    with pytest.raises(InputError, match="64x48"):
        open_media(path, max_pixels=64 * 48 - 1)
    open_media(path, max_pixels=64 * 48).close()


@pytest.mark.parametrize("name", ["a:b.mp4", "-x.mp4", "%d.mp4", "quo'te\".mp4", "new\nline.mp4", "ü.mp4"])
def test_any_file_name_opens(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    shutil.copy(make_clip(tmp_path / "clip.mp4", frames=2), path)
    with open_media(path) as container:
        assert len(container.streams.video) == 1


def test_invalid_utf8_and_control_characters_are_made_printable(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\x1b[31m.mp4")
    shutil.copy(make_clip(tmp_path / "clip.mp4", frames=2), path)
    open_media(path).close()
    assert shown(path.name) == "\\xff\\x1b[31m.mp4"
    shown(path).encode("utf-8")


def test_every_container_on_the_list_is_a_demuxer_and_none_reads_other_files() -> None:
    for name in CONTAINERS:
        assert ContainerFormat(name, "r").is_input
    followers = {
        "hls",
        "dash",
        "concat",
        "concatf",
        "sdp",
        "rtsp",
        "rtp",
        "imf",
        "lavfi",
        "image2",
        "tty",
        "bin",
    }
    assert not followers & set(CONTAINERS)


def test_a_playlist_named_mp4_does_not_open_its_neighbour(tmp_path: Path) -> None:
    make_clip(tmp_path / "secret.mp4", frames=2)
    (tmp_path / "clip.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with pytest.raises(InputError):
        open_media(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    "name", ["a.mp4", "a.mov", "a.mkv", "a.ts", "a.avi", "a.flv", "a.nut", "a.mpg", "a.h264"]
)
def test_common_containers_can_be_opened(tmp_path: Path, name: str) -> None:
    codec = "mpeg2video" if name.endswith("mpg") else "libx264"
    with open_media(make_clip(tmp_path / name, codec=codec)) as container:
        assert len(container.streams.video) == 1


def test_a_jpeg_with_another_image_suffix_is_opened(tmp_path: Path) -> None:
    for name in ("a.png", "a.webp", "a.tif", "a.jfif"):
        Image.new("RGB", (64, 48), "red").save(tmp_path / name, format="JPEG")
        with open_media(tmp_path / name) as container:
            assert container.streams.video[0].codec_context.codec.canonical_name == "mjpeg"


@pytest.mark.parametrize(("compression", "read"), [("raw", True), ("tiff_lzw", True), ("jpeg", False)])
def test_tiff_that_ffmpeg_would_decode_to_noise_is_refused(
    tmp_path: Path, compression: str, read: bool
) -> None:
    path = tmp_path / "a.tif"
    Image.new("RGB", (64, 48), "red").save(path, compression=compression)
    if read:
        open_media(path).close()
        return
    with pytest.raises(InputError, match=r"a\.tif: is TIFF with compression 7"):
        open_media(path)
