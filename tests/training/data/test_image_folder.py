"""Images of a folder: found, split by photograph, and decoded exactly."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.training.photographs import photograph, write_photographs
from vsr.errors import InputError
from vsr.training.data.drawing import Geometry
from vsr.training.data.image_folder import (
    ImageFile,
    Quarantine,
    find_images,
    large_enough,
    licences,
    open_photographs,
    split,
)
from vsr.training.data.images import read_image


def tiles(photographs: int, each: int) -> list[ImageFile]:
    return [
        ImageFile(path=Path(f"p{number}_{tile}.png"), photograph=f"p{number}")
        for number in range(photographs)
        for tile in range(each)
    ]


@pytest.mark.parametrize(("photographs", "one_in"), [(2, 12), (5, 2), (73, 12), (24, 3)])
def test_tiles_of_one_photograph_are_never_in_both_parts(photographs: int, one_in: int) -> None:
    pictures = tiles(photographs, each=3)
    known, held_out = split(pictures, one_in)
    assert known
    assert held_out
    assert not {p.photograph for p in known} & {p.photograph for p in held_out}
    assert sorted(p.path for p in known + held_out) == sorted(p.path for p in pictures)


def test_one_photograph_cannot_be_split() -> None:
    with pytest.raises(InputError, match="only one photograph"):
        split(tiles(1, each=9), 2)


def test_the_table_names_the_photograph_of_each_tile(tmp_path: Path) -> None:
    write_photographs(tmp_path, 3)
    rows = [
        "file\trepository\tpath\tlicence",
        "photo0.png\ta/b\tx.jpg\tCC0",
        "photo1.png\ta/b\tx.jpg\tCC-BY 4.0",
    ]
    (tmp_path / "SOURCES.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    pictures = find_images(tmp_path)
    assert [p.photograph for p in pictures] == ["a/b:x.jpg", "a/b:x.jpg", "photo2"]
    assert licences(tmp_path) == "CC-BY 4.0; CC0"


def test_files_in_the_holdout_table_are_held_out_with_all_tiles_of_their_photographs(tmp_path: Path) -> None:
    write_photographs(tmp_path, 5)
    rows = ["file\trepository\tpath", "photo0.png\ta/b\tx.jpg", "photo3.png\ta/b\tx.jpg"]
    (tmp_path / "SOURCES.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "HOLDOUT.tsv").write_text("file\nphoto3.png\nphoto4.png\ngone.png\n", encoding="utf-8")
    known, held_out = open_photographs(tmp_path, Geometry(size=64, frames=1, speed=0, scale=2), 2)
    assert [picture.path.name for picture in known.image_files] == ["photo1.png", "photo2.png"]
    assert [picture.path.name for picture in held_out.image_files] == [
        "photo0.png",
        "photo3.png",
        "photo4.png",
    ]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("name\nphoto0.png\n", "column file"),
        ("file\ngone.png\n", "no existing image"),
        ("file\n", "no existing image"),
        ("file\nphoto0.png\nphoto1.png\n", "all images"),
        ("file\tkind\n\xff\n", "cannot be read"),
    ],
)
def test_an_unusable_holdout_table_is_rejected(tmp_path: Path, table: str, reason: str) -> None:
    write_photographs(tmp_path, 2)
    (tmp_path / "HOLDOUT.tsv").write_bytes(table.encode("latin-1"))
    with pytest.raises(InputError, match=reason):
        open_photographs(tmp_path, Geometry(size=64, frames=1, speed=0, scale=2), 2)


def test_a_table_without_the_columns_is_rejected(tmp_path: Path) -> None:
    write_photographs(tmp_path, 1)
    (tmp_path / "SOURCES.tsv").write_text("name\tlicence\nphoto0.png\tCC0\n", encoding="utf-8")
    with pytest.raises(InputError, match="columns file, repository and path"):
        find_images(tmp_path)


def test_a_png_is_decoded_exactly(tmp_path: Path) -> None:
    write_photographs(tmp_path, 1)
    assert torch.equal(read_image(tmp_path / "photo0.png"), photograph(0))


def test_hidden_and_unsupported_files_are_named_in_a_warning_and_do_not_end_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_photographs(tmp_path, 4)
    for number in range(4):
        (tmp_path / f"._photo{number}.png").write_bytes(b"\0\5\x16\7" + bytes(60))
        (tmp_path / f"phone{number}.heic").write_bytes(b"heic")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "notes.txt").write_text("not the name of an image")
    known, held_out = open_photographs(tmp_path, Geometry(size=64, frames=1, speed=0, scale=2), 2)
    assert len(known.image_files) + len(held_out.image_files) == 4
    assert caplog.text.count("skipped") == 1
    assert "._photo0.png, ._photo1.png, ._photo2.png and 6 more" in caplog.text


def test_images_of_unsupported_formats_are_skipped_by_name_in_any_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_photographs(tmp_path, 4)
    image = Image.fromarray(photograph(9).permute(1, 2, 0).numpy())
    for name in ("a.tif", "b.tif"):
        image.save(tmp_path / name, compression="jpeg")
    for name in ("c.jpg", "d.png"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(60))
    known, held_out = open_photographs(tmp_path, Geometry(size=64, frames=1, speed=0, scale=2), 2)
    for seed in range(30):
        known.draw(random.Random(seed))
        held_out.draw(random.Random(seed))
    for name in ("a.tif", "b.tif", "c.jpg", "d.png"):
        assert caplog.text.count(f"{name}: is ") == 1


def test_small_images_are_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_photographs(tmp_path, 2, side=96)
    write_photographs(tmp_path / "small", 1, side=40)
    (tmp_path / "small" / "photo0.png").rename(tmp_path / "tiny.png")
    with caplog.at_level(logging.WARNING):
        kept = large_enough(find_images(tmp_path), 64)
    assert [p.path.name for p in kept] == ["photo0.png", "photo1.png"]
    assert "1 of 3 images skipped" in caplog.text


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_text("no picture")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        large_enough(find_images(tmp_path), 64)
    with pytest.raises(InputError, match=r"broken\.jpg"):
        read_image(tmp_path / "broken.jpg")


def test_missing_and_empty_folders_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no image"):
        find_images(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        find_images(tmp_path / "nowhere")


def cut_off(path: Path) -> None:
    """Truncate a JPEG to half its size, which leaves its header complete."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def write_jpegs(folder: Path, number: int) -> list[Path]:
    paths = [folder / f"p{i:03}.jpg" for i in range(number)]
    image = Image.fromarray(photograph(1).permute(1, 2, 0).numpy())
    for path in paths:
        image.save(path, quality=90)
    return paths


