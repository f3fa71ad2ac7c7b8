"""Simulates a film and a catalogue on 1 to 1,000 workers, with the costs that `distribution.py` measured.

    python -m benchmarks.scale.worker_simulation    rewrites docs/scale.svg and results/scale/simulated.json

It is a discrete simulation (SimPy) of what the code does: the driver decodes the film once, handles messages
one after the other, hands out segments with the same `Claims`, fetches them from the store, and joins them in
their order beside all that.
Workers begin near a segment or decode the way to it, as `worker._is_far` says, compute it, and send it. The
machines differ in speed by an assumed spread, and some fail. Assumed figures are named as such in `Costs`.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import simpy

from benchmarks.scale.log_plot import Line, draw
from benchmarks.tables import RESULTS, ROOT
from vsr.pipeline.workers.claims import Claims
from vsr.pipeline.workers.worker import _ENTRY, _FETCHING

FOLDER = RESULTS / "scale"
PICTURE = ROOT / "docs" / "scale.svg"
NUMBERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
RATE = 24
"""Frames a second of a film."""
MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds that things take; the first ones are measured, those after `frame_s` are assumed."""

    decode_s: float
    """Of a core, for a frame of the source."""
    entry_s: float
    """To begin near a segment, besides reading up to it."""
    reading_s: float
    """For each frame before it."""
    start_s: float
    """From the start of a worker to its first segment, of a core."""
    handling_s: float
    """Of the driver, for all messages about a segment."""
    join_frame_s: float
    """To append a frame to the result."""
    join_mb_s: float
    check_frame_s: float
    """To check a frame of the result, after the last one was appended."""
    check_mb_s: float
    frame_s: float
    """Of a worker, to compute and encode a frame."""
    mb_per_second_of_film: float = 5.0
    """Of the result: 40 Mbit/s, as 4K has."""
    driver_cores: float = 8.0
    """That decode for the driver at the same time."""
    worker_cores: float = 4.0
    network_mb: float = 1250.0
    """A second, of each machine: 10 Gbit/s."""
    store_mb: float = 10_000.0
    """A second, of the store for all machines together."""
    disk_mb: float = 1000.0
    """A second, of the driver's disk. Joining reads segments and writes the result, the check reads it."""
    spread: float = 0.1
    """Standard deviation of the logarithm of a segment's time."""
    slow: float = 0.02
    """Share of machines that need three times as long."""
    failures_per_hour: float = 0.01
    """Of a worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the user decides."""

    segment_s: float = 10.0
    duplicates: bool = True
    joins_early: bool = True
    """Whether the first segments are joined while later ones are made."""
    from_store: bool = True
    """Whether input, segments and result are in a store; else on a fast disk that all machines share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds until something was over."""

    total: float
    decoded: float
    """The driver had decoded the film."""
    first_idle: float
    """A worker found no more segments."""
    made: float
    """All segments were made."""
    joined: float
    handling: float
    """The share of the time until `made` in which the driver handled messages."""

    @property
    def bound(self) -> str:
        """What a faster run would have to shorten."""
        last = self.made - max(self.first_idle, self.decoded)
        waits = {
            "computing": self.first_idle if self.first_idle > self.decoded else 0.0,
            "decoding by the driver": self.decoded if self.decoded >= self.first_idle else 0.0,
            "the last segments": max(0.0, last),
            "joining": self.joined - self.made,
            "sending the result": self.total - self.joined,
        }
        return max(waits, key=lambda name: waits[name])


