"""A preview shows the pixels of a real run: for every kind of video, from any place, and for pictures."""

from __future__ import annotations

import base64
import io
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import vsr
from tests.media_maker import make_clip
from tests.picture_maker import scene
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.media.decode.source import VideoSource
from vsr.report.compare.inputs import eight_bit, open_inputs
from vsr.report.compare.screen import Screen
from vsr.report.compare.still import PANELS_IN_A_ROW
from vsr.report.letters import text_mask
from vsr.report.preview import drawing

HDR = ColorSpec(
    matrix=Matrix.BT2020_NCL, primaries=Primaries.BT2020, transfer=Transfer.PQ, range=Range.LIMITED
)
HLG = ColorSpec(
    matrix=Matrix.BT2020_NCL, primaries=Primaries.BT2020, transfer=Transfer.HLG, range=Range.LIMITED
)
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "b-frames": ("in.mp4", {"bframes": 2}, {}),
    "interlaced": ("in.mkv", {"interlaced": "top"}, {}),
    "fields": ("in.mkv", {"interlaced": "bottom"}, {"deinterlace": "double"}),
    "rotated": ("in.mp4", {"rotation": 90}, {}),
    "mirrored": ("in.mp4", {"rotation": 180, "mirrored": True}, {}),
    "anamorphic": ("in.mkv", {"sar": Fraction(64, 45)}, {}),
    "made square": ("in.mkv", {"sar": Fraction(64, 45)}, {"square_pixels": True}),
    "hdr": ("in.mkv", {"codec": "libx265", "pix_fmt": "yuv420p10le", "color": HDR, "hdr10": True}, {}),
    "hlg": ("in.mkv", {"codec": "libx265", "pix_fmt": "yuv420p10le", "color": HLG}, {}),
    "late": ("in.mkv", {"pts": [7000 + 40 * i for i in range(40)], "time_base": Fraction(1, 1000)}, {}),
    "filtered": ("in.mkv", {}, {"filters_before": ["atadenoise"], "filters_after": ["unsharp"]}),
    "of a size": ("in.mkv", {}, {"height": 70}),
    "recoloured": ("in.mkv", {}, {"color": {"matrix": "bt709", "range": "full"}}),
}


def images_of(page: Path) -> list[Tensor]:
    """Return the lossless images of the first moment in a page, one for each panel, `(3, H, W)` uint8."""
    text = page.read_text(encoding="utf-8")
    (facts,) = re.findall(r'<script type="application/json" id="facts">(.*?)</script>', text, re.DOTALL)
    (chunk,) = json.loads(facts)["chunks"]
    assert chunk["kind"] == "image/webp"
    found = []
    for name, *_ in chunk["files"]:
        (data,) = re.findall(rf'id="{name}">(.*?)</script>', text)
        image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        found.append(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1))
    return found


def shown_frame(path: Path, seconds: Fraction) -> Tensor:
    """Return the frame of a result at a time after its first one, as it is shown, uint8."""
    one = open_inputs([path, path])[0]
    frames = list(one.frames())
    frame = next(f for f in frames if f.stamp.seconds - frames[0].stamp.seconds >= seconds)
    return eight_bit(Screen.of([one.info]).shown(one.image(frame), frame.color))


@pytest.mark.parametrize("kind", KINDS)
def test_the_panels_are_the_frames_of_real_runs(kind: str, tmp_path: Path) -> None:
    name, made, settings = KINDS[kind]
    clip = make_clip(tmp_path / name, **({"frames": 40} | made))
    at = Fraction(4, 5)
    page = tmp_path / "page.html"
    found = vsr.preview(clip, output=page, models=["fast-x2"], at=at, encoder="ffv1", **settings)
    assert found.panels == ("bicubic", "fast-x2")
    assert found.seconds == pytest.approx(0.8, abs=0.002)
    scale = {} if "height" in settings else {"scale": 2}
    for model, image in zip(found.panels, images_of(page), strict=True):
        result = tmp_path / f"{model}.mkv"
        vsr.upscale(clip, result, model=model, encoder="ffv1", **scale, **settings)
        assert torch.equal(image, shown_frame(result, at)), model
    assert any("tone-mapped" in note for note in found.notes) == (kind in ("hdr", "hlg"))