def test_a_truncated_image_is_an_error_and_not_filled_with_grey(tmp_path: Path) -> None:
    (path,) = write_jpegs(tmp_path, 1)
    cut_off(path)
    with pytest.raises(InputError, match=r"p000\.jpg: is damaged"):
        read_image(path)


def test_a_corrupt_image_is_skipped_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = write_jpegs(tmp_path, 12)
    cut_off(paths[0])
    known, held_out = open_photographs(tmp_path, Geometry(size=64, frames=2, speed=2, scale=2), 4)
    rng = random.Random(0)
    for _ in range(60):
        assert known.draw(rng).hr.shape == (2, 3, 64, 64)
        held_out.draw(rng)
    assert caplog.text.count("p000.jpg") == 1
    assert len(known.quarantine) == 1


def test_draws_do_not_depend_on_which_corrupt_images_are_known(tmp_path: Path) -> None:
    cut_off(write_jpegs(tmp_path, 12)[0])
    shape = Geometry(size=64, frames=2, speed=2, scale=2)
    fresh, warned = (open_photographs(tmp_path, shape, 4)[0] for _ in range(2))
    for seed in range(30):
        warned.draw(random.Random(seed))
    for seed in range(30):
        a, b = fresh.draw(random.Random(seed)), warned.draw(random.Random(seed))
        assert torch.equal(a.hr, b.hr)


@pytest.mark.parametrize(
    ("total", "bad", "refused"), [(10, 1, False), (10, 2, True), (300, 3, False), (300, 4, True)]
)
def test_more_than_one_per_cent_of_corrupt_images_is_an_error(total: int, bad: int, refused: bool) -> None:
    quarantine = Quarantine(total)
    for number in range(bad - 1):
        quarantine.add(Path(f"{number}.jpg"), InputError("torn"))
        quarantine.add(Path(f"{number}.jpg"), InputError("torn"))  # the second time does not count
    last = Path("last.jpg")
    if refused:
        with pytest.raises(InputError, match=rf"{bad} of {total} images are unreadable .* torn"):
            quarantine.add(last, InputError("torn"))
    else:
        quarantine.add(last, InputError("torn"))
        assert len(quarantine) == bad
        assert last in quarantine


def test_images_without_a_header_and_without_pixels_are_counted_together(tmp_path: Path) -> None:
    paths = write_jpegs(tmp_path, 12)
    paths[1].write_bytes(b"no picture")
    cut_off(paths[0])
    known, held_out = open_photographs(tmp_path, Geometry(size=64, frames=2, speed=2, scale=2), 4)
    rng = random.Random(0)
    with pytest.raises(InputError, match="2 of 12 images are unreadable"):
        _ = [half.draw(rng) for _ in range(200) for half in (known, held_out)]


def test_a_folder_of_images_that_are_too_small_is_rejected_with_their_size(tmp_path: Path) -> None:
    write_photographs(tmp_path, 2, side=40)
    with pytest.raises(InputError, match="no image has 64 pixels on each side, the best has 40"):
        large_enough(find_images(tmp_path), 64)


def test_an_image_whose_header_declares_too_many_pixels_is_rejected(tmp_path: Path) -> None:
    Image.new("L", (8400, 8200)).save(tmp_path / "bomb.png")
    with pytest.raises(
        InputError, match=r"bomb\.png: a picture of 8400x8200 is larger than the limit of 67108864"
    ):
        large_enough(find_images(tmp_path), 64)
    with pytest.raises(InputError, match=r"bomb\.png: a picture of 8400x8200"):
        read_image(tmp_path / "bomb.png")
