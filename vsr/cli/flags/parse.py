"""Parses values of command-line options."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TypeVar

from vsr.errors import ConfigError
from vsr.settings.toml import as_fraction

Word = TypeVar("Word", bound=str)


def number(text: str, *, option: str) -> Fraction:
    """Convert `2`, `1.5` or `3/2` to an exact fraction.

    Raises:
        ConfigError: the text is not a number.
    """
    found = as_fraction(text)
    if found is None:
        raise ConfigError(f"{option} {text!r} is not a number; use for example 2, 1.5 or 3/2")
    return found


def size(text: str) -> tuple[int, int]:
    """Convert `1920x1080` to (width, height).

    Raises:
        ConfigError: the text has another form.
    """
    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", text.strip())
    if match is None:
        raise ConfigError(f"--size {text!r} is not WIDTHxHEIGHT, for example 1920x1080")
    return int(match[1]), int(match[2])


def region(text: str) -> tuple[int, int, int, int]:
    """Convert `320x180+100+50`, width, height, left and top in pixels, to (left, top, width, height).

    Raises:
        ConfigError: the text has another form.
    """
    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})\+(\d{1,6})\+(\d{1,6})", text.strip())
    if match is None:
        raise ConfigError(f"--region {text!r} is not WIDTHxHEIGHT+LEFT+TOP, for example 160x90+400+220")
    width, height, left, top = map(int, match.groups())
    return left, top, width, height


def seconds(text: str, *, option: str) -> Fraction:
    """Convert `90`, `90.5`, `1:30` or `0:01:30.5` to seconds as an exact fraction.

    Raises:
        ConfigError: the text is not a time.
    """
    parts = text.strip().split(":")
    if not 1 <= len(parts) <= 3 or not all(re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,30})?", p) for p in parts):
        raise ConfigError(f"{option} {text!r} is not a time; use seconds or [hours:]minutes:seconds")
    if any(Fraction(part) >= 60 for part in parts[1:]):
        raise ConfigError(f"{option} {text!r} is not a time; minutes and seconds must be less than 60")
    total = Fraction(0)
    for part in parts:
        total = total * 60 + Fraction(part)
    return total


def pairs(words: list[str], *, option: str, example: str) -> tuple[tuple[str, str], ...]:
    """Convert `["tune=animation"]` to `(("tune", "animation"),)`.

    Raises:
        ConfigError: a text has no `=` or no key.
    """
    for word in words:
        if "=" not in word.strip("="):
            raise ConfigError(f"{option} {word!r} is not KEY=VALUE, for example {example}")
    return tuple((key, value) for key, _, value in (word.partition("=") for word in words))


def one_of(word: str, known: tuple[Word, ...], *, option: str) -> Word:
    """Return `word` if it is one of `known`.

    Raises:
        ConfigError: it is not.
    """
    for candidate in known:
        if word == candidate:
            return candidate
    raise ConfigError(f"{option} {word!r} is unknown; use one of {', '.join(known)}")
