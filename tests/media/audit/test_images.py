"""Different frame content is found; compression artifacts of encoders are not reported."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vsr.color.spec import ColorSpec, Matrix, Range
from vsr.frame import VideoInfo
from vsr.media.audit import verify
from vsr.media.audit.images import as_codes
from vsr.media.audit.reading import UNITS, read_contents
from vsr.media.audit.thumbnails import thumbnail
from vsr.media.pixels.layouts import layout_of
from vsr.system.scheduling import kept_priority

Film = NDArray[np.float64]
"""`(N, 3, H, W)`: Y', Cb, Cr in 8-bit codes."""
HEIGHT, WIDTH, COUNT = 64, 96, 40


def film(seed: int = 0, count: int = COUNT) -> Film:
    """Return a still image over which a camera moves by one pixel per frame."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(40, 200, (3, 9, 24))
    small[1:] = rng.uniform(108, 148, (2, 9, 24))  # so that R'G'B' can represent them all
    wide = small.repeat(8, axis=1).repeat(8, axis=2)
    return np.stack([wide[:, :HEIGHT, t : t + WIDTH] for t in range(count)])


def written(path: Path, frames: Film, *, times: int = 1, codec: str = "libx264", **options: str) -> Path:
    """Encode frames in 4:2:0, with each sample repeated `times` times in both directions."""
    with kept_priority(), av.open(str(path), "w") as box:
        stream = box.add_stream(codec, rate=25, options={"preset": "ultrafast", "crf": "20"} | options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH * times, HEIGHT * times, "yuv420p"
        for number, image in enumerate(frames):
            frame = _frame(image.repeat(times, axis=1).repeat(times, axis=2))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    return path


def _frame(image: NDArray[np.float64]) -> av.VideoFrame:
    height, width = image.shape[1:]
    frame = av.VideoFrame(width, height, "yuv420p")
    parts = [image[0], *(part.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) for part in image[1:])]
    for plane, part in zip(frame.planes, parts, strict=True):
        view = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
        view[:, : plane.width] = np.clip(np.rint(part), 0, 255)
    return frame


def swapped(frames: Film, first: int, second: int) -> Film:
    order = np.arange(len(frames))
    order[[first, second]] = second, first
    return frames[order]


def with_frame(frames: Film, number: int, image: object) -> Film:
    frames = frames.copy()
    frames[number] = image
    return frames


def with_luma(frames: Film, change: Callable[[NDArray[np.float64]], object]) -> Film:
    frames = frames.copy()
    frames[:, 0] = change(frames[:, 0])
    return frames


def with_box(frames: Film) -> Film:
    frames = frames.copy()
    frames[:, 0, :8, :12] = 180
    return frames


BLACK = np.array([16, 128, 128]).reshape(3, 1, 1)
NEUTRAL = np.array([0, 128, 128]).reshape(3, 1, 1)
ATTACKS: dict[str, tuple[Callable[[Film], Film], str]] = {
    "negated": (lambda f: np.array([251, 256, 256]).reshape(3, 1, 1) - f, "frames: all are negated"),
    "grey": (lambda f: f * (NEUTRAL == 0) + NEUTRAL, ""),
    "black": (lambda f: np.broadcast_to(BLACK, f.shape), "frames: 40 of 40 show something else"),
    "mirrored": (lambda f: f[..., ::-1], "frames: all are mirrored"),
    "upside down": (lambda f: f[:, :, ::-1, ::-1], "frames: all are upside down"),
    "reversed": (lambda f: f[::-1], "frames: all are shown in reverse order"),
    "frozen": (lambda f: f[:1].repeat(COUNT, axis=0), "frames: "),
    "half frozen": (lambda f: np.concatenate([f[:20], f[20:21].repeat(20, axis=0)]), "frames: "),
    "two neighbours swapped": (lambda f: swapped(f, 20, 21), "frames: 2 of 40 show what an earlier"),
    "two far frames swapped": (lambda f: swapped(f, 3, 36), "frames: 2 of 40 show"),
    "one frame late": (lambda f: np.concatenate([f[:1], f[:-1]]), "frames: 39 of 40 show what an earlier"),
    "one frame repeated": (lambda f: with_frame(f, 20, f[19]), "frames: 1 of 40 show what an earlier"),
    "one frame black": (lambda f: with_frame(f, 20, BLACK), "frames: 1 of 40 show something else"),
    "halves swapped": (lambda f: np.concatenate([f[20:], f[:20]]), "frames: "),
    "another film": (lambda _: film(seed=1), "frames: 40 of 40 show something else"),
    "limited range taken for full": (lambda f: with_luma(f, lambda y: (y - 16) * 255 / 219), "brightness"),
    "brighter": (lambda f: with_luma(f, lambda y: y + 10), "brightness: "),
    "a logo in a corner": (lambda f: with_box(f), "frames: 1 of 64 places in the frame"),
    "Cb and Cr swapped": (lambda f: f[:, [0, 2, 1]], ""),
}


@pytest.mark.parametrize(("attack", "said"), ATTACKS.values(), ids=list(ATTACKS))
def test_different_frame_content_is_found(tmp_path: Path, attack: Callable[[Film], Film], said: str) -> None:
    source = written(tmp_path / "in.mkv", film())
    result = written(tmp_path / "out.mkv", attack(film()), times=2)
    lines = verify(source, result).lost
    assert lines
    assert any(line.startswith(said) for line in lines), lines


def panned() -> Film:
    return film()


def very_dark() -> Film:
    return 16 + (film() - 16) * 0.05 * (NEUTRAL == 0) + 112 * (NEUTRAL != 0)


def grainy() -> Film:
    return with_luma(film(), lambda y: y + np.random.default_rng(7).normal(0, 15, y.shape))


def faded() -> Film:
    """Return a fade from black by at most half a code per frame, which encoders follow with a delay."""
    frames = film()[:1].repeat(COUNT, axis=0)
    share = np.linspace(0.3, 0.4, COUNT).reshape(-1, 1, 1)
    return with_luma(frames, lambda y: 16 + (y - 16) * share)


def flickering() -> Film:
    return with_luma(film(), lambda y: y + 8 * (np.arange(COUNT) % 2).reshape(-1, 1, 1))


def interlaced() -> Film:
    frames = film(count=COUNT + 1)
    fields = frames[:-1].copy()
    fields[:, :, 1::2] = frames[1:, :, 1::2]
    return fields


ENCODERS: dict[str, dict[str, str]] = {
    "x264 at CRF 20": {},
    "x264 at CRF 40": {"crf": "40"},
    "x264 medium at CRF 40": {"crf": "40", "preset": "medium"},
    "SVT-AV1 at CRF 55": {"codec": "libsvtav1", "crf": "55", "preset": "12"},
}


@pytest.mark.parametrize("options", ENCODERS.values(), ids=list(ENCODERS))
@pytest.mark.parametrize("make", [panned, very_dark, grainy, faded, flickering, interlaced])
def test_compression_artifacts_are_not_a_loss(
    tmp_path: Path, make: Callable[[], Film], options: dict[str, str]
) -> None:
    source = written(tmp_path / "in.mkv", make())
    result = written(tmp_path / "out.mkv", make(), times=2, **options)
    assert verify(source, result).lost == ()


def test_a_strongly_compressed_source_is_not_a_loss(tmp_path: Path) -> None:
    source = written(tmp_path / "in.mkv", film(), crf="45")
    decoded = as_codes(read_contents(source).frames.thumbnails, UNITS)
    result = written(
        tmp_path / "out.mkv", decoded.repeat(HEIGHT // 8, axis=2).repeat(WIDTH // 8, axis=3), times=2
    )
    assert verify(source, result).lost == ()


@pytest.mark.parametrize("still", [film()[:1].repeat(COUNT, axis=0), np.broadcast_to(BLACK, film().shape)])
def test_what_cannot_be_compared_in_frames_is_reported(tmp_path: Path, still: Film) -> None:
    source = written(tmp_path / "in.mkv", still)
    found = verify(source, written(tmp_path / "out.mkv", still, times=2))
    assert found.lost == ()
    assert any(line.startswith("the order of 39 of 40 frames") for line in found.not_compared)


FORMATS = [
    "yuv420p",
    "yuvj420p",
    "yuv444p10le",
    "nv12",
    "gray",
    "rgb24",
    "gbrp10le",
    "uyvy422",
    "ya8",
]


@pytest.mark.parametrize("name", FORMATS)
def test_means_do_not_depend_on_the_pixel_format(name: str) -> None:
    image = film()[0] if name not in ("gray", "ya8") else film()[0] * (NEUTRAL == 0) + NEUTRAL
    wide = _frame(image.repeat(2, axis=1).repeat(2, axis=2))
    wide.colorspace, wide.color_range = 5, 1
    info = _info(name)
    full = int(info.color.range)
    exact = (
        wide
        if not name.startswith(("rgb", "gbr"))
        else wide.reformat(format="gbrp16le", src_colorspace=5, threads=1)
    )
    other = exact.reformat(format=name, src_color_range=exact.color_range, dst_color_range=full, threads=1)
    other.colorspace, other.color_range = int(info.color.matrix), int(info.color.range)
    one, two = thumbnail(wide, _info("yuv420p")), thumbnail(other, info)
    parts = slice(0, 1) if name in ("gray", "ya8") else slice(0, 3)
    # Rounding to 8-bit R'G'B' and back costs up to one code.
    assert np.abs(one[parts] - two[parts]).max() < 1.5


def _info(name: str) -> VideoInfo:
    layout = layout_of(name)
    full = layout.family != "yuv" or name.startswith("yuvj")
    color = ColorSpec(matrix=Matrix.BT470BG, range=Range.FULL if full else Range.LIMITED)
    return VideoInfo(
        path="",
        stream_index=0,
        codec="",
        width=192,
        height=128,
        pixel_format=name,
        layout=layout,
        tagged=color,
        color=color,
        time_base=Fraction(1, 25),
        frame_rate=None,
        sample_aspect_ratio=None,
    )
