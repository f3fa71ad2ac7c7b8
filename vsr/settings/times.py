"""Converts times, given as numbers or text, to exact fractions of a second."""

from __future__ import annotations

from fractions import Fraction

from vsr.errors import ConfigError
from vsr.settings.toml import as_fraction

Seconds = Fraction | float | str
"""A time in seconds: a number, or text such as `"1.5"` and `"3/2"`."""


def seconds(value: Seconds, *, name: str) -> Fraction:
    """Return a time as a fraction. A float is converted by its printed decimal digits, so 0.1 is 1/10.

    Args:
        value: The time in seconds.
        name: The keyword, for the message.

    Raises:
        ConfigError: the value is not a finite number.
    """
    found = as_fraction(str(value))
    if found is None:
        raise ConfigError(f"`{name}` {value!r} is not a time; use seconds, such as 1.5 or '3/2'")
    return found
