"""Changes an XMP packet (ISO 16684-1) so that it is true for the result."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
_ITEMS = "http://ns.google.com/photos/1.0/container/"
_THUMBNAILS = "{http://ns.adobe.com/xap/1.0/}Thumbnails"
_GAIN_MAPS = (
    "{http://ns.adobe.com/hdr-gain-map/1.0/}",
    "{http://ns.apple.com/HDRGainMap/1.0/}",
    f"{{{_ITEMS}}}",
)
_CLIPS = tuple(f"{{{_CAMERA}}}{name}" for name in ("MotionPhoto", "MicroVideo"))
_HEADER = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_TRAILER = b'\n<?xpacket end="w"?>'


@dataclass(frozen=True, slots=True)
class Upright:
    """An XMP packet for an upright picture."""

    data: bytes
    left_out: tuple[str, ...]
    """A phrase for each kind of property that was removed."""


def upright(data: bytes, *, width: int, height: int) -> Upright:
    """Return the packet for a picture of another size that is stored upright.

    Thumbnails are removed, and so are properties of gain maps and clips that follow the picture in its file,
    because the result has none. A packet in which nothing has to change keeps its bytes, and so does one that
    is no XML or has a document type, whose entities could be huge.

    Args:
        data: The packet.
        width: Width of the result in pixels.
        height: Height of the result in pixels.
    """
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return Upright(data, ())
    try:
        # Without a document type there are no entities, so no file can grow in memory.
        events = ElementTree.iterparse(io.BytesIO(data), events=["start-ns"])  # noqa: S314
        spaces = {prefix: uri for _, (prefix, uri) in events}
        root = ElementTree.fromstring(data)  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError):
        return Upright(data, ())
    values = {
        f"{{{_TIFF}}}Orientation": "1",
        f"{{{_TIFF}}}ImageWidth": str(width),
        f"{{{_TIFF}}}ImageLength": str(height),
        f"{{{_EXIF}}}PixelXDimension": str(width),
        f"{{{_EXIF}}}PixelYDimension": str(height),
    }
    removed: dict[str, None] = {}
    changed = False
    for description in root.iter(f"{{{_RDF}}}Description"):
        for name in list(_names(description)):
            phrase = _phrase(name)
            if phrase is not None:
                _remove(description, name)
                removed[phrase] = None
                changed = True
            elif name in values:
                changed |= _set(description, name, values[name])
    return Upright(_written(root, spaces) if changed else data, tuple(removed))


def _names(description: ElementTree.Element) -> Iterator[str]:
    yield from description.attrib
    yield from (child.tag for child in description)


def _phrase(name: str) -> str | None:
    """Return what a property belongs to that the result does not have; None for all others."""
    if name == _THUMBNAILS:
        return "the thumbnail"
    if name.startswith(_GAIN_MAPS):
        return "the properties of a gain map or clip"
    return "the properties of a gain map or clip" if name.startswith(_CLIPS) else None


def _remove(description: ElementTree.Element, name: str) -> None:
    description.attrib.pop(name, None)
    for child in [child for child in description if child.tag == name]:
        description.remove(child)


def _set(description: ElementTree.Element, name: str, value: str) -> bool:
    """Give a property that exists another value, and return whether that changed it."""
    before = description.attrib.get(name)
    if before is not None:
        description.attrib[name] = value
        return before != value
    changed = False
    for child in description:
        if child.tag == name and not len(child):
            changed |= child.text != value
            child.text = value
    return changed


def _written(root: ElementTree.Element, spaces: dict[str, str]) -> bytes:
    for prefix, uri in spaces.items():
        if not prefix.startswith("ns") and prefix != "xml":
            ElementTree.register_namespace(prefix, uri)
    return _HEADER + ElementTree.tostring(root, encoding="utf-8") + _TRAILER
