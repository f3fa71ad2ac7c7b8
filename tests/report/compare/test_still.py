"""Labelled images and animations show the square where the panels differ."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
import torch
from torch import Tensor

import vsr
from tests.media_maker import make_clip
from vsr.report.compare.inputs import eight_bit, open_inputs
from vsr.report.compare.still import ZOOM, in_rows, png, where_they_differ
from vsr.report.compare.wipe import REST, STEPS, webp, wiped
from vsr.report.letters import labelled, text_mask


def textured(height: int = 300, width: int = 400) -> Tensor:
    return torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )


def test_the_square_is_where_the_panels_differ_and_not_where_there_is_most_detail() -> None:
    """A page of text that both panels show equally has the most detail."""
    a = torch.full((3, 500, 600), 100, dtype=torch.uint8)
    a[:, 10:200, 10:200] = torch.randint(0, 256, (3, 190, 190)).to(torch.uint8)
    b = a.clone()
    b[:, 400:440, 500:540] += 10
    top, left, side = where_they_differ([a, b])
    assert top <= 400 <= 440 <= top + side
    assert left <= 500 <= 540 <= left + side


def test_a_panel_that_is_worse_everywhere_does_not_decide_alone() -> None:
    a = torch.full((3, 500, 600), 100, dtype=torch.uint8)
    dark, b = a - 40, a.clone()
    b[:, 20:60, 20:60] += 10
    top, left, _ = where_they_differ([a, b, dark])
    assert max(top, left) <= 20


@pytest.mark.parametrize(("height", "width"), [(1, 1), (30, 400), (200, 200), (201, 77)])
def test_images_of_any_size_have_a_square(height: int, width: int) -> None:
    image = textured(height, width)
    top, left, side = where_they_differ([image, 255 - image])
    assert 0 <= top <= height - side
    assert 0 <= left <= width - side
    assert png([image, image], ["a", "b"])


def test_labels_are_inside_and_fit() -> None:
    panel = torch.full((3, 100, 120), 200, dtype=torch.uint8)
    drawn = labelled(panel, "a name that is much too long for the panel.mkv")
    assert drawn.shape == panel.shape
    assert torch.equal(drawn[:, 40:], panel[:, 40:])
    assert drawn[:, :22].max() == 255, "the text is white"
    assert drawn[:, 0, -1].max() < 100, "on a dark box"
    assert torch.equal(panel, torch.full_like(panel, 200)), "the image itself is not changed"


def test_letters_differ_and_unknown_ones_are_a_box() -> None:
    masks = [text_mask(letter, width=100) for letter in "abcdefgABC019._-éß"]
    for i, one in enumerate(masks):
        assert one.max() > 0.9
        assert not any(one.shape == other.shape and torch.equal(one, other) for other in masks[:i])
    assert torch.equal(text_mask("漢", width=100), text_mask("□", width=100))


def test_panels_beyond_five_continue_in_another_row() -> None:
    panels = [textured(20, 30)] * 6
    assert in_rows(panels[:5]).shape == (3, 20, 5 * 30 + 4 * 6)
    assert in_rows(panels).shape == (3, 2 * 20 + 6, 3 * 30 + 2 * 6)


def test_a_wipe_goes_from_one_panel_to_the_other() -> None:
    a, b = torch.zeros(3, 10, 100, dtype=torch.uint8), torch.full((3, 10, 100), 80, dtype=torch.uint8)
    middle = wiped(a, b, 0.5)
    assert (middle[..., :40] == 80).all()
    assert (middle[..., 60:] == 0).all()
    assert (middle[..., 50] == 255).all()


def test_an_animation_has_every_step_and_repeats(tmp_path: Path) -> None:
    image = textured(60, 60)
    path = tmp_path / "a.webp"
    path.write_bytes(webp([image, 255 - image, image // 2], ["a", "b", "c"]))
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed (extra dev)")
    with pillow.open(path) as animation:
        assert animation.size == (60 * ZOOM, 60 * ZOOM)
        # The encoder joins images that are equal.
        assert 3 * STEPS < animation.n_frames <= 3 * (STEPS + REST)
        assert animation.info["loop"] == 0


def test_five_results_of_different_sizes_are_one_picture(tmp_path: Path) -> None:
    clips = [
        make_clip(tmp_path / f"{scale}.mp4", frames=2, width=32 * scale, height=24 * scale)
        for scale in (1, 2, 3, 4, 5)
    ]
    found = vsr.compare(*clips, output=tmp_path / "a.png")
    assert found.panels == ("1.mp4", "2.mp4", "3.mp4", "4.mp4", "5.mp4")
    with av.open(str(tmp_path / "a.png")) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (5 * 120 * ZOOM + 4 * 6, 120 * ZOOM)
    assert "resized to 160x120" in found.notes[-1]


def test_pictures_are_compared_as_they_are_shown(tmp_path: Path) -> None:
    """A photograph that EXIF turns stands upright beside its result, and a transparent one is on white."""
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    image = pillow.fromarray(textured(40, 60).permute(1, 2, 0).contiguous().numpy())
    image.save(tmp_path / "upright.png")
    exif = pillow.Exif()
    exif[0x0112] = 6  # the camera was turned: the stored image is shown clockwise
    image.rotate(90, expand=True).save(tmp_path / "turned.webp", lossless=True, exif=exif)
    image.convert("RGBA").save(tmp_path / "alpha.png")
    inputs = open_inputs([tmp_path / name for name in ("upright.png", "turned.webp", "alpha.png")])
    first, *others = (eight_bit(one.image(next(one.frames()))) for one in inputs)
    assert torch.equal(first, textured(40, 60))
    assert all(torch.equal(first, other) for other in others)
    page = vsr.compare(*(one.path for one in inputs), output=tmp_path / "page.html")
    assert page.moments == 1
    assert page.totals["Sharpness"][0] == page.totals["Sharpness"][1]
