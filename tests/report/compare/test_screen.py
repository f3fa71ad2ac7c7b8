"""Frames are compared as a player shows them: turned, mirrored, without hidden borders, HDR tone-mapped."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

import vsr
from tests.ffmpeg_binary import ffmpeg
from tests.media_maker import make_clip
from tests.report.preview.test_preview import HDR, images_of, pixels
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.errors import InputError
from vsr.frame import Crop
from vsr.report.compare.inputs import eight_bit, open_inputs
from vsr.report.compare.screen import Screen, as_shown, pixel_of, shown_size, zoom_of


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_frames_are_turned_as_ffmpeg_turns_them(rotation: int, mirrored: bool, tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "in.mp4", frames=1, rotation=rotation, mirrored=mirrored, options={"crf": "5"}
    )
    shot = tmp_path / "shot.png"
    subprocess.run([ffmpeg(), "-v", "error", "-i", clip, "-frames:v", "1", shot], check=True)
    one = open_inputs([clip, clip])[0]
    ours = eight_bit(one.image(next(one.frames()))).int()
    theirs = pixels(shot).int()
    assert ours.shape == theirs.shape == (3, *one.size)
    for other in (theirs.flip(1), theirs.flip(2), theirs.rot90(2, (1, 2))):
        assert (ours - theirs).abs().float().mean() < 4 < (ours - other).abs().float().mean()


def test_hidden_borders_are_not_shown() -> None:
    info = vsr_info()
    cropped = replace(
        info, crop=Crop(left=Fraction(2), top=Fraction(4), right=Fraction(6), bottom=Fraction(1))
    )
    image = torch.rand(3, info.height, info.width)
    assert torch.equal(as_shown(image, cropped), image[:, 4:-1, 2:-6])
    assert shown_size(cropped) == (info.height - 5, info.width - 8)


def vsr_info() -> vsr.VideoInfo:
    return vsr.VideoInfo(
        path="",
        stream_index=0,
        codec="h264",
        width=64,
        height=48,
        pixel_format="yuv420p",
        layout=vsr.PixelLayout(family="yuv", bit_depth=8, chroma_shift=(1, 1)),
        tagged=ColorSpec(),
        color=ColorSpec(),
        time_base=Fraction(1, 25),
        frame_rate=Fraction(25),
        sample_aspect_ratio=None,
    )


def test_a_turned_pixel_is_as_high_as_it_was_wide() -> None:
    wide = replace(vsr_info(), sample_aspect_ratio=Fraction(3, 2))
    assert pixel_of(wide) == Fraction(3, 2)
    turned = replace(wide, display_matrix=(0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30))
    assert pixel_of(turned) == Fraction(2, 3)
    assert pixel_of(replace(wide, sample_aspect_ratio=Fraction(1000, 999))) == 1


@pytest.mark.parametrize(
    ("pixel", "rows_and_columns"),
    [(Fraction(1), (2, 2)), (Fraction(16, 15), (2, 2)), (Fraction(64, 45), (2, 3)), (Fraction(2, 3), (3, 2))],
)
def test_still_images_show_a_pixel_as_whole_pixels_of_about_its_shape(
    pixel: Fraction, rows_and_columns: tuple[int, int]
) -> None:
    assert zoom_of(pixel) == rows_and_columns


def test_an_anamorphic_video_is_compared_with_its_result_of_square_pixels(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2, width=72, height=58, sar=Fraction(64, 45))
    vsr.upscale(clip, tmp_path / "square.mkv", model="bicubic", square_pixels=True)
    vsr.upscale(clip, tmp_path / "same.mkv", model="bicubic")
    made = vsr.compare(clip, tmp_path / "square.mkv", tmp_path / "same.mkv", output=tmp_path / "page.html")
    assert made.moments == 2
    assert images_of(tmp_path / "page.html")[0].shape == (3, 116, 204)
    plain = make_clip(tmp_path / "plain.mkv", frames=2, width=72, height=58)
    with pytest.raises(
        InputError, match=r"72x58 with pixels of 64:45, and plain\.mkv 72x58: their shapes differ"
    ):
        vsr.compare(plain, clip, output=tmp_path / "a.png")


def test_hdr_is_shown_tone_mapped_and_measured_as_it_is_coded(tmp_path: Path) -> None:
    words = {"codec": "libx265", "pix_fmt": "yuv420p10le", "color": HDR, "frames": 2}
    clip = make_clip(tmp_path / "in.mkv", hdr10=True, **words)
    worse = make_clip(tmp_path / "worse.mkv", options={"crf": "45"}, **words)
    page = tmp_path / "page.html"
    made = vsr.compare(clip, worse, reference=clip, output=page)
    (note,) = (note for note in made.notes if "tone-mapped" in note)
    assert "worse.mkv" in note
    assert "HDR (PQ), shown tone-mapped to sRGB by the curve of BT.2390, from 1000 cd/m2" in note
    one = open_inputs([clip, clip])[0]
    frame = next(one.frames())
    coded = one.image(frame)
    shown = eight_bit(Screen.of([one.info]).shown(coded, frame.color))
    assert not torch.equal(shown, eight_bit(coded))
    assert made.totals["PSNR"][0] == 99
    assert torch.equal(images_of(page)[0], shown)


def test_two_hdr_videos_are_shown_by_one_curve_and_sdr_by_none() -> None:
    sdr = vsr_info()
    pq = replace(sdr, color=HDR, content_light=vsr.ContentLight(max_cll=4000, max_fall=400))
    bare = replace(pq, content_light=None)
    screen = Screen.of([sdr, bare, pq])
    assert screen.peak == 4000
    assert Screen.of([sdr, bare]).peak == 1000
    assert screen.notes(["a", "b", "c"], [sdr, bare, pq])[0].startswith("b, c: HDR (PQ)")
    assert screen.notes(["a"], [sdr]) == []
    odd = replace(pq, content_light=vsr.ContentLight(max_cll=65535, max_fall=1))
    assert Screen.of([odd]).peak == 1000, "a peak that PQ cannot have is not believed"
    wide = ColorSpec(
        matrix=Matrix.BT2020_NCL, primaries=Primaries.BT2020, transfer=Transfer.BT2020_10, range=Range.LIMITED
    )
    (note,) = screen.notes(["w"], [replace(sdr, color=wide)])
    assert note == "w: shown in sRGB; colours of BT2020 outside BT.709 are clipped."
