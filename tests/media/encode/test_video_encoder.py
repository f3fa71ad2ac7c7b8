"""The encoder of a result: what it refuses is an error of the encoder, in one line."""

from __future__ import annotations

import io
from pathlib import Path

import av
import pytest

from tests.media_maker import make_clip
from vsr.errors import DeviceError
from vsr.media.decode.source import open_video
from vsr.media.encode.encoder_choice import choose
from vsr.media.encode.video_encoder import VideoEncoder
from vsr.media.formats.containers import CONTAINERS
from vsr.settings.schema import EncoderSettings


def test_an_encoder_that_refuses_a_frame_is_an_error_that_names_the_frame(tmp_path: Path) -> None:
    """An encoder that was flushed takes no more frames, which is the only refusal that needs no hardware."""
    with open_video(make_clip(tmp_path / "in.mkv", frames=2)) as video:
        info, frames = video.info, list(video.frames())
    container = CONTAINERS[".mkv"]
    plan = choose(EncoderSettings(), info, width=info.width, height=info.height, container=container)
    with av.open(io.BytesIO(), "w", format=container.muxer) as output:
        encoder = VideoEncoder(output, plan, info)
        encoder.encode(frames[0])
        encoder.flush()
        with pytest.raises(DeviceError, match=r"^libx264 failed at frame 1 \(.*\); try another `encoder`$"):
            encoder.encode(frames[1])
        with pytest.raises(DeviceError, match=r"^libx264 failed at its end \(.*\); try another `encoder`$"):
            encoder.flush()
