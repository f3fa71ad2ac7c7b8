"""Audio is divided alike wherever it begins, and whatever its packets are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vsr.media.audit.audio_blocks import NEAR, AudioBlocks

RANDOM = np.random.default_rng(7)
NOISE = np.round(RANDOM.uniform(-1, 1, 100_000) * 2**15) / 2**15
SINE = np.round(0.2 * np.sin(np.arange(100_000) * 2 * np.pi * 440 / 48000) * 2**15) / 2**15
SOUNDS = {"noise": NOISE, "a sine": SINE, "silence": np.zeros(100_000), "two": np.concatenate([NOISE, SINE])}


def blocks_of(samples: NDArray[np.float64], sizes: int, channels: int = 1) -> AudioBlocks:
    blocks = AudioBlocks(channels)
    for start in range(0, len(samples), sizes * channels):
        blocks.push(samples[start : start + sizes * channels])
    blocks.flush()
    return blocks


@pytest.mark.parametrize("sound", SOUNDS)
def test_blocks_do_not_depend_on_packets_but_at_the_end(sound: str) -> None:
    one, other = (blocks_of(SOUNDS[sound], size) for size in (1024, 77_777))
    assert one.places[:-3] == other.places[: len(one.places) - 3]
    assert one.digests[:-3] == other.digests[: len(one.digests) - 3]


@pytest.mark.parametrize("begin", [1, 777, 12_345])
@pytest.mark.parametrize("sound", SOUNDS)
def test_a_stream_that_begins_later_has_the_same_blocks(sound: str, begin: int) -> None:
    whole, part = blocks_of(SOUNDS[sound], 1024), blocks_of(SOUNDS[sound][begin:], 960)
    known = set(whole.digests)
    assert sum(one in known for one in part.digests[1:-1]) >= 0.97 * len(part.digests[1:-1])


def test_channels_are_divided_together() -> None:
    stereo = np.stack([NOISE, NOISE[::-1]], axis=1).reshape(-1)
    blocks = blocks_of(stereo, 1000, channels=2)
    assert len(NOISE) >= blocks.places[-1] > len(NOISE) - 8 * NEAR
    assert all(b - a >= NEAR for a, b in zip(blocks.places, blocks.places[1:], strict=False))


def test_another_sound_has_no_such_blocks() -> None:
    known = set(blocks_of(NOISE, 1024).digests)
    assert not any(one in known for one in blocks_of(-NOISE, 1024).digests)
