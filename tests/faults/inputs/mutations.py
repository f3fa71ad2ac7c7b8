"""Random damage to small files of all containers, determined by a seed (T2)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
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
FIRST = ("mp4", "fragmented.mp4", "mkv", "ts", "avi", "flv")
"""The containers for which older seeds were drawn."""
_KNOBS: dict[str, dict[str, object]] = {
    "mp4": {"bframes": 2},
    "fragmented.mp4": {
        "bframes": 2,
        "container_options": {"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    },
    "mkv": {"bframes": 2},
    "ts": {"bframes": 2},
    "avi": {"audio": [Audio(codec="mp2")]},
    "flv": {"bframes": 2},
    "ogv": {"codec": "libvpx", "audio": [Audio(codec="libopus")]},
    "wmv": {"codec": "wmv2", "audio": [Audio(codec="libmp3lame")]},
    "mxf": {"codec": "mpeg2video", "audio": [Audio(codec="pcm_s16le", layout="mono")]},
    "gif": {"codec": "gif", "pix_fmt": "rgb8", "audio": []},
    "ivf": {"codec": "libvpx-vp9", "audio": []},
    "mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "audio": []},
    "dv": {"codec": "dvvideo", "width": 720, "height": 576, "frames": 4, "audio": [Audio(codec="pcm_s16le")]},
    "nut": {"codec": "mpeg4"},
    "mpg": {"codec": "mpeg2video", "bframes": 2, "audio": [Audio(codec="mp2")]},
    "mov": {"bframes": 2},
    "webm": {"codec": "libvpx-vp9", "audio": [Audio(codec="libopus")]},
}
CONTAINERS = tuple(_KNOBS)


def frames_of(container: str) -> int:
    """Return the number of frames of the undamaged clip."""
    return int(str(_KNOBS[container].get("frames", FRAMES)))


def originals(folder: Path) -> dict[str, Path]:
    """Write one undamaged clip of each container, most with audio."""
    common: dict[str, object] = {"frames": FRAMES, "audio": [Audio()]}
    return {name: make_clip(folder / f"whole.{name}", **(common | knobs)) for name, knobs in _KNOBS.items()}


def mutated(
    seed: int, whole: dict[str, bytes], containers: Sequence[str] = CONTAINERS
) -> tuple[str, str, bytes]:
    """Return container, mutator and bytes of a case."""
    rng = random.Random(seed)
    container = containers[seed % len(containers)]
    mutate = MUTATORS[seed // len(containers) % len(MUTATORS)]
    data = bytearray(whole[container])
    mutate(data, rng)
    return container, mutate.__name__, bytes(data)
