"""Codecs in memory return every frame, in order and in its colour, as a file would."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import get_args

import av
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.degrade.test_operations import natural
from tests.training.photographs import pan, photograph
from vsr.color.spec import Matrix
from vsr.media.pixels.planes import to_planes
from vsr.training.degrade import codec
from vsr.training.degrade.clips import reduce
from vsr.training.degrade.codec import (
    MATRICES,
    Coding,
    color_of,
    configure,
    decode,
    draw_coding,
    draw_codings,
    encode,
    to_yuv,
    transcode,
)
from vsr.training.degrade.degradation import CodecRange, Degradation, Encoder

FINE: dict[Encoder, tuple[int | None, str]] = {
    "libx264": (16, "veryfast"),
    "libx265": (18, "ultrafast"),
    "libvpx-vp9": (20, "6"),
    "mpeg4": (2, ""),
    "mpeg2video": (2, ""),
    "dvvideo": (None, ""),
}
"""Quality and preset with little loss, for each encoder."""
X264 = CodecRange(encoder="libx264", quality=(18, 28), presets=("veryfast",))


def coding_of(encoder: Encoder, matrix: Matrix = Matrix.BT709) -> Coding:
    quality, preset = FINE[encoder]
    return Coding(encoder=encoder, quality=quality, preset=preset, matrix=matrix)


CODINGS = [coding_of(encoder) for encoder in FINE]
WITH_RATE = [coding for coding in CODINGS if coding.encoder != "dvvideo"]
"""DV has one bit rate."""
every_codec = pytest.mark.parametrize("coding", CODINGS, ids=lambda c: c.encoder)


def smooth_clip(side: int = 96, frames: int = 3) -> Tensor:
    """Make a smooth, saturated image that moves, which 4:2:0 hardly changes."""
    generator = torch.Generator().manual_seed(5)
    soft = F.interpolate(
        torch.rand(1, 3, 4, 4, generator=generator), size=(side + 16, side + 16), mode="bicubic"
    )
    image = soft[0].clamp(0, 1).mul(255).round().to(torch.uint8)
    return pan(image, side, frames, (0, 0), (2, 1))


def moving_clip(frames: int = 5) -> Tensor:
    """Make moving edges at the size of LR clips."""
    return reduce(pan(photograph(1, side=168), 144, frames, (0, 0), (3, 1)), 2)


def error(clip: Tensor, *codings: Coding) -> float:
    """Return the mean squared error in 8-bit code values."""
    return float((transcode(clip, *codings) * 255 - clip).square().mean())


def mean_error(coding: Coding) -> Tensor:
    """Return the mean error of R, G and B in 8-bit code values."""
    clean = smooth_clip()
    return (transcode(clean, coding) * 255 - clean.float()).mean((0, 2, 3))


def test_every_encoder_of_the_settings_is_tested_here() -> None:
    assert set(FINE) == set(get_args(Encoder))


@every_codec
@pytest.mark.parametrize("matrix", MATRICES)
def test_a_coded_clip_has_the_colours_of_the_clean_one(coding: Coding, matrix: Matrix) -> None:
    # Coding noise has almost no mean, at most 0.5 code values as measured; a
    # wrong matrix has 3 or more, see below.
    assert mean_error(replace(coding, matrix=matrix)).abs().max() < 1.0


@pytest.mark.parametrize(("written", "read"), [MATRICES, MATRICES[::-1]])
def test_reading_a_clip_with_the_wrong_matrix_would_be_detected(
    written: Matrix, read: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = color_of(read)
    monkeypatch.setattr(codec, "color_of", lambda _: wrong)
    assert mean_error(coding_of("mpeg4", written)).abs().max() > 2.0


@every_codec
@pytest.mark.parametrize("gop", [None, 1, 3])
def test_frames_are_returned_in_order(coding: Coding, gop: int | None) -> None:
    values = [40, 90, 140, 190, 240, 215, 165, 115, 65]
    clip = torch.stack([torch.full((3, 64, 96), value, dtype=torch.uint8) for value in values])
    found = transcode(clip, replace(coding, gop=gop)).mean((1, 2, 3)) * 255
    torch.testing.assert_close(found, torch.tensor(values).float(), rtol=0, atol=2.0)


@every_codec
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_every_frame_is_returned(coding: Coding, frames: int) -> None:
    clip = smooth_clip(64, frames)
    assert transcode(clip, coding).shape == clip.shape
    coarse = replace(coding, quality=None, bitrate=40)  # at a low bit rate, an encoder could drop frames
    assert transcode(clip, coarse).shape == clip.shape


SLOWER = {"libx264": "medium", "libx265": "veryfast"}
"""Preset with lookahead, for each encoder."""


def natural_clip(side: int) -> Tensor:
    """Make a pan over noise with the spectrum of photographs."""
    return pan(reduce(natural(4 * side).mul(255).byte(), 2)[0], side, 5, (0, 0), (3, 2))


def test_dv_keeps_the_size_and_has_the_error_of_a_coarse_codec_on_fine_detail() -> None:
    clip = natural_clip(96)
    coded = transcode(clip, coding_of("dvvideo"))
    assert coded.shape == clip.shape
    noise = torch.randint(0, 256, clip.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    assert error(noise, coding_of("dvvideo")) > 3 * error(clip, coding_of("dvvideo"))


@every_codec
@pytest.mark.parametrize("side", [64, 96])
def test_the_same_clip_gives_the_same_bits_again(coding: Coding, side: int) -> None:
    # See [Why the same clip must give the same bits] in vsr.training.degrade.codec. Without these options,
    # libx264 fails here on a machine with AVX-512, and libx265 at 64 pixels on any machine.
    for quality in (12, 24):
        one = replace(coding, quality=quality, preset=SLOWER.get(coding.encoder, coding.preset))
        assert len({transcode(natural_clip(side), one).numpy().tobytes() for _ in range(8)}) == 1


@pytest.mark.parametrize(
    ("encoder", "qualities"),
    [
        ("libx264", (16, 26, 36)),
        ("libx265", (16, 26, 36)),
        ("libvpx-vp9", (10, 35, 58)),
        ("mpeg4", (2, 8, 20)),
        ("mpeg2video", (2, 8, 20)),
    ],
)
def test_stronger_compression_has_a_larger_error(encoder: Encoder, qualities: tuple[int, ...]) -> None:
    errors = [error(moving_clip(), replace(coding_of(encoder), quality=q)) for q in qualities]
    assert errors == sorted(errors)
    assert errors[-1] > 1.5 * errors[0]


@pytest.mark.parametrize("coding", WITH_RATE, ids=lambda c: c.encoder)
def test_a_lower_bit_rate_has_fewer_bits_and_a_larger_error(coding: Coding) -> None:
    clip = moving_clip(9)
    low, high = (replace(coding, quality=None, bitrate=rate) for rate in (20, 1500))
    assert error(clip, low) > error(clip, high)
    sizes = [sum(packet.size for packet in encode(to_yuv(clip, c.matrix), c)) for c in (low, high)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("encoder", ["libx264", "mpeg2video"])
def test_keyframes_are_no_further_apart_than_the_gop(encoder: Encoder) -> None:
    frames = to_yuv(smooth_clip(64, 7), Matrix.BT709)
    packets = encode(frames, replace(coding_of(encoder), gop=3))
    assert sorted(p.pts for p in packets if p.is_keyframe) == [0, 3, 6]


@every_codec
def test_a_second_generation_has_a_larger_error(coding: Coding) -> None:
    clip = moving_clip()
    again = Coding(encoder="libx264", quality=30, preset="veryfast", matrix=coding.matrix)
    assert error(clip, coding, again) > error(clip, coding)


def test_a_second_generation_chooses_its_own_frame_types() -> None:
    first = replace(coding_of("libx264"), gop=1)
    decoded = decode(encode(to_yuv(moving_clip(), first.matrix), first), first.encoder)
    again = encode(decoded, replace(first, gop=None))
    assert sum(packet.is_keyframe for packet in again) == 1


def test_h264_in_memory_equals_what_ffmpeg_reads_from_a_file(tmp_path: Path) -> None:
    coding = Coding(encoder="libx264", quality=24, preset="medium", matrix=Matrix.BT709)
    ours = decode(encode(to_yuv(moving_clip(), coding.matrix), coding), coding.encoder)
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        frames = to_yuv(moving_clip(), coding.matrix)
        stream.codec_context.thread_count = 1
        configure(stream.codec_context, frames[0], coding)
        for i, frame in enumerate(frames):
            frame.pts, frame.time_base = i, stream.codec_context.time_base
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with av.open(str(path)) as file:
        theirs = list(file.decode(video=0))
    assert len(theirs) == len(ours)
    for mine, other in zip(ours, theirs, strict=True):
        assert all(map(torch.equal, to_planes(mine)[0], to_planes(other)[0]))


@pytest.mark.parametrize(
    ("sides", "encoder", "said"),
    [
        ((64, 65), "libx264", "65x64 pixels cannot be coded"),
        ((62, 80), "libx265", "too few for libx265"),
        ((580, 720), "dvvideo", "too many for DV"),
    ],
)
def test_sizes_that_an_encoder_does_not_support_are_rejected(
    sides: tuple[int, int], encoder: Encoder, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        transcode(torch.zeros(2, 3, *sides, dtype=torch.uint8), coding_of(encoder))


def test_encoders_are_drawn_in_their_proportions() -> None:
    rare = CodecRange(encoder="mpeg4", share=0.25, quality=(2, 4), presets=("",))
    rng = random.Random(0)
    drawn = [draw_coding((X264, rare), rng) for _ in range(4000)]
    mpeg4 = [coding for coding in drawn if coding.encoder == "mpeg4"]
    # 5 standard deviations for a probability p in 4000 draws: 5 sqrt(p (1 - p) / 4000) = 0.032
    assert len(mpeg4) / len(drawn) == pytest.approx(0.25 / 1.25, abs=0.032)
    assert {coding.quality for coding in mpeg4} == {2, 3, 4}


def test_bit_rates_and_gops_are_drawn_within_their_ranges() -> None:
    codec_range = CodecRange(encoder="mpeg2video", bitrate=(300, 302), gop=(4, 5))
    drawn = [draw_coding((codec_range,), random.Random(seed)) for seed in range(60)]
    assert {coding.bitrate for coding in drawn} == {300, 301, 302}
    assert {coding.gop for coding in drawn} == {4, 5}
    assert {coding.quality for coding in drawn} == {None}


def test_second_generations_have_the_requested_probability_and_keep_the_matrix() -> None:
    degradation = Degradation(codecs=(X264,), second_generation=0.25)
    rng = random.Random(0)
    drawn = [draw_codings(degradation, rng) for _ in range(2000)]
    twice = [codings for codings in drawn if len(codings) == 2]
    # 5 standard deviations: 5 sqrt(0.25 * 0.75 / 2000) = 0.048
    assert len(twice) / len(drawn) == pytest.approx(0.25, abs=0.048)
    assert all(first.matrix == second.matrix for first, second in twice)
    assert any(first.quality != second.quality for first, second in twice)
    assert draw_codings(Degradation(), rng) == ()
