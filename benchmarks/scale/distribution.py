"""Measures what distribution costs: processor time, coordination, joining, bytes moved, and real speed-up.

    results=benchmarks/results/scale/measured.json
    python -m benchmarks.scale.distribution --film LONG.mkv --out $results [PART ...]

Processor time is measured and not the time of a clock, because machines are shared. It counts the driver, the
workers and, with `--on ray`, the actors around them. Workers are warm: their start is a figure of its own.
The speed-up is measured by a clock with workers that sleep instead of computing, so that four of them fit on
one core (`benchmarks/scale/sleeping_worker.py`). `benchmarks/scale/worker_simulation.py` reads the result.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

import vsr
from tests.local_servers import object_store
from tests.media_maker import make_clip
from vsr.media.decode.source import open_video
from vsr.media.mux.resumable.joining import Joining
from vsr.media.mux.sink import VideoSink
from vsr.pipeline.crew import process
from vsr.pipeline.crew.crew import Crew, local_crew
from vsr.pipeline.crew.hosts import Host
from vsr.pipeline.job.warm_generator import WarmGenerator
from vsr.pipeline.preparation import prepare
from vsr.pipeline.run import compute, finish
from vsr.pipeline.workers import many_devices
from vsr.settings.schema import EncoderSettings, UpscaleSettings

LENGTH = 6
"""Frames in a segment."""
SETTINGS = UpscaleSettings(
    model="compact-x2",
    device="cpu",
    encoder=EncoderSettings(preset="veryfast"),
    segment_seconds=Fraction(LENGTH, 25),
)
TICKS = os.sysconf("SC_CLK_TCK")


class Measured:
    """What the driver did while a function of it was watched."""

    def __init__(self) -> None:
        self.messages = 0
        self.seconds = 0.0
        self._handle = many_devices._handle

    def __enter__(self) -> Measured:
        def timed(*rest: Any) -> None:
            begin = time.thread_time()
            self._handle(*rest)
            self.seconds += time.thread_time() - begin
            self.messages += 1

        many_devices._handle = timed
        return self

    def __exit__(self, *_: object) -> None:
        many_devices._handle = self._handle


class Workers(WarmGenerator):
    """Keeps workers, of which there may be a single one on this machine, too."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.kept: Crew | None = None

    def crew(self, on: str, host: Host, devices: tuple[str, ...]) -> Crew:
        self._crew = self.kept = self.kept or (
            local_crew(("cpu",) * self.number) if host.is_local else host.crew(("cpu",) * self.number)
        )
        self.kept.duplicates = (
            False  # an idle worker's repetition would be counted, although it costs no time
        )
        return self.kept

    def processes(self) -> dict[str, list[int]]:
        """Return the processes by what they are: workers, Ray's actors around them, and the rest of Ray."""
        found: dict[str, list[int]] = {"workers": [], "actors": [], "ray": []}
        for member in self.kept._members.values() if self.kept else ():
            actor = getattr(member.worker, "actor", None)
            if actor is None:
                found["workers"].append(member.worker.process.pid)  # type: ignore[attr-defined]
            else:
                import ray

                both = lambda relay: (os.getpid(), relay._process.process.pid)  # noqa: E731
                relay, worker = ray.get(actor.__ray_call__.remote(both))
                found["actors"].append(relay)
                found["workers"].append(worker)
        known = {pid for pids in found.values() for pid in pids}
        found["ray"] = (
            [pid for pid in descendants(os.getpid()) if pid not in known] if found["actors"] else []
        )
        return found


def descendants(pid: int) -> list[int]:
    """Return all processes that a process and its children have started, and that still run."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def processor_seconds(pids: Sequence[int]) -> float:
    """Return the processor time that processes have used, in seconds; one that has ended counts nothing."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(words[11]) + int(words[12])
    return total / TICKS


def job(source: Path, target: Path, settings: UpscaleSettings, warm: WarmGenerator) -> dict[str, float]:
    """Upscale a clip; returns the processor seconds of this process to compute and to finish it."""
    with prepare(source, target, settings, overwrite=True, warm=warm) as made:
        begin, clock = time.process_time(), time.monotonic()
        meter = compute(made)
        computed, seconds = time.process_time(), time.monotonic() - clock
        finish(made, meter)
        return {
            "compute": computed - begin,
            "join": time.process_time() - computed,
            "clock": seconds,
            "frames": float(made.report.frames_out),
            "bytes": float(made.report.bytes_out or 0),
        }


