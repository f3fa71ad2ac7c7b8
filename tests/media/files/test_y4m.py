"""The length of a YUV4MPEG2 stream computed from its header equals the length that FFmpeg writes."""

from __future__ import annotations

import io

import av
import pytest

from tests.media_maker import picture
from vsr.media.encode.encoder_table import RAW_FORMATS
from vsr.media.files.y4m import end_of, frame_bytes
from vsr.media.integrity.truncation import cut_off


def stream(pix_fmt: str, *, width: int = 33, height: int = 21, frames: int = 3) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="yuv4mpegpipe", options={"strict": "-1"}) as box:
        video = box.add_stream("rawvideo", rate=25)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        for number in range(frames):
            frame = picture(number, width=width, height=height, pix_fmt=pix_fmt)
            frame.pts = number
            box.mux(video.encode(frame))
        box.mux(video.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize("pix_fmt", RAW_FORMATS["yuv4mpegpipe"])
def test_a_truncated_stream_needs_the_rest_of_its_last_frame(pix_fmt: str) -> None:
    data = stream(pix_fmt)
    assert end_of(data[:512], len(data)) == len(data)
    assert end_of(data[:512], len(data) - 1) == len(data)
    one = (len(data) - data.index(b"\n") - 1) // 3
    assert end_of(data[:512], len(data) - one) == len(data) - one
    assert end_of(data[:512], len(data) - one - 5) == len(data) - one


@pytest.mark.parametrize("head", ["", "YUV4MPEG2 W4\n", "YUV4MPEG2 Wx H4\n", "YUV4MPEG2 W4 H4 C444alpha\n"])
def test_an_insufficient_header_gives_no_frame_size(head: str) -> None:
    assert frame_bytes(head) is None
    assert end_of(head.encode(), 100) is None


def test_frames_with_parameters_give_no_length() -> None:
    assert end_of(b"YUV4MPEG2 W4 H4\nFRAME Ip\n", 100) is None


def test_a_file_that_ends_inside_a_frame_is_reported(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "in.y4m"
    path.write_bytes(stream("yuv420p")[:-10])
    assert "is cut off" in (cut_off(path, "yuv4mpegpipe") or "")
    path.write_bytes(stream("yuv420p"))
    assert cut_off(path, "yuv4mpegpipe") is None
