"""Compares still pictures: what the result lacks of its source, whichever program made it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from vsr.media.pictures.metadata import Metadata
from vsr.media.pictures.reading import Picture, read_picture, shown_image

_SIDE = 24
"""Side of the thumbnails that are compared, in pixels."""
_DIFFERENT = 0.06
"""Mean difference of thumbnails, of a range of 1, from which two pictures show something else. A sharper
picture differs by less than 0.02; a mirrored or rotated one by more than 0.1 unless it is symmetrical."""
_DIRECTORIES = {"EXIF": 0x8769, "GPS": 0x8825}
_ABOUT_STORAGE = frozenset(
    {0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x0111, 0x0112, 0x0115, 0x0116, 0x0117, 0x011C, 0x013D, 0x0152}
    | {0x0153, 0x0213, 0x02BC, 0x83BB, 0x8649, 0x8769, 0x8773, 0x8825, 0xA002, 0xA003, 0xA005}
)
"""Tags of EXIF that a result of another size or format has other values of."""


def lost_of_picture(source: Path, result: Path, *, max_pixels: int) -> Iterator[str]:
    """Yield a sentence for each thing that a picture lacks of its source.

    Raises:
        InputError: one of them cannot be read.
    """
    before = read_picture(source, max_pixels=max_pixels)
    after = read_picture(result, max_pixels=max_pixels)
    yield from _samples(before, after)
    yield from _exif(before.metadata.exif, after.metadata.exif)
    yield from _others(before.metadata, after.metadata)


def _samples(before: Picture, after: Picture) -> Iterator[str]:
    old, new = shown_image(before), shown_image(after)
    (height, width), (high, wide) = old.shape[1:], new.shape[1:]
    if wide * high <= width * height:
        yield f"size: {wide}x{high} is not larger than the source's {width}x{height}"
    if abs(wide / high / (width / height) - 1) > 2 / min(width, height):
        yield f"shape: {wide}x{high} as shown, not in proportion to {width}x{height}"
    small = [F.interpolate(image[None], size=(_SIDE, _SIDE), mode="area")[0] for image in (old, new)]
    if float(torch.abs(small[0] - small[1]).mean()) > _DIFFERENT:
        yield "picture: it shows something else than the source, or another way round"
    if after.damage:
        yield "damage: the result is damaged"
    was, now = before.frame.layout, after.frame.layout
    if was.alpha and not now.alpha:
        yield "transparency"
    if now.bit_depth < was.bit_depth:
        yield f"depth: {now.bit_depth} bits of {was.bit_depth}"
    if now.family == "gray" and was.family != "gray":
        yield "colour: the result is grey"


def _exif(before: bytes, after: bytes) -> Iterator[str]:
    old, new = _tags(before), _tags(after)
    missing = [name for name, value in old.items() if new.get(name) != value]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        yield f"EXIF: missing or different: {', '.join(missing[:5])}{more}"


def _tags(data: bytes) -> dict[str, Any]:
    """Return the tags of EXIF data by name, without those about storage."""
    from PIL import ExifTags, Image

    if not data:
        return {}
    found = Image.Exif()
    found.load(b"Exif\0\0" + data)
    tables: list[tuple[dict[int, Any], dict[int, str]]] = [(dict(found), ExifTags.TAGS)]
    for name, place in _DIRECTORIES.items():
        tables.append((found.get_ifd(place), ExifTags.GPSTAGS if name == "GPS" else ExifTags.TAGS))
    return {
        names.get(tag, f"tag {tag}"): value
        for table, names in tables
        for tag, value in table.items()
        if tag not in _ABOUT_STORAGE or names is ExifTags.GPSTAGS
    }


def _others(before: Metadata, after: Metadata) -> Iterator[str]:
    if before.icc != after.icc:
        yield (
            "colour: the colour profile is missing or differs"
            if before.icc
            else "colour: a profile was added"
        )
    if before.xmp and not after.xmp:
        yield "XMP"
    if before.photoshop and not after.photoshop:
        yield "IPTC"
    texts = {text.text for text in after.texts}
    for text in before.texts:
        if not any(text.text in kept for kept in texts) and text.text.encode() not in after.exif:
            yield f"text: {text.keyword or 'comment'}"
