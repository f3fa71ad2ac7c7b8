"""Metadata under custom keys in MOV and MP4 (QuickTime's `mdta`), such as the places and dates of phones.

FFmpeg reads these keys, but writes either them or the usual tags. Therefore they are written into the
finished file, at the end of its index: after the usual tags, which FFmpeg could not read if they came later.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vsr.media.formats.boxes import box, full_box
from vsr.media.formats.containers import Container

MAX_BYTES = 1 << 16
"""The keys and values of a file are kept up to this total size."""
_APPLE = "com.apple.quicktime."
_USUAL = {_APPLE + "location.ISO6709": "location", _APPLE + "creationdate": "date"}
_TEXT = bytes.fromhex("0000000100000000")
"""Type and locale of a value in UTF-8."""


def keys_for(container: Container, tags: Mapping[str, str], lost: Collection[str]) -> dict[str, str]:
    """Return the tags that the container stores under custom keys.

    Args:
        container: Of the output.
        tags: Of the source's file.
        lost: Keys without a place among the usual tags.
    """
    if container.family != "mp4":
        return {}
    chosen = [key for key in tags if key in lost and (container.muxer == "mov" or "." in key)]
    found = {spelt(key): tags[key] for key in chosen}
    return found if sum(len(key) + len(value) for key, value in found.items()) < MAX_BYTES else {}


def usual_places(container: Container, tags: Mapping[str, str]) -> dict[str, str]:
    """Return values that phones write under custom keys, under the keys that all readers of MP4 support.

    Args:
        container: Of the output.
        tags: Of the source's file.
    """
    known = {key.lower(): value for key, value in tags.items()}
    pairs = ((usual, known.get(key.lower())) for key, usual in _USUAL.items())
    return {k: v for k, v in pairs if v and k not in known and container.muxer == "mp4"}


def keys_box(keys: Mapping[str, str], *, quicktime: bool) -> bytes:
    """Return the box `meta` that contains the keys; empty if there are none.

    Args:
        keys: Keys and texts.
        quicktime: Whether to write it as in QuickTime, without version and flags.
    """
    if not keys:
        return b""
    names = [(len(name) + 8).to_bytes(4, "big") + b"mdta" + name for name in map(_bytes, keys)]
    values = [
        box(number.to_bytes(4, "big"), box(b"data", _TEXT + _bytes(value)))
        for number, value in enumerate(keys.values(), start=1)
    ]
    handler = full_box(b"hdlr", bytes(4) + b"mdta" + bytes(13))
    listed = full_box(b"keys", len(names).to_bytes(4, "big") + b"".join(names))
    content = handler + listed + box(b"ilst", b"".join(values))
    return box(b"meta", content) if quicktime else full_box(b"meta", content)


def spelt(key: str) -> str:
    """Return Apple's keys in Apple's spelling, because Matroska's muxer writes them in capitals."""
    if key.lower().startswith(_APPLE):
        return key.lower().replace("iso6709", "ISO6709")
    return key


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
