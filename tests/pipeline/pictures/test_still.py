"""A still picture comes out larger, with everything that its file contains, judged by Pillow and FFmpeg."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import vsr
from tests import judges
from tests.picture_maker import (
    DATE,
    IPTC,
    MAKER_NOTE,
    UPRIGHT,
    XMP,
    corners,
    deep_png,
    exif_data,
    jpeg_bytes,
    phone_photograph,
    profile,
    scene,
    stored_as,
)

SUFFIXES = (".png", ".jpg", ".webp", ".tif")


def upscaled(source: Path, name: str, **settings: object) -> tuple[Path, vsr.Report]:
    target = source.parent / name
    report = vsr.upscale(source, target, **{"model": "bicubic", "scale": 2, "device": "cpu", **settings})
    return target, report


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_phone_photograph_keeps_date_place_profile_and_texts_and_is_upright(
    tmp_path: Path, suffix: str
) -> None:
    target, report = upscaled(phone_photograph(tmp_path / "photo.jpg"), f"out{suffix}")
    with Image.open(target) as image:
        found = image.getexif()
        inner, place = found.get_ifd(0x8769), found.get_ifd(0x8825)
        assert (image.size, corners(image)) == ((80, 120), UPRIGHT)
        assert (found[0x0112], found[0x0132], inner[0x9003]) == (1, DATE, DATE)
        assert (inner[0xA002], inner[0xA003], inner[0x927C]) == (80, 120, MAKER_NOTE)
        assert place[2] == (48.0, 8.0, 30.5)
        assert image.info["icc_profile"] == profile()
        packet = image.info["xmp"]
        assert b"A lake" in packet
        assert b'Orientation="1"' in packet
        assert b"MotionPhoto" not in packet
        assert not found.get_ifd(0x0201)
    assert target.read_bytes().count(b"\xff\xd8\xff") == (suffix == ".jpg")  # no JPEG inside, a thumbnail
    (warning,) = report.warnings
    assert "the thumbnail" in warning


def test_exiftool_reads_what_the_source_has(tmp_path: Path) -> None:
    source = phone_photograph(tmp_path / "photo.jpg")
    before = judges.exiftool(source)
    for suffix in SUFFIXES:
        after = judges.exiftool(upscaled(source, f"out{suffix}")[0])
        assert "ExifTool:Error" not in after
        for name in ("ExifIFD:DateTimeOriginal", "GPS:GPSLatitude", "IFD0:Make", "XMP-dc:Title"):
            assert after[name] == before[name], (suffix, name)
        assert suffix == ".webp" or after["IPTC:Caption-Abstract"] == before["IPTC:Caption-Abstract"]


def test_a_jpeg_keeps_comment_density_and_iptc_and_loses_the_thumbnail_of_photoshop(tmp_path: Path) -> None:
    target, _ = upscaled(phone_photograph(tmp_path / "photo.jpg"), "out.jpg")
    with Image.open(target) as image:
        assert image.info["comment"] == b"a comment"
        assert image.info["dpi"] == (300, 300)
        assert image.info["photoshop"] == {0x0404: IPTC}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(tmp_path: Path, orientation: int) -> None:
    stored = stored_as(scene(40, 60), orientation)
    for suffix, options in ((".jpg", {"subsampling": 0}), (".png", {}), (".webp", {"lossless": True})):
        source = tmp_path / f"photo{suffix}"
        mark = b"Exif\0\0" if suffix == ".jpg" else b""
        stored.save(source, exif=mark + exif_data(orientation, stored.size), **options)
        target, report = upscaled(source, f"out{suffix}", overwrite=True)
        with Image.open(target) as image:
            assert (image.size, corners(image)) == ((80, 120), UPRIGHT)
            assert image.getexif()[0x0112] == 1
        assert (report.info.width, report.info.height) == (40, 60)


def test_an_orientation_of_tiff_is_applied(tmp_path: Path) -> None:
    source = tmp_path / "photo.tif"
    stored_as(scene(40, 60), 6).save(source, tiffinfo={0x0112: 6, 0x010E: "A lake"})
    target, _ = upscaled(source, "out.tif")
    with Image.open(target) as image:
        assert (image.size, corners(image)) == ((80, 120), UPRIGHT)
        assert image.tag_v2.get(0x0112, 1) == 1
        assert image.tag_v2[0x010E] == "A lake"


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path, suffix: str, channels: int) -> None:
    ramp = np.linspace(1000, 60000, 32 * 24).astype(np.uint16).reshape(24, 32)
    samples = ramp if channels == 1 else np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1)
    source = deep_png(tmp_path / "deep.png", samples)
    target, _ = upscaled(source, f"out{suffix}", scale=1)
    with av.open(str(target)) as media:
        frame = next(media.decode(video=0))
    wanted = "gray16le" if channels == 1 else "rgb48le"
    assert np.array_equal(frame.reformat(format=wanted).to_ndarray(), samples)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_grey_stays_grey(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "grey.png"
    scene().convert("L").save(source)
    target, _ = upscaled(source, f"out{suffix}")
    with Image.open(target) as image:
        assert image.mode == ("RGB" if suffix == ".webp" else "L")  # WebP has no grey
        samples = np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(samples - samples[..., :1]).max() == 0


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_kept_and_transparent_black_leaves_no_dark_edge(
    tmp_path: Path, suffix: str, mode: str
) -> None:
    samples = np.zeros((40, 40, 4), np.uint8)
    samples[10:30, 10:30] = 220, 220, 220, 255
    source, image = tmp_path / "cut.png", Image.fromarray(samples)
    (image.quantize(4) if mode == "P" else image.convert(mode)).save(source)
    target, report = upscaled(source, f"out{suffix}")
    with Image.open(target) as made:
        result = np.asarray(made.convert("RGBA")).astype(int)
    assert report.warnings == []
    assert result[4, 4, 3] == 0
    assert result[40, 40, 3] == 255
    visible = result[result[..., 3] > 0]
    assert np.abs(visible[:, :3] - 220).max() <= 1


def test_a_format_without_transparency_gets_a_white_ground_and_says_so(tmp_path: Path) -> None:
    source = tmp_path / "cut.png"
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(source)
    target, report = upscaled(source, "out.jpg")
    with Image.open(target) as image:
        assert image.getpixel((10, 10)) == (255, 255, 255)
    assert report.warnings == ["left out: transparency (the picture is put on white)"]


def test_texts_and_colour_chunks_of_a_png_stay_byte_for_byte(tmp_path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "steps 20", zip=True)
    texts.add_itxt("Title", "Zürich ☃", lang="de", tkey="Titel")
    texts.add(b"gAMA", struct.pack(">L", 100000))
    texts.add(b"cICP", bytes((9, 16, 0, 1)))
    source = tmp_path / "texts.png"
    scene().save(source, pnginfo=texts, dpi=(300, 300))
    target, report = upscaled(source, "out.png")
    assert report.warnings == []
    kept = (b"zTXt", b"iTXt", b"gAMA", b"cICP", b"pHYs")
    assert [one for one in chunks(target) if one[0] in kept] == [
        one for one in chunks(source) if one[0] in kept
    ]
    with Image.open(upscaled(source, "out.jpg")[0]) as image:
        assert b"parameters: steps 20" in b"".join(part for name, part in image.applist if name == "COM")


def test_what_a_format_has_no_place_for_is_named(tmp_path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "steps 20")
    texts.add(b"gAMA", struct.pack(">L", 100000))
    source = tmp_path / "texts.png"
    scene().save(source, pnginfo=texts)
    (warning,) = upscaled(source, "out.webp")[1].warnings
    assert "texts" in warning
    assert "gAMA" in warning


def chunks(path: Path) -> list[tuple[bytes, bytes]]:
    data, at, found = path.read_bytes(), 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">L", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += length + 12
    return sorted(found)


def test_chroma_of_a_jpeg_is_interpolated_as_that_of_a_video(tmp_path: Path) -> None:
    source = tmp_path / "photo.jpg"
    scene().save(source, quality=95, subsampling=2)
    target, _ = upscaled(source, "out.png", scale=1)
    with av.open(str(source)) as media:
        frame = next(media.decode(video=0))
    with vsr.open_video(source) as video:
        (decoded,) = video.frames()
    assert frame.format.name == "yuvj420p"
    wanted = decoded.to_rgb().image.mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    with Image.open(target) as image:
        assert np.array_equal(np.asarray(image), wanted)


def test_a_lossless_source_stays_lossless_in_webp_and_a_lossy_one_does_not(tmp_path: Path) -> None:
    png, jpeg = tmp_path / "a.png", tmp_path / "b.jpg"
    scene().save(png)
    scene().save(jpeg)
    assert b"VP8L" in upscaled(png, "a.webp")[0].read_bytes()
    assert b"VP8L" not in upscaled(jpeg, "b.webp")[0].read_bytes()
    with Image.open(upscaled(png, "a1.webp", scale=1)[0]) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(scene()))


def test_further_pictures_pages_and_credentials_are_named_as_left_out(tmp_path: Path) -> None:
    pages = tmp_path / "pages.tif"
    scene().save(pages, save_all=True, append_images=[scene(), scene()])
    assert "2 further pages" in upscaled(pages, "pages.png")[1].warnings[0]
    several = tmp_path / "several.jpg"
    scene().save(several, "MPO", save_all=True, append_images=[scene()])
    target, report = upscaled(several, "several-out.jpg")
    assert "further pictures" in report.warnings[0]
    with Image.open(target) as image:
        assert image.format == "JPEG"
    signed = tmp_path / "signed.jpg"
    data = jpeg_bytes(scene())
    signed.write_bytes(data[:2] + b"\xff\xeb\x00\x08jumbf!" + data[2:])
    target, report = upscaled(signed, "signed-out.jpg")
    assert "C2PA" in report.warnings[0]
    assert b"jumbf" not in target.read_bytes()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cmyk.jpg", "CMYK JPEG"),
        ("cmyk.tif", "TIFF in CMYK"),
        ("photo.heic", "HEIC"),
        ("big.png", "max_pixels"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, name: str, words: str) -> None:
    source = tmp_path / name
    if "cmyk" in name:
        scene().convert("CMYK").save(source)
    elif name == "big.png":
        head = struct.pack(">LLBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
        source.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 13) + b"IHDR" + head + bytes(99))
    else:
        source.write_bytes(struct.pack(">L", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(99))
    with pytest.raises(vsr.InputError, match=words) as error:
        upscaled(source, "out.png")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("compression", ["tiff_lzw", "raw"])
def test_a_tiff_whose_directory_is_cut_off_is_one_line(tmp_path: Path, compression: str) -> None:
    source = tmp_path / "cut.tif"
    scene().save(source, compression=compression)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(vsr.InputError, match=r"cut\.tif"):
        upscaled(source, "out.png", strict=True)


def test_a_damaged_photograph_is_upscaled_as_far_as_it_goes_and_reported(tmp_path: Path) -> None:
    source, out = tmp_path / "cut.jpg", io.BytesIO()
    scene(200, 200).save(out, "JPEG", quality=95)
    source.write_bytes(out.getvalue()[: len(out.getvalue()) * 2 // 3])
    _, report = upscaled(source, "out.png")
    assert report.exit_code == 10
    with pytest.raises(vsr.InputError, match="damaged"):
        upscaled(source, "strict.png", strict=True)


def test_damaged_metadata_is_named_and_the_picture_is_upscaled(tmp_path: Path) -> None:
    source = tmp_path / "odd.jpg"
    scene().save(source, exif=b"Exif\0\0II*\0\xff\xff\xff\x00")
    _, report = upscaled(source, "out.jpg")
    assert report.exit_code == 10
    assert "metadata is damaged" in report.damage.notes[0]


def test_a_picture_that_exists_is_kept_without_overwrite(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    scene().save(source)
    (tmp_path / "out.png").write_bytes(b"mine")
    with pytest.raises(vsr.ConfigError, match="exists already"):
        upscaled(source, "out.png")
    assert (tmp_path / "out.png").read_bytes() == b"mine"
    with pytest.raises(vsr.ConfigError, match="input itself"):
        upscaled(source, "photo.png", overwrite=True)


def test_a_format_that_is_too_small_is_refused_before_the_work(tmp_path: Path) -> None:
    source = tmp_path / "long.png"
    Image.new("L", (2000, 2)).save(source)
    with pytest.raises(vsr.ConfigError, match="WebP has at most 16383"):
        upscaled(source, "out.webp", scale=9)


def test_settings_of_videos_are_named_and_not_used(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    scene().save(source)
    _, report = upscaled(source, "out.png", crf=18, start=1)
    assert report.warnings == ["not used for a picture: start, the settings of the encoder"]


def test_a_network_in_tiles_gives_the_same_picture_as_without(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 255, (96, 128, 3), np.uint8)).save(source)
    made = [
        np.asarray(Image.open(upscaled(source, f"{tile}.png", model="fast-x2", tile=tile)[0])).astype(int)
        for tile in (0, 64)
    ]
    assert np.abs(made[0] - made[1]).max() <= 1


def test_of_several_devices_the_first_computes(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    scene().save(source)
    assert upscaled(source, "out.png", device="cpu:2")[1].engine["device"] == "cpu"


def test_xmp_that_needs_no_change_keeps_its_bytes(tmp_path: Path) -> None:
    packet = XMP.replace(b'tiff:Orientation="6" GCamera:MotionPhoto="1"', b"")
    source = tmp_path / "photo.jpg"
    scene().save(source, xmp=packet)
    with Image.open(upscaled(source, "out.jpg")[0]) as image:
        assert image.info["xmp"] == packet