def test_a_picture_is_shown_as_a_run_makes_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    scene().save(tmp_path / "in.jpg", quality=90, exif=exif)
    page = tmp_path / "page.html"
    found = vsr.preview(tmp_path / "in.jpg", output=page, models=["fast-x2"])
    assert found.seconds is None
    for model, image in zip(found.panels, images_of(page), strict=True):
        result = tmp_path / f"{model}.png"
        vsr.upscale(tmp_path / "in.jpg", result, model=model, scale=2)
        assert torch.equal(image, shown_frame(result, Fraction(0))), model


def test_the_picture_shows_the_region_of_each_panel_to_the_pixel_with_its_label(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=10, width=160, height=120)
    words: dict[str, Any] = {"models": ["fast-x2"], "at": "0.2", "region": (30, 20, 50, 40)}
    found = vsr.preview(clip, output=tmp_path / "a.png", **words)
    assert found.region == (60, 40, 100, 80)
    vsr.preview(clip, output=tmp_path / "page.html", **words)
    vsr.preview(clip, output=tmp_path / "a.webp", **words)
    drawn = pixels(tmp_path / "a.png")
    assert torch.equal(drawn, pixels(tmp_path / "a.webp"))
    zoom, gap, frame_rows = 4, 6, 540
    top = frame_rows + gap
    for number, image in enumerate(images_of(tmp_path / "page.html")):
        left = number * (100 * zoom + gap)
        panel = drawn[:, top : top + 80 * zoom, left : left + 100 * zoom]
        detail = image[:, 40:120, 60:160].repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)
        mask = text_mask(found.panels[number], width=400)
        height, width = mask.shape
        assert torch.equal(panel[:, height + 2 :], detail[:, height + 2 :])
        assert (panel[:, :height, 5 : 5 + width][:, mask == 1] == 255).all(), "the label is in the picture"


def pixels(path: Path) -> Tensor:
    with av.open(str(path)) as container:
        array = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return torch.from_numpy(array.copy()).permute(2, 0, 1)


def test_each_strength_is_a_panel_and_a_model_without_a_partner_is_shown_once(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2)
    found = vsr.preview(clip, models=["fast", "rrdb-lite-x4", "lanczos", "fast"], strengths=[0, 0.5, 1])
    assert found.output == tmp_path / "in-preview.png"
    assert found.panels == (
        "bicubic",
        "fast-x4, strength 0",
        "fast-x4, strength 0.5",
        "fast-x4, strength 1",
        "rrdb-lite-x4",
        "lanczos",
    )
    assert pixels(found.output).shape[-1] > PANELS_IN_A_ROW


def test_frames_before_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=60, gop=10)
    entries = []
    read = VideoSource._read

    def watched(self: VideoSource, entry: Any, *words: Any) -> Any:
        entries.append(entry)
        return read(self, entry, *words)

    monkeypatch.setattr(VideoSource, "_read", watched)
    vsr.preview(clip, at=2, models=["bicubic"])
    (entry,) = entries
    assert entry.index == 40, "one decoding for all panels, from the key frame before frame 50 and its run-up"


def test_the_busiest_frame_has_detail(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    grey = [np.full((48, 64, 3), 128, np.uint8)] * 60
    busy = [random.integers(0, 255, (48, 64, 3)).astype(np.uint8) for _ in range(10)]
    frames = [*grey[:30], *busy, *grey[:20]]
    clip = write_frames(tmp_path / "in.mkv", frames, gop=10)
    found = vsr.preview(clip, models=["bicubic"], busiest=True)
    assert found.seconds is not None
    assert 30 / 25 <= found.seconds < 40 / 25


def write_frames(path: Path, frames: list[np.ndarray], *, gop: int) -> Path:
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=25, options={"g": str(gop), "sc_threshold": "0"})
        stream.height, stream.width = frames[0].shape[:2]
        for image in frames:
            box.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        box.mux(stream.encode())
    return path


