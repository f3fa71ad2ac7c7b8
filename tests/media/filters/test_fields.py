"""The field order is found from the frames, from the container alone, or from the user's setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.judges import run
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.interlacing import INTERLACED_OFF, INTERLACED_ON, SINGLE_FIELDS
from vsr.media.decode.source import open_video
from vsr.media.filters.fields import field_order_of

_FRAMES = 6
_ORDERS = {"top-first": 2, "bottom-first": 3}


def _combed(number: int, first: int, pix_fmt: str) -> av.VideoFrame:
    """Draw a white bar that moves 4 pixels per field; rows of parity `first` were captured earlier."""
    image = np.full((48, 64), 16, np.uint8)
    for row in range(48):
        time = 2 * number + (row % 2 != first)
        image[row, 4 * time : 4 * time + 8] = 235
    frame = av.VideoFrame.from_ndarray(image, format="gray").reformat(format=pix_fmt)
    frame.pts = number
    return frame


def _clip(path: Path, codec: str, order: str | None, *, pix_fmt: str = "yuv422p", **options: str) -> Path:
    """Write a clip whose frames have no interlacing flag; the container states `order`, if given."""
    with av.open(str(path), "w") as box:
        stream: Any = box.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        if order is not None:
            stream.codec_context.field_order = _ORDERS[order]
        first = 1 if order == "bottom-first" else 0
        for number in range(_FRAMES):
            box.mux(stream.encode(_combed(number, first, pix_fmt)))
        box.mux(stream.encode(None))
    return path


def _combing(path: Path, **settings: Any) -> float:
    """Return how much rows differ from the mean of their neighbours, averaged over all frames."""
    with open_video(path, **settings) as video:
        frames = [frame.planes[0].numpy().astype(float) for frame in video.frames()]
    assert len(frames) == _FRAMES
    return float(np.mean([np.abs(f[1:-1] - (f[:-2] + f[2:]) / 2).mean() for f in frames]))


@pytest.mark.parametrize("order", ["top-first", "bottom-first"])
@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt"),
    [
        ("ffv1", "mkv", "yuv422p"),
        ("rawvideo", "mkv", "yuv422p"),
        ("v210", "mov", "yuv422p10le"),
        ("png", "mov", "rgb24"),
    ],
)
def test_fields_that_only_the_container_states_are_deinterlaced(
    tmp_path: Path, codec: str, suffix: str, pix_fmt: str, order: str
) -> None:
    clip = _clip(tmp_path / f"a.{suffix}", codec, order, pix_fmt=pix_fmt)
    assert probe(clip).field_order == order
    assert _combing(clip) < 0.5 * _combing(clip, deinterlace="off")
    with open_video(clip) as video:
        assert INTERLACED_ON in video.warnings
    with open_video(clip, deinterlace="off") as video:
        assert INTERLACED_OFF in video.warnings


def test_field_order_written_by_mkvpropedit_is_used(tmp_path: Path) -> None:
    plain = _clip(tmp_path / "plain.mkv", "ffv1", None)
    marked = tmp_path / "a.mkv"
    marked.write_bytes(plain.read_bytes())
    run("mkvpropedit", "-q", str(marked), "-e", "track:v1", "-s", "interlaced=1", "-s", "field-order=1")
    assert probe(plain).field_order == "progressive"
    assert (probe(marked).field_order, probe(marked).fields_by_container) == ("top-first", True)


@pytest.mark.parametrize("order", ["top-first", "bottom-first"])
def test_unflagged_frames_are_deinterlaced_in_the_users_field_order(tmp_path: Path, order: str) -> None:
    clip = tmp_path / "a.mkv"
    with av.open(str(clip), "w") as box:
        stream: Any = box.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height = 64, 48
        for number in range(_FRAMES):
            box.mux(stream.encode(_combed(number, int(order == "bottom-first"), "yuv420p")))
        box.mux(stream.encode(None))
    wrong = "top-first" if order == "bottom-first" else "bottom-first"
    off, right = _combing(clip), _combing(clip, deinterlace=order)
    assert right < 0.5 * off
    assert _jumps(clip, order) < _jumps(clip, wrong)
    with open_video(clip, deinterlace=order) as video:
        assert INTERLACED_ON in video.warnings


def _jumps(clip: Path, order: str) -> float:
    """Return how unevenly the bar moves, in pixels."""
    with open_video(clip, deinterlace=order) as video:
        frames = [frame.planes[0].numpy().astype(float) - 16 for frame in video.frames()]
    places = [float((f.sum(0) * np.arange(64)).sum() / f.sum()) for f in frames]
    return float(np.abs(np.diff(places) - 8).max())


def test_h265_coded_as_fields_is_not_deinterlaced_again(tmp_path: Path) -> None:
    clip = _clip(
        tmp_path / "a.mkv",
        "libx265",
        None,
        pix_fmt="yuv420p",
        **{"x265-params": "interlace=tff:log-level=error"},
    )
    with av.open(str(clip)) as box:
        fields = list(box.decode(video=0))
    assert all(frame.interlaced_frame for frame in fields)
    assert probe(clip).field_order == "single fields"
    with open_video(clip) as video:
        found = [frame.planes[0].numpy() for frame in video.frames()]
        assert SINGLE_FIELDS in video.warnings
        assert INTERLACED_ON not in video.warnings
    for one, field in zip(found, fields, strict=True):
        assert np.array_equal(one, field.to_ndarray()[: one.shape[0]])


def test_which_statement_of_the_field_order_wins() -> None:
    assert field_order_of("mpeg2video", "progressive", 2) == ("progressive", False)
    assert field_order_of("mpeg2video", "bottom-first", 2) == ("bottom-first", False)
    assert field_order_of("hevc", "progressive", 2) == ("top-first", True)
    assert field_order_of("ffv1", "progressive", 4) == ("bottom-first", True)
    assert field_order_of("ffv1", "progressive", 0) == ("progressive", False)