class Film:
    """One film on a number of workers."""

    def __init__(self, costs: Costs, plan: Plan, seconds: float, workers: int, seed: int = 1) -> None:
        self.env = simpy.Environment()
        self.costs, self.plan, self.workers = costs, plan, workers
        self.length = round(plan.segment_s * RATE)
        self.frames = round(seconds * RATE)
        self.claims = Claims(duplicates=plan.duplicates)
        self.random = random.Random(seed)
        self.driver = simpy.Resource(self.env, 1)
        self.fetching = simpy.Resource(self.env, 4)
        self.sending = simpy.Resource(self.env, max(1, int(costs.store_mb / costs.network_mb)))
        self.waiting: list[tuple[str, simpy.Event]] = []
        self.over = self.env.event()
        self.first_idle: float | None = None
        self.busy = 0.0
        self.arrived: dict[int, simpy.Event] = {}

    def times(self) -> Times:
        self.env.process(self._decode())
        joining = self.env.process(self._join())
        for _ in range(self.workers):
            self.env.process(self._worker())
        self.env.run(until=self.over)
        made = self.env.now
        self.env.run(until=joining)
        joined = self.env.now + self._checking()
        sent = self._size(self.frames) / self.costs.network_mb if self.plan.from_store else 0.0
        decoded = self.frames * self.costs.decode_s / self.costs.driver_cores
        return Times(
            total=joined + sent,
            decoded=decoded,
            first_idle=made if self.first_idle is None else self.first_idle,
            made=made,
            joined=joined,
            handling=self.busy / made,
        )

    def _decode(self) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(self.frames * self.costs.decode_s / self.costs.driver_cores)
        self.claims.known = set(range(-(-self.frames // self.length)))
        self._tell()

    def _join(self) -> Generator[simpy.Event, Any, None]:
        """Append the segments in order, each when it is here and the driver has decoded its frames."""
        if not self.plan.joins_early:
            yield self.over
        for number in range(-(-self.frames // self.length)):
            yield self._arrival(number)
            frames = min(self.length, self.frames - number * self.length)
            seen = (number * self.length + frames) * self.costs.decode_s / self.costs.driver_cores
            yield self.env.timeout(max(0.0, seen - self.env.now) + self._appending(frames))

    def _arrival(self, number: int) -> simpy.Event:
        return self.arrived.setdefault(number, self.env.event())

    def _appending(self, frames: int) -> float:
        mb_s = self.costs.join_mb_s + 2 / self.costs.disk_mb
        return frames * self.costs.join_frame_s + self._size(frames) * mb_s

    def _checking(self) -> float:
        mb_s = self.costs.check_mb_s + 1 / self.costs.disk_mb
        return self.frames * self.costs.check_frame_s + self._size(self.frames) * mb_s

    def _tell(self) -> None:
        """Give segments to idle workers, as `many_devices` does after each message."""
        while self.waiting and (number := self._taken(self.waiting[0][0])) is not None:
            self.waiting.pop(0)[1].succeed(number)
        if self.claims.is_over and not self.over.triggered:
            self.over.succeed()

    def _handled(self) -> Generator[simpy.Event, Any, None]:
        with self.driver.request() as turn:
            yield turn
            self.busy += self.costs.handling_s / 2
            yield self.env.timeout(self.costs.handling_s / 2)

    def _worker(self) -> Generator[simpy.Event, Any, None]:
        slowness = 3.0 if self.random.random() < self.costs.slow and self.workers > 1 else 1.0
        name = str(id(slowness))
        while not self.over.triggered:
            yield self.env.timeout(self.costs.start_s)
            position: int | None = None
            lost = False
            name += "'"
            while not lost:
                yield from self._handled()
                number = self._taken(name)
                if number is None:
                    if self.first_idle is None:
                        self.first_idle = self.env.now
                    self.waiting.append((name, self.env.event()))
                    number = yield self.waiting[-1][1]
                lost = yield from self._make(name, number, position, slowness)
                position = number

    def _taken(self, name: str) -> int | None:
        number = self.claims.take(name, is_idle=True)
        if number is not None and number * self.length >= self.frames:
            self.claims.end(name, -(-self.frames // self.length))
            return None
        return number

    def _make(
        self, name: str, number: int, position: int | None, slowness: float
    ) -> Generator[simpy.Event, Any, bool]:
        frames = min(self.length, self.frames - number * self.length)
        seconds = self._way(number, position)
        seconds += frames * self.costs.frame_s * slowness * self.random.lognormvariate(0.0, self.costs.spread)
        if self.random.random() < self.costs.failures_per_hour * seconds / 3600:
            yield self.env.timeout(seconds * self.random.random())
            self.claims.lose(name)
            self._tell()
            return True
        yield self.env.timeout(seconds)
        if self.plan.from_store:
            with self.sending.request() as turn:
                yield turn
                yield self.env.timeout(self._size(frames) / self.costs.network_mb)
        yield from self._handled()
        if number not in self.claims.finished:
            self.claims.finish(number)
            if self.plan.from_store:
                self.env.process(self._fetch(number, frames))
            else:
                self._arrival(number).succeed()
            self._tell()
        return False

    def _fetch(self, number: int, frames: int) -> Generator[simpy.Event, Any, None]:
        with self.fetching.request() as turn:
            yield turn
            yield self.env.timeout(self._size(frames) / self.costs.network_mb * 4)
        self._arrival(number).succeed()

    def _size(self, frames: int) -> float:
        return frames / RATE * self.costs.mb_per_second_of_film

    def _way(self, number: int, position: int | None) -> float:
        """Seconds from the end of one segment to the beginning of the next, as the worker chooses."""
        wanted = number * self.length
        anew = self.costs.entry_s + wanted * self.costs.reading_s if wanted else 0.0
        if position is None or number <= position:
            return anew
        gap = wanted - (position + 1) * self.length
        cost = _FETCHING if self.plan.from_store else 1 / 100
        return anew if gap > _ENTRY + wanted * cost else gap * self.costs.decode_s / self.costs.worker_cores


def costs_of(measured: dict[str, Any], frame_s: float) -> Costs:
    """Return the costs for workers of a speed, from the file of `benchmarks.scale.distribution`."""
    decoding = measured["decoding"]
    ways = [rows for name, rows in measured["distribution"].items() if name.startswith("two workers")]
    handling = max(row["handling_ms_per_segment"] for rows in ways for row in rows) / 1000
    append, check = (joining_costs(measured["joining"]["rows"], part) for part in ("append_s", "check_s"))
    return Costs(
        decode_s=decoding["decode_ms_per_frame"] / 1000,
        entry_s=decoding["entry_s"] / 4,
        reading_s=decoding["reading_us_per_frame"] / 1e6,
        start_s=measured["starting"]["start_s"],
        handling_s=handling,
        join_frame_s=append[0],
        join_mb_s=append[1],
        check_frame_s=check[0],
        check_mb_s=check[1],
        frame_s=frame_s,
    )


def joining_costs(rows: list[dict[str, float]], part: str) -> tuple[float, float]:
    """Return the seconds of a part for a frame and for a megabyte, from films of small and large frames."""
    long, short, large = rows
    frame = (long[part] - short[part]) / (long["frames"] - short["frames"])
    fixed = short[part] - frame * short["frames"]
    return frame, max(0.0, large[part] - fixed - frame * large["frames"]) / (large["bytes"] / MB)


def speeds(costs: Costs, plan: Plan, seconds: float, numbers: Iterable[int] = NUMBERS) -> dict[int, Times]:
    return {number: Film(costs, plan, seconds, number).times() for number in numbers}


def knee(found: dict[int, Times]) -> int:
    """Return the largest number of workers that still do half of what as many single ones would."""
    one = found[1].total
    return max(number for number, times in found.items() if one / times.total >= number / 2)


def catalogue(costs: Costs, plan: Plan, workers: int, each: int, films: list[float]) -> float:
    """Return the seconds for films by `workers` in groups of `each`: one command a group, film after film."""
    each = min(each, workers)
    lengths = (300.0, 1800.0, 7200.0)
    known = [Film(costs, plan, length, each).times().total - costs.start_s for length in lengths]
    ends = [costs.start_s] * (workers // each)
    heapq.heapify(ends)
    for film in films:
        heapq.heappush(ends, heapq.heappop(ends) + _between(film, lengths, known))
    return max(ends)


def _between(length: float, lengths: tuple[float, ...], seconds: list[float]) -> float:
    """Interpolate along a line."""
    for left in range(len(lengths) - 1):
        if length <= lengths[left + 1] or left == len(lengths) - 2:
            share = (length - lengths[left]) / (lengths[left + 1] - lengths[left])
            return seconds[left] + share * (seconds[left + 1] - seconds[left])
    raise AssertionError


def check(measured: dict[str, Any]) -> list[dict[str, float]]:
    """Compare real runs on this machine with the simulation of the same runs."""
    real = measured["speed_up"]
    quiet = costs_of(measured, real["sleep_s_per_frame"])
    film = real["frames"] / RATE
    plan = Plan(segment_s=real["frames in a segment"] / RATE, from_store=False, duplicates=False)
    costs = replace(
        quiet, spread=0.0, slow=0.0, failures_per_hour=0.0, start_s=0.0, decode_s=0.0, entry_s=0.0
    )
    rows = []
    for number, seconds in real["seconds by workers"].items():
        times = Film(costs, plan, film, int(number)).times()
        rows.append({"workers": int(number), "simulated_s": round(times.made, 2), "measured_s": min(seconds)})
    return rows


SPEEDS = {"RRDB x4, 16 frames/s": 1 / 16.2, "Compact x4, 58 frames/s": 1 / 57.6}
"""Of a worker with an H100, 960x540 to 3840x2160, from benchmarks/results/h100.json."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measured", type=Path, default=FOLDER / "measured.json")
    parser.add_argument("--hours", type=float, default=2.0)
    arguments = parser.parse_args()
    measured = json.loads(arguments.measured.read_text())
    seconds, chosen = arguments.hours * 3600, random.Random(1)
    films = [min(7200.0, max(300.0, chosen.lognormvariate(7.6, 0.7))) for _ in range(10_000)]
    result: dict[str, Any] = {"check": check(measured), "film": {}, "settings": {}, "catalogue": {}}
    for name, frame_s in SPEEDS.items():
        costs = costs_of(measured, frame_s)
        result.setdefault("costs", {})[name] = asdict(costs)
        found = speeds(costs, Plan(), seconds)
        one = found[1].total
        result["film"][name] = {
            "knee": knee(found),
            "rows": [
                {"workers": n, "hours": round(t.total / 3600, 3), "speed_up": round(one / t.total, 1)}
                | {"joining_share": round((t.joined - t.made) / t.total, 3)}
                | {"bound": t.bound, "driver_busy": round(t.handling, 3)}
                for n, t in found.items()
            ],
        }
        result["settings"][name] = variants(costs, seconds, one)
        alone = catalogue(costs, Plan(), 1, 1, films)
        each = {
            label: {n: round(alone / catalogue(costs, Plan(), n, group, films), 1) for n in NUMBERS}
            for label, group in (("one command", 1000), ("commands of 4", 4), ("commands of 16", 16))
        }
        result["catalogue"][name] = {"years_alone": round(alone / 3600 / 24 / 365, 2), **each}
    (FOLDER / "simulated.json").write_text(json.dumps(result, indent=2) + "\n")
    PICTURE.write_text(picture(json.loads((FOLDER / "simulated.json").read_text())))
    print(json.dumps(result, indent=1))


def picture(result: dict[str, Any]) -> str:
    """Return the picture of a result of `main`."""
    lines = []
    for name, film in result["film"].items():
        lines.append(Line(f"one film, {name}", [(row["workers"], row["speed_up"]) for row in film["rows"]]))
        for label in ("one command", "commands of 4"):
            points = [(float(number), speed) for number, speed in result["catalogue"][name][label].items()]
            lines.append(Line(f"10,000 films, {label}, {name}", points))
    return draw(lines, "workers", "times as fast as one worker")


def variants(costs: Costs, seconds: float, one: float) -> dict[str, dict[int, float]]:
    """Return the speed-up with one thing changed at a time."""
    plans = {
        "as it is": (costs, Plan()),
        "segments of 2 s": (costs, Plan(segment_s=2.0)),
        "segments of 60 s": (costs, Plan(segment_s=60.0)),
        "no duplicates": (costs, Plan(duplicates=False)),
        "joining at the end": (costs, Plan(joins_early=False)),
        "a shared disk instead of a store": (costs, Plan(from_store=False)),
        "a result of 8 Mbit/s": (replace(costs, mb_per_second_of_film=1.0), Plan()),
        "a driver with 32 cores": (replace(costs, driver_cores=32.0), Plan()),
        "a network of 1 Gbit/s": (replace(costs, network_mb=125.0), Plan()),
        "all machines alike, none fails": (
            replace(costs, spread=0.0, slow=0.0, failures_per_hour=0.0),
            Plan(),
        ),
    }
    return {
        name: {n: round(one / Film(c, p, seconds, n).times().total, 1) for n in (16, 64, 256, 1000)}
        for name, (c, p) in plans.items()
    }


if __name__ == "__main__":
    main()