def overhead(folder: Path, on: str, number: int, frames: int, length: int) -> dict[str, float]:
    """Measure one way to compute a clip, after a run that warms everything up."""
    source = make_clip(folder / "in.mkv", frames=frames, width=160, height=90)
    warm = Workers(number) if number else WarmGenerator()
    settings = replace(SETTINGS, device="cpu:2", on=on) if number else SETTINGS
    short = make_clip(folder / "short.mkv", frames=2 * LENGTH * max(1, number), width=160, height=90)
    job(short, folder / "warm.mkv", settings, warm)
    kinds = warm.processes() if isinstance(warm, Workers) else {}
    before = {kind: [(pid, processor_seconds([pid])) for pid in pids] for kind, pids in kinds.items()}
    with Measured() as watched:
        settings = replace(settings, segment_seconds=Fraction(length, 25))
        driver = job(source, folder / "out.mkv", settings, warm)
    used = {
        kind: sum(max(0.0, processor_seconds([pid]) - begin) for pid, begin in rows)
        for kind, rows in before.items()
    }
    warm.close()
    segments = -(-frames // length)
    return {
        "frames": frames,
        "segments": segments,
        "driver_s": round(driver["compute"] + driver["join"], 3),
        **{f"{kind}_s": round(seconds, 3) for kind, seconds in used.items()},
        "total_s": round(driver["compute"] + driver["join"] + sum(used.values()), 3),
        "clock_s": round(driver["clock"], 2),
        "handling_ms_per_segment": round(1000 * watched.seconds / segments, 3),
        "handling_us_per_message": round(1e6 * watched.seconds / max(1, watched.messages), 1),
    }


def distribution(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Processor time of the same film by one process and by two workers, in turn and back (ABCCBA)."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.ways}
    there_and_back = [*arguments.ways, *reversed(arguments.ways)]
    for frames in arguments.frames * arguments.rounds:
        for name in there_and_back:
            on, number = WAYS[name]
            rows[name].append(overhead(folder, on, number, frames, arguments.length))
            print(name, rows[name][-1], os.getloadavg(), flush=True)
    return {"model": SETTINGS.model, "size": "160x90", "frames in a segment": arguments.length, **rows}


def long_segments(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The same as `distribution`, with segments of the usual length."""
    settings = vars(arguments) | {"length": 250, "frames": [750]}
    return distribution(argparse.Namespace(**settings), folder)


def joining(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Processor time to append all segments to a result, and then to check and rename it, for few and for
    many bytes a frame."""
    rows: list[dict[str, float]] = []
    complete, took = Joining.complete, []

    def timed(self: Joining, segments: Any) -> VideoSink:
        begin = time.process_time()
        output = complete(self, segments)
        took.append(time.process_time() - begin)
        return output

    Joining.complete = timed  # type: ignore[method-assign]
    small, large = EncoderSettings(preset="ultrafast", crf=30), EncoderSettings(encoder="ffv1")
    for width, height, frames, encoder in (
        (64, 48, 4800, small),
        (64, 48, 1200, small),
        (640, 360, 720, large),
    ):
        source = make_clip(folder / "in.mkv", frames=frames, width=width, height=height)
        settings = replace(SETTINGS, model="bicubic", segment_seconds=Fraction(2), encoder=encoder)
        made = job(source, folder / "out.mkv", settings, WarmGenerator())
        rows.append({"frames": frames, "bytes": int(made["bytes"])})
        rows[-1] |= {"append_s": round(took[-1], 3), "check_s": round(made["join"] - took[-1], 3)}
        print(rows[-1], flush=True)
    Joining.complete = complete  # type: ignore[method-assign]
    return {"rows": rows}


def moving(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Bytes that a store receives and sends for a film in parts, of two workers without a common disk."""
    source = make_clip(folder / "in.mkv", frames=240, width=640, height=360, codec="ffv1")
    wishes = {"model": "bicubic", "encoder": "ffv1", "segment_seconds": "0.8", "device": "cpu:2"}
    with pytest.MonkeyPatch.context() as patch, object_store(patch) as store:
        urls = store.put("in.mkv", source), store.url("out.mkv")
        store.requests.received = store.requests.sent = 0
        vsr.upscale(*urls, allow_network=True, work_folder=store.url("work"), **wishes)
        return {
            "input": source.stat().st_size,
            "result": len(store.get("out.mkv")),
            "received by the store": store.requests.received,
            "sent by the store": store.requests.sent,
            "requests": len(store.requests.seen),
            "segments": 12,
        }


def starting(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Processor time of a worker from its start to its first question for a segment."""
    source = make_clip(folder / "in.mkv", frames=2 * LENGTH)
    workers, found = Workers(2), []
    asked = many_devices._HANDLERS["ask"]

    def note(state: Any, name: str, message: dict[str, Any]) -> None:
        if len(found) < 2:
            found.append(processor_seconds([state.crew._members[name].worker.process.pid]))
        asked(state, name, message)

    many_devices._HANDLERS["ask"] = note
    job(source, folder / "out.mkv", replace(SETTINGS, device="cpu:2"), workers)
    many_devices._HANDLERS["ask"] = asked
    workers.close()
    return {"start_s": round(max(found), 2)}


def decoding(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Processor time of the driver and the workers to decode, and to begin near a later frame."""

    def seconds(call: Callable[[], int]) -> tuple[float, int]:
        begin = time.process_time()
        count = call()
        return time.process_time() - begin, count

    def decoded(first: int, number: int) -> int:
        with open_video(arguments.film) as video:
            return sum(1 for _ in video.frames(first=first, stop=first + number))

    with av.open(str(arguments.film)) as box:
        frames = box.streams.video[0].frames or sum(1 for p in box.demux(box.streams.video[0]) if p.size)
    decode, count = seconds(lambda: decoded(0, 300))
    near, far = (seconds(lambda at=at: decoded(at, 1))[0] for at in (frames // 20, frames - 300))
    with open_video(arguments.film) as video:
        size = f"{video.info.width}x{video.info.height}"
    return {
        "size": size,
        "decode_ms_per_frame": round(1000 * decode / count, 3),
        "entry_s": round(near, 3),
        "reading_us_per_frame": round(max(0.0, 1e6 * (far - near) / (frames * 0.95 - 300)), 2),
    }


def speed_up(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds by a clock with real workers that sleep a fixed time for each frame."""
    process._MODULE = "benchmarks.scale.sleeping_worker"
    os.environ["VSR_SLEEP"] = str(arguments.sleep)
    frames = arguments.sleeping_frames
    source = make_clip(folder / "in.mkv", frames=frames)
    settings = replace(SETTINGS, model="bicubic", device="cpu:2", encoder=EncoderSettings(preset="ultrafast"))
    found: dict[str, list[float]] = {}
    for number in (1, 2, 3, 4):
        workers = Workers(number)
        short = make_clip(folder / "short.mkv", frames=LENGTH * number)
        job(short, folder / "warm.mkv", settings, workers)
        found[str(number)] = [
            round(job(source, folder / "out.mkv", settings, workers)["clock"], 2)
            for _ in range(arguments.rounds)
        ]
        workers.close()
        print(number, found[str(number)], os.getloadavg(), flush=True)
    return {
        "sleep_s_per_frame": arguments.sleep,
        "frames": frames,
        "frames in a segment": LENGTH,
        "seconds by workers": found,
    }


WAYS = {"one process": ("local", 0), "two workers": ("local", 2), "two workers on Ray": ("ray", 2)}
PARTS = {
    one.__name__: one for one in (decoding, joining, starting, moving, speed_up, distribution, long_segments)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--film", type=Path, help="a long film, for the part decoding")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--frames", type=int, nargs="+", default=[36, 144])
    parser.add_argument("--length", type=int, default=LENGTH, help="frames in a segment, for distribution")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--sleep", type=float, default=0.5)
    parser.add_argument("--sleeping-frames", type=int, default=72)
    arguments = parser.parse_args()
    kept = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.parts:
        with tempfile.TemporaryDirectory() as folder:
            kept[name] = {**kept.get(name, {}), **PARTS[name](arguments, Path(folder))}
        arguments.out.write_text(json.dumps(kept, indent=2) + "\n")
        print(name, json.dumps(kept[name]), flush=True)


if __name__ == "__main__":
    main()
