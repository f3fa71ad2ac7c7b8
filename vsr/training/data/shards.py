"""Photographs in tar files (WebDataset's shards), of which only a few are on this machine at a time.

Clip `i` of a round is drawn from a shard that the round and `i` decide, and that stays the same for some
rounds. So each of several processes reads only the shards of its own clips, all shards are read equally
often, and the clips depend neither on the number of processes nor on where a run was interrupted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from vsr.errors import InputError
from vsr.media.files.opening import shown
from vsr.media.remote.blocks import close_blocks
from vsr.media.remote.reader import size_of
from vsr.training.data.drawing import Dataset, Geometry, Sample
from vsr.training.data.image_folder import Photographs, Quarantine, find_images, large_enough, licences
from vsr.training.data.sources import ShardList
from vsr.training.data.unpacked import UnpackedShards

ROUNDS = 32
"""Rounds for which clip `i` stays with a shard: the number of clips that are cut from each visit to it."""
LANES = 8
"""Largest number of shards that the clips of a round are drawn from."""
HELD_OUT_READ = 2
"""Largest number of held-out shards that are read, since a validation needs a dozen clips."""
_PIXELS_A_BYTE = 4
"""Pixels of a photograph in a byte of JPEG, by which `pixels` is estimated from the size of the shards."""
_SIZED = 16
"""Number of shards whose size is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """The photographs of some shards; implements `Dataset` and `ReadInParts`."""

    name: str
    shards: tuple[Path, ...]
    pixels: int
    unpacked: UnpackedShards[Photographs]
    licences: str = ""
    """Always empty: the tables of shards that are not read yet are not known."""
    kinds: frozenset[str] = frozenset({"photo"})

    def at(self, number: int, i: int, fresh: int) -> Dataset:
        """Return the shard for clip `i` of a round with `fresh` clips.

        The clips change their shards one after the other, so that not all of them wait at once.
        """
        lanes = min(fresh, LANES)
        lane = i % lanes
        turn = (number + lane * ROUNDS // lanes) // ROUNDS
        return _Visit(self, turn * lanes + lane, ahead=lanes)

    def draw(self, rng: random.Random) -> Sample:
        """Draw from any shard."""
        with self.unpacked.use(rng.choice(self.shards)) as photographs:
            return photographs.draw(rng)

    def shard(self, position: int) -> Path:
        """Return the shard at a position of an endless sequence of shuffled passes over all shards."""
        number, place = divmod(position, len(self.shards))
        return self.shards[_order(number, len(self.shards))[place]]


@dataclass(frozen=True, slots=True)
class _Visit:
    """A dataset at a position in the sequence of its shards; implements `Dataset`."""

    whole: Shards
    position: int
    ahead: int
    """Positions to the next shard for the same clips."""

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def licences(self) -> str:
        return self.whole.licences

    @property
    def pixels(self) -> int:
        return self.whole.pixels

    @property
    def kinds(self) -> frozenset[str]:
        return self.whole.kinds

    def draw(self, rng: random.Random) -> Sample:
        with self.whole.unpacked.use(self.whole.shard(self.position)) as photographs:
            self.whole.unpacked.prepare(self.whole.shard(self.position + self.ahead))
            return photographs.draw(rng)


@lru_cache(maxsize=8)
def _order(number: int, count: int) -> list[int]:
    """Return the order of the shards in a pass."""
    order = list(range(count))
    random.Random(f"shards/{number}").shuffle(order)
    return order


def open_shards(source: ShardList, geometry: Geometry, holdout: int) -> tuple[Shards, Shards]:
    """Open shards as a training and a held-out part: one shard in `holdout` is held out.

    Raises:
        InputError: There are fewer than two shards, or one cannot be read.
    """
    shards = source.shards
    if len(shards) < 2:
        raise InputError(
            f"{shown(source.name)} is one shard. Training requires another one to hold out for validation"
        )
    out = set(shards[holdout // 2 % len(shards) :: holdout])
    known = tuple(shard for shard in shards if shard not in out)
    each = _mean_size(shards) * _PIXELS_A_BYTE
    return (
        _opened(source, known, geometry, each, kept=3 * LANES),
        _opened(
            source, tuple(sorted(out))[:HELD_OUT_READ], replace(geometry, vary=None), each, kept=HELD_OUT_READ
        ),
    )


def _opened(
    source: ShardList, shards: tuple[Path, ...], geometry: Geometry, pixels: int, *, kept: int
) -> Shards:
    def photographs(folder: Path) -> Photographs:
        return _photographs(folder, geometry)

    return Shards(
        name=f"{shown(source.name)} ({len(shards)} shards)",
        shards=shards,
        pixels=len(shards) * pixels,
        unpacked=UnpackedShards(photographs, kept=kept),
    )


def _photographs(folder: Path, geometry: Geometry) -> Photographs:
    """Open the images of an unpacked shard."""
    found = find_images(folder)
    quarantine = Quarantine(len(found))
    return Photographs(
        name=shown(folder.name),
        licences=licences(folder),
        image_files=tuple(large_enough(found, geometry.size, quarantine)),
        geometry=geometry,
        quarantine=quarantine,
    )


def _mean_size(shards: Sequence[Path]) -> int:
    """Return the mean size of some shards in bytes."""
    some = shards[:: max(1, len(shards) // _SIZED)]
    total = 0
    for shard in some:
        try:
            total += size_of(shard)
        except OSError as error:
            raise InputError(f"{shown(shard)} cannot be read ({error.strerror or error})") from error
        finally:
            close_blocks(shard)
    return max(1, total // len(some))
