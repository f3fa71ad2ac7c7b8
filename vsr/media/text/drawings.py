"""Removes drawings from text in ASS, whose commands other formats would show as text."""

from __future__ import annotations

import re

_GROUP = re.compile(r"(\{[^{}]*\})")
"""A group of override tags."""
_MODE = re.compile(r"\\p\s*(\d+)")
"""The tag that begins a drawing, or ends it with 0; `\\pos` and `\\pbo` are other tags."""


def without_drawings(text: str) -> str:
    """Return the text of an event in ASS without the commands of drawings; the tags stay."""
    if "\\p" not in text:
        return text
    kept, draws = [], False
    for part in _GROUP.split(text):
        if part.startswith("{"):
            modes = _MODE.findall(part)
            draws = int(modes[-1]) != 0 if modes else draws
            kept.append(part)
        elif not draws:
            kept.append(part)
    return "".join(kept)
