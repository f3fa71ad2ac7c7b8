"""Pictures of a folder: found, parted by photograph, decoded as they are."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.train.photographs import photograph, write_photographs
from vsr.errors import InputError
from vsr.train.data import SUFFIXES, Picture, find_pictures, large_enough, licences, read_image, split


def tiles(photographs: int, each: int) -> list[Picture]:
    return [
        Picture(path=Path(f"p{number}_{tile}.png"), photograph=f"p{number}")
        for number in range(photographs)
        for tile in range(each)
    ]


@pytest.mark.parametrize(("photographs", "one_in"), [(2, 12), (5, 2), (73, 12), (24, 3)])
def test_tiles_of_one_photograph_are_never_on_both_sides(photographs: int, one_in: int) -> None:
    pictures = tiles(photographs, each=3)
    known, held_out = split(pictures, one_in)
    assert known
    assert held_out
    assert not {p.photograph for p in known} & {p.photograph for p in held_out}
    assert sorted(p.path for p in known + held_out) == sorted(p.path for p in pictures)


def test_one_photograph_cannot_be_parted() -> None:
    with pytest.raises(InputError, match="one photograph"):
        split(tiles(1, each=9), 2)


def test_the_table_tells_which_photograph_a_tile_was_cut_from(tmp_path: Path) -> None:
    write_photographs(tmp_path, 3)
    rows = [
        "file\trepository\tpath\tlicence",
        "photo0.png\ta/b\tx.jpg\tCC0",
        "photo1.png\ta/b\tx.jpg\tCC-BY 4.0",
    ]
    (tmp_path / "SOURCES.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    pictures = find_pictures(tmp_path)
    assert [p.photograph for p in pictures] == ["a/b:x.jpg", "a/b:x.jpg", "photo2"]
    assert licences(tmp_path) == "CC-BY 4.0; CC0"


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path, 1)
    (tmp_path / "SOURCES.tsv").write_text("name\tlicence\nphoto0.png\tCC0\n", encoding="utf-8")
    with pytest.raises(InputError, match="columns file, repository and path"):
        find_pictures(tmp_path)


def test_a_png_is_decoded_as_it_is(tmp_path: Path) -> None:
    write_photographs(tmp_path, 1)
    assert torch.equal(read_image(tmp_path / "photo0.png"), photograph(0))


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".webp", ".bmp", ".tif", ".tiff"])
def test_every_suffix_that_is_looked_for_can_be_opened_and_decoded(tmp_path: Path, suffix: str) -> None:
    assert suffix.lower() in SUFFIXES
    image = F.interpolate(photograph(0)[None, :, ::8, ::8].float(), size=(96, 80), mode="bicubic")
    array = image[0].clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    options = {"quality": 95, "subsampling": 0, "lossless": True}  # each format takes what it knows
    Image.fromarray(array.numpy()).save(tmp_path / f"soft{suffix}", **options)
    (found,) = large_enough(find_pictures(tmp_path), 80)
    error = (read_image(found.path).permute(1, 2, 0).float() - array).abs().mean()
    assert error < 2  # JPEG loses a little, the others nothing


def test_small_pictures_are_left_out_and_said_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_photographs(tmp_path, 2, side=96)
    (tmp_path / "small").mkdir()
    write_photographs(tmp_path / "small", 1, side=40)
    (tmp_path / "small" / "photo0.png").rename(tmp_path / "tiny.png")
    with caplog.at_level(logging.WARNING):
        kept = large_enough(find_pictures(tmp_path), 64)
    assert [p.path.name for p in kept] == ["photo0.png", "photo1.png"]
    assert "1 of 3 pictures left out" in caplog.text


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_text("no picture")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        large_enough(find_pictures(tmp_path), 64)
    with pytest.raises(InputError, match=r"broken\.jpg"):
        read_image(tmp_path / "broken.jpg")


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no picture"):
        find_pictures(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        find_pictures(tmp_path / "nowhere")
