"""What phones and cameras put into and behind a photograph is kept, or named before the work."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vsr
from tests import judges
from tests.media_maker import make_clip
from tests.picture_maker import corners, deep_png, exif_data, jpeg_bytes, profile, scene, stored_as

GAIN_MAP_SEGMENT = b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
    b' xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" %s/></rdf:RDF></x:xmpmeta>'
)
PICTURES, CLIP = "the further pictures of the file", "the clip of a live photo"


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segment(data: bytes, content: bytes) -> bytes:
    """Return a JPEG with a segment APP2 in front."""
    return data[:2] + segment(0xE2, content) + data[2:]


def with_index(first: bytes, second: bytes) -> bytes:
    """Return two JPEGs in one file, with an index of its pictures (CIPA DC-007, multi-picture format)."""
    entries = ((0xB000, 7, 4, b"0100"), (0xB001, 4, 1, struct.pack(">L", 2)))
    head = b"MPF\0MM\0*" + struct.pack(">LH", 8, 3)
    head += b"".join(struct.pack(">HHL4s", *entry) for entry in entries)
    head += struct.pack(">HHLLL", 0xB002, 7, 32, 50, 0)
    size = len(first) + 4 + len(head) + 32
    pictures = struct.pack(">LLLHH", 0x20030000, size, 0, 0, 0)
    pictures += struct.pack(">LLLHH", 0, len(second), size - 10, 0, 0)
    return with_segment(first, head + pictures) + second


def clip(folder: Path) -> bytes:
    return make_clip(folder / "clip.mp4", frames=3).read_bytes()


def photograph(folder: Path, kind: str) -> bytes:
    """Return a photograph as a phone or a camera of some kind writes it."""
    second = jpeg_bytes(scene(30, 20).convert("L"))
    plain = jpeg_bytes(scene(), quality=95, icc_profile=profile())
    gain = jpeg_bytes(scene(), quality=95, xmp=PACKET % b'hdrgm:Version="1.0"')
    moving = jpeg_bytes(scene(), quality=95, xmp=PACKET % b'GCamera:MotionPhoto="1"')
    samsung = b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data"
    return {
        "plain": lambda: plain,
        "Ultra HDR": lambda: with_index(with_segment(gain, GAIN_MAP_SEGMENT), second),
        "Ultra HDR without an index": lambda: gain + second,
        "two views": lambda: with_index(plain, jpeg_bytes(scene())),
        "live": lambda: moving + clip(folder),
        "live and Ultra HDR": lambda: with_index(gain, second) + clip(folder),
        "Samsung": lambda: plain + samsung + clip(folder) + b"SEFH" + bytes(20) + b"SEFT",
        "unknown": lambda: plain + b"something else",
        "filled up": lambda: plain + bytes(100),
        "progressive": lambda: jpeg_bytes(scene(), progressive=True) + b"something else",
    }[kind]()


def upscaled(source: Path, name: str) -> tuple[Path, vsr.Report]:
    return source.with_name(name), vsr.upscale(source, source.with_name(name), model="bicubic", device="cpu")


@pytest.mark.parametrize(
    ("kind", "left_out"),
    [
        ("plain", ()),
        ("filled up", ()),
        ("Ultra HDR", (PICTURES, "the properties of a gain map or clip")),
        ("Ultra HDR without an index", (PICTURES, "the properties of a gain map or clip")),
        ("two views", (PICTURES,)),
        ("live", (CLIP, "the properties of a gain map or clip")),
        ("live and Ultra HDR", (PICTURES, CLIP)),
        ("Samsung", (CLIP, "the data of the phone's own programs")),
        ("unknown", ("14 bytes behind the picture",)),
        ("progressive", ("14 bytes behind the picture",)),
    ],
)
def test_what_lies_behind_a_photograph_is_named_and_its_result_does_not_claim_to_have_it(
    tmp_path: Path, kind: str, left_out: tuple[str, ...]
) -> None:
    source = tmp_path / "photo.jpg"
    source.write_bytes(photograph(tmp_path, kind))
    target, report = upscaled(source, "out.jpg")
    assert len(report.warnings) == bool(left_out)
    for phrase in left_out:
        assert phrase in report.warnings[0]
    data = target.read_bytes()
    assert data.endswith(b"\xff\xd9")
    assert data.count(b"\xff\xd8\xff") == 1
    for claim in (b"MPF", b"hdrgm", b"21496", b"MotionPhoto"):
        assert claim not in data
    seen = judges.exiftool(target)
    assert not {"ExifTool:Warning", "ExifTool:Error"} & seen.keys()
    assert not any(name.startswith(("MPF", "MPImage", "Samsung", "XMP-hdrgm")) for name in seen)


def test_a_camera_file_with_two_views_is_a_photograph(tmp_path: Path) -> None:
    source = tmp_path / "photo.MPO"
    source.write_bytes(photograph(tmp_path, "two views"))
    target, _ = upscaled(source, "out.png")
    with Image.open(target) as image:
        assert image.size == (120, 80)
        assert image.info["icc_profile"] == profile()


@pytest.mark.parametrize("suffix", ["dib", "heif", "pgm", "qoi", "heic"])
def test_a_jpeg_under_a_wrong_name_is_read(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"photo.{suffix}"
    source.write_bytes(jpeg_bytes(scene()))
    with Image.open(upscaled(source, "out.png")[0]) as image:
        assert image.size == (120, 80)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_what_lies_behind_a_png_or_webp_is_named(tmp_path: Path, form: str) -> None:
    source, made = tmp_path / f"photo.{form.lower()}", io.BytesIO()
    scene().save(made, form, lossless=True)
    source.write_bytes(made.getvalue() + b"appended data")
    target, report = upscaled(source, f"out.{form.lower()}")
    assert report.warnings == ["left out: 13 bytes behind the picture"]
    assert b"appended" not in target.read_bytes()


def with_chunks(path: Path, *chunks: tuple[bytes, bytes]) -> Path:
    """Put chunks behind the header of a PNG."""
    data = path.read_bytes()
    made = [
        struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
        for name, body in chunks
    ]
    path.write_bytes(data[:33] + b"".join(made) + data[33:])
    return path


def test_a_png_of_16_bits_keeps_hdr_colours_profile_and_exif(tmp_path: Path) -> None:
    ramp = np.mgrid[:40, :60][1].astype(np.uint16) * 1000
    samples = np.stack([ramp, ramp // 2, ramp // 3], axis=-1)
    hdr = ((b"cICP", bytes([12, 16, 0, 1])), (b"cLLI", struct.pack(">LL", 10_000_000, 4_000_000)))
    tagged = with_chunks(deep_png(tmp_path / "hdr.png", samples), *hdr)
    mapped = with_chunks(
        deep_png(tmp_path / "map.png", samples),
        (b"iCCP", b"Display P3\0\0" + zlib.compress(profile())),
        (b"eXIf", exif_data(6, (60, 40))),
    )
    seen = judges.exiftool(upscaled(tagged, "hdr-out.png")[0])
    assert (seen["PNG:BitDepth"], seen["PNG:ImageWidth"]) == (16, 120)
    assert (seen["PNG-cICP:ColorPrimaries"], seen["PNG-cICP:TransferCharacteristics"]) == (12, 16)
    assert hdr[1][1] in (tmp_path / "hdr-out.png").read_bytes()
    before, after = judges.exiftool(mapped), judges.exiftool(upscaled(mapped, "map-out.png")[0])
    assert (after["PNG:BitDepth"], after["PNG:ImageWidth"], after["PNG:ImageHeight"]) == (16, 80, 120)
    assert after["IFD0:Orientation"] == 1
    for name in ("ICC_Profile:ProfileDescription", "ExifIFD:DateTimeOriginal", "GPS:GPSLatitude"):
        assert after[name] == before[name], name


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_orientation_with_a_gain_map_comes_out_upright(tmp_path: Path, orientation: int) -> None:
    source, shown = tmp_path / "photo.jpg", scene(40, 60)
    stored = stored_as(shown, orientation)
    first = jpeg_bytes(stored, quality=95, exif=b"Exif\0\0" + exif_data(orientation, stored.size))
    source.write_bytes(with_index(first, jpeg_bytes(scene())))
    target, _ = upscaled(source, "out.jpg")
    with Image.open(target) as image:
        assert (image.size, corners(image)) == ((80, 120), corners(shown))
    assert judges.exiftool(target)["IFD0:Orientation"] == 1
