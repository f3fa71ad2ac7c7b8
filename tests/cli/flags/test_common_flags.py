"""Flags that several commands have mean the same in each."""

from __future__ import annotations

import pytest

from vsr.cli.flags.common_flags import with_size
from vsr.errors import ConfigError


def test_a_size_is_a_width_and_a_height() -> None:
    assert with_size({"model": "fast"}, "640x360") == {"model": "fast", "width": 640, "height": 360}
    assert with_size({"height": 720}, None) == {"height": 720}


def test_size_and_height_must_not_contradict_each_other() -> None:
    assert with_size({"height": 1080}, "1920x1080") == {"width": 1920, "height": 1080}
    with pytest.raises(ConfigError, match="--size has the height 1080, but --height is 720; use one of them"):
        with_size({"height": 720}, "1920x1080")