def test_without_a_time_the_middle_is_shown(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=20)
    assert vsr.preview(clip, models=["bicubic"]).seconds == pytest.approx(0.4, abs=0.04)


def test_an_anamorphic_frame_has_its_shape_and_the_detail_its_pixels(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2, width=96, height=96, sar=Fraction(2))
    drawn = pixels(vsr.preview(clip, models=["bicubic"]).output)
    # The whole frame is twice as wide as high, 400 rows of 800; each pixel of a panel is 1 x 2.
    assert drawn.shape[-2:] >= (400 + 6 + 192, 2 * 2 * 192 + 6)


def test_numbered_pictures_are_a_video(tmp_path: Path) -> None:
    for number in range(4):
        scene().save(tmp_path / f"{number:03d}.png")
    found = vsr.preview(tmp_path / "%03d.png", models=["bicubic"])
    assert found.output == tmp_path / "preview.png"
    assert found.seconds == pytest.approx(0.08)


def test_a_hostile_name_is_text(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=hacked=1>&amp;{{facts}}.mkv"
    clip = make_clip(tmp_path / hostile, frames=2)
    page = tmp_path / "page.html"
    vsr.preview(clip, output=page, models=["bicubic"])
    text = page.read_text(encoding="utf-8")
    assert "<img" not in text
    assert "&lt;img src=x" in text
    assert vsr.preview(clip, models=["bicubic"]).output.exists()


def test_of_several_devices_one_makes_a_preview(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2)
    assert vsr.preview(clip, models=["bicubic"], device="cpu:2").panels == ("bicubic",)


def test_a_preset_decides_as_in_a_run(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2)
    preset = tmp_path / "mine.toml"
    preset.write_text('model = "fast-x2"\nstrength = 0.5\nheight = 60\n', encoding="utf-8")
    found = vsr.preview(clip, pipeline=preset, region=(0, 0, 64, 48))
    assert found.panels == ("bicubic", "fast-x2, strength 0.5")
    assert found.region == (0, 0, 80, 60)


def test_damage_near_the_frame_is_told(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=30, gop=5, options={"crf": "1"})
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1000] = bytes(range(250)) * 4
    clip.write_bytes(data)
    told = "the input is damaged near this frame"
    assert told in vsr.preview(clip, models=["bicubic"], at="0.6").notes
    assert told not in vsr.preview(clip, models=["bicubic"], at=0, overwrite=True).notes


def test_a_file_object_is_previewed_into_a_named_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2)
    with clip.open("rb") as file:
        found = vsr.preview(file, output=tmp_path / "a.png", models=["bicubic"], busiest=True)
        assert found.output.exists()
        with pytest.raises(vsr.ConfigError, match="name the `output`"):
            vsr.preview(file, models=["bicubic"])
    page = vsr.preview(clip.as_uri(), output=tmp_path / "page.html", models=["bicubic"])
    assert page.output.exists()


def test_a_wide_region_of_many_panels_is_stacked_and_webp_says_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2, width=160, height=48)
    words: dict[str, Any] = {"models": ["lanczos", "fast-x2"], "region": (0, 0, 160, 48)}
    monkeypatch.setattr(drawing, "WIDEST", 700)
    drawn = pixels(vsr.preview(clip, **words).output)
    assert drawn.shape[-1] == drawing.LEAST_WIDTH, "two panels of 320 pixels are beside each other"
    monkeypatch.setattr("vsr.report.preview.LARGEST_WEBP", 700)
    with pytest.raises(vsr.ConfigError, match="WebP has sides of at most 700 pixels"):
        vsr.preview(clip, output=tmp_path / "a.webp", **words)
    assert not (tmp_path / "a.webp").exists()
