"""Seeded damage to small files of six containers; the seed alone says what is done (recipe T2)."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from tests.media_maker import Audio, make_clip

FRAMES = 60
BLOCK = 256
Mutate = Callable[[bytearray, random.Random], None]


def flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 4, 16, 64, 256))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def spoil_header(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(min(1024, len(data)))] = rng.randrange(256)


def zero_a_run(data: bytearray, rng: random.Random) -> None:
    place, length = rng.randrange(len(data)), rng.choice((16, 256, 4096))
    data[place : place + length] = bytes(len(data[place : place + length]))


def repeat_a_block(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    data[place:place] = data[place : place + BLOCK]


def insert_noise(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    data[place:place] = rng.randbytes(BLOCK)


def drop_a_block(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    del data[place : place + BLOCK]


def cut_off(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(1, len(data)) :]


MUTATORS: tuple[Mutate, ...] = (
    flip_bits,
    spoil_header,
    zero_a_run,
    repeat_a_block,
    insert_noise,
    drop_a_block,
    cut_off,
)
CONTAINERS = ("mp4", "fragmented.mp4", "mkv", "ts", "avi", "flv")


def originals(folder: Path) -> dict[str, Path]:
    """One whole clip of each container, with sound."""
    return {name: _original(folder / f"whole.{name}", name) for name in CONTAINERS}


def _original(path: Path, name: str) -> Path:
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"} if "fragmented" in name else {}
    codec = "mp2" if name == "avi" else "aac"
    bframes = 0 if name == "avi" else 2
    return make_clip(
        path, frames=FRAMES, bframes=bframes, audio=[Audio(codec=codec)], container_options=options
    )


def mutated(seed: int, whole: dict[str, bytes]) -> tuple[str, str, bytes]:
    """Container, mutator and bytes of a case."""
    rng = random.Random(seed)
    container = CONTAINERS[seed % len(CONTAINERS)]
    mutate = MUTATORS[seed // len(CONTAINERS) % len(MUTATORS)]
    data = bytearray(whole[container])
    mutate(data, rng)
    return container, mutate.__name__, bytes(data)
