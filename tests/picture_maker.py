"""Makes pictures as phones, cameras and programs write them."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageCms

DATE, MAKER_NOTE = "2024:05:06 07:08:09", b"NOTE" + bytes(range(60))
XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    b' xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" tiff:Orientation="6" GCamera:MotionPhoto="1">'
    b'<dc:title><rdf:Alt><rdf:li xml:lang="x-default">A lake</rdf:li></rdf:Alt></dc:title>'
    b'</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
IPTC = b"\x1c\x02\x78\x00\x06A lake"
"""The caption of IPTC-IIM."""


def scene(width: int = 60, height: int = 40) -> Image.Image:
    """Return a picture whose corners have four colours: red, green, blue and white from the top left on."""
    y, x = np.mgrid[:height, :width]
    right, low = x >= width // 2, y >= height // 2
    red, green, blue = ~right & ~low | right & low, right, low
    samples = np.stack([red, green, blue], axis=-1) * 200 + 20
    return Image.fromarray(samples.astype(np.uint8))


def corners(image: Image.Image) -> list[str]:
    """Return the colours of the corners in the order of `scene`, by their strongest samples."""
    rgb = image.convert("RGB")
    width, height = rgb.size
    places = ((2, 2), (width - 3, 2), (2, height - 3), (width - 3, height - 3))
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white", (0, 1, 1): "cyan"}
    return [names[tuple(int(v > 128) for v in rgb.getpixel(place))] for place in places]


UPRIGHT = ["red", "green", "blue", "white"]


def stored_as(image: Image.Image, orientation: int) -> Image.Image:
    """Return the samples that show `image` if they are turned as `orientation` says."""
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    return image if turn is None else image.transpose(turn)


def exif_data(orientation: int, size: tuple[int, int], *, thumbnail: Image.Image | None = None) -> bytes:
    """Return EXIF data with date, place, a maker note, and a thumbnail in a second directory."""
    made = Image.Exif()
    made[0x0112], made[0x010F], made[0x0132] = orientation, "Maker", DATE
    inner, place = made.get_ifd(0x8769), made.get_ifd(0x8825)
    inner[0x9003], inner[0xA002], inner[0xA003], inner[0x927C] = DATE, *size, MAKER_NOTE
    place[1], place[2], place[3], place[4] = "N", (48.0, 8.0, 30.5), "E", (11.0, 34.0, 0.0)
    data = bytearray(made.tobytes().removeprefix(b"Exif\0\0"))
    return bytes(data) if thumbnail is None else _with_thumbnail(data, thumbnail)


def _with_thumbnail(data: bytearray, thumbnail: Image.Image) -> bytes:
    order = "<" if data[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "L", data, 4)
    (count,) = struct.unpack_from(order + "H", data, first)
    data += bytes(len(data) % 2)
    struct.pack_into(order + "L", data, first + 2 + 12 * count, len(data))
    picture = jpeg_bytes(thumbnail)
    entries = ((0x0201, len(data) + 30), (0x0202, len(picture)))
    data += struct.pack(order + "H", 2)
    for tag, value in entries:
        data += struct.pack(order + "HHLL", tag, 4, 1, value)
    return bytes(data + bytes(4) + picture)


def jpeg_bytes(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


@cache
def profile() -> bytes:
    """Return a colour profile; it contains the time at which it was made."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def phone_photograph(path: Path, orientation: int = 6) -> Path:
    """Write a JPEG with everything that a phone and a photo program store."""
    shown = scene(40, 60)
    stored = stored_as(shown, orientation)
    resources = b"8BIM\x04\x04\0\0" + struct.pack(">L", len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
    resources += b"8BIM\x04\x0c\0\0" + struct.pack(">L", 30) + bytes(28) + b"\xff\xd8"
    data = jpeg_bytes(
        stored,
        quality=95,
        exif=b"Exif\0\0" + exif_data(orientation, stored.size, thumbnail=shown.resize((16, 24))),
        icc_profile=profile(),
        xmp=XMP,
        comment="a comment",
        dpi=(300, 300),
    )
    segment = b"Photoshop 3.0\0" + resources
    path.write_bytes(data[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + data[2:])
    return path


def deep_png(path: Path, samples: np.ndarray) -> Path:
    """Write a PNG of 16 bits: grey `(H, W)` or R'G'B' `(H, W, 3)`, uint16."""
    pixel_format = "gray16be" if samples.ndim == 2 else "rgb48be"
    frame = av.VideoFrame.from_ndarray(samples, format=pixel_format)
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, pixel_format
    encoder.time_base, frame.pts = Fraction(1), 0
    path.write_bytes(b"".join(map(bytes, (*encoder.encode(frame), *encoder.encode(None)))))
    return path
