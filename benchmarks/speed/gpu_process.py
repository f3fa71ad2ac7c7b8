"""What limits a whole run on a GPU: `vsr` beside a loop over single frames, with the same weights.

There are three separate scopes: the generator alone, in the pipeline's batches; the process without the
encoder; and file to file with libx264 veryfast, CRF 18. The loop computes as common scripts do: NCHW in fp32
(TF32 in torch's convolutions) on the GPU, 8-bit R'G'B' from it, the same encoder. Rates are those after the
first frames, during which kernels are tuned and memory is allocated; these are reported separately. The
output also has the busy time of each stage, the speed of the encoder alone with the same frames and, from
torch's profiler, how much of the time the GPU computes, and in which kernels.

    python -m benchmarks.speed.gpu_process --out bench
    python -m benchmarks.speed.gpu_process --cases compact-x4@4k --backends torch cuda --parts process profile
    python -m benchmarks.speed.gpu_process --device cpu --quick           shows that the script works
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import av
import torch
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.speed.moving import RATE, moving, write_clip
from benchmarks.speed.whole_runs import CRF, PRESET, write_file
from vsr.engine import device, throughput
from vsr.engine.upscaler import Upscaler
from vsr.frame import YuvFrame
from vsr.models.load import load_generator
from vsr.pipeline.flow.graph import open_frames
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.preparation import prepare
from vsr.pipeline.run import upscale
from vsr.settings.schema import Backend, EncoderSettings, UpscaleSettings

SIZES = {"4k": (3840, 2160), "1080p": (1920, 1080)}
CASES = ("compact-x4@4k", "compact-x4@1080p", "fast-x2@4k", "compact-x2@4k", "rrdb-lite-x4@4k")
PARTS = ("model", "process", "whole", "loop", "encoder", "profile")
KERNELS = 15
KINDS = (("copies", ("Memcpy", "Memset")), ("colour", ("to_rgb", "to_planes")), ("check", ("reduce_kernel",)))
"""Words in the names of kernels; all others belong to the generator, or to colour conversion by torch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model, the size of its result, and the device."""

    model: str
    width: int
    height: int
    frames: int
    loop_frames: int
    warm: int
    device: torch.device
    folder: Path
    scale: int

    @property
    def clip(self) -> Path:
        return self.folder / f"{self.width // self.scale}x{self.height // self.scale}.mp4"

    @property
    def target(self) -> Path:
        return self.folder / f"{self.model}.mp4"


@dataclass(slots=True)
class Sample:
    """One run: steady frames a second, seconds until the first frame, and
    milliseconds of each stage for a frame."""

    fps: float
    start: float = 0.0
    busy: dict[str, float] = field(default_factory=dict)


def steady(times: list[float], warm: int) -> float:
    """Return the frames a second after the first ones; `times` has the start and one time for each frame."""
    warm = min(warm, len(times) - 2)
    return (len(times) - 1 - warm) / (times[-1] - times[warm])


# vsr


def settings(case: Case, backend: Backend) -> UpscaleSettings:
    return UpscaleSettings(
        model=case.model,
        scale=Fraction(case.scale),
        device=str(case.device),
        backend=backend,
        encoder=EncoderSettings(preset=PRESET, crf=CRF),
    )


def model_only(case: Case, backend: Backend) -> Sample:
    upscaler = Upscaler(load_generator(case.model).network, device_name=str(case.device), backend=backend)
    shape = case.height // case.scale, case.width // case.scale
    upscaler.plan(*shape)
    lr = torch.rand(upscaler.batch, 3, *shape, device=upscaler.device)
    begin = time.perf_counter()
    upscaler(lr), upscaler(lr)
    start = time.perf_counter() - begin
    return Sample(
        len(lr) / throughput.seconds_a_run(lambda: upscaler(lr), upscaler.device, budget=0.7), start
    )


@contextmanager
def opened(case: Case, backend: Backend, meter: Meter) -> Iterator[Iterator[YuvFrame]]:
    """Yield the frames that an encoder would get."""
    with (
        prepare(case.clip, case.target, settings(case, backend), overwrite=True) as job,
        open_frames(job, meter) as frames,
    ):
        yield frames


def process(case: Case, backend: Backend) -> Sample:
    """Measure everything except encoding and muxing."""
    begin, meter = time.perf_counter(), Meter()
    with opened(case, backend, meter) as frames:
        times = [begin, *(time.perf_counter() for _ in frames)]
    return Sample(steady(times, case.warm), times[1] - begin, _a_frame(meter.busy(), len(times) - 1))


def whole(case: Case, backend: Backend) -> Sample:
    """Measure from file to file, until the file is finished."""
    times = [time.perf_counter()]
    report = upscale(
        case.clip,
        case.target,
        settings(case, backend),
        overwrite=True,
        on_progress=lambda _: times.append(time.perf_counter()),
    )
    times[-1] = time.perf_counter()
    return Sample(
        steady(times, case.warm), times[1] - times[0], _a_frame(report.busy_seconds, len(times) - 1)
    )


def _a_frame(busy: dict[str, float], frames: int) -> dict[str, float]:
    return {stage: seconds / frames for stage, seconds in busy.items()}


# The loop


def loop_frames(case: Case, network: nn.Module, times: list[float]) -> Iterator[av.VideoFrame]:
    """Process one frame at a time: 8-bit R'G'B' from the decoder and to the encoder, NCHW in between."""
    with av.open(str(case.clip)) as box:
        for frame in islice(box.decode(video=0), case.loop_frames):
            array = torch.from_numpy(frame.reformat(format="rgb24", threads=1).to_ndarray())
            with torch.inference_mode():
                lr = array.to(case.device).permute(2, 0, 1)[None].float().div(255).contiguous()
                sr = network(lr)[0].clamp(0, 1).mul(255).round().to(torch.uint8)
            made = av.VideoFrame.from_ndarray(sr.permute(1, 2, 0).contiguous().cpu().numpy(), format="rgb24")
            made.pts, made.time_base = frame.pts, frame.time_base
            times.append(time.perf_counter())
            yield made


def loop(case: Case, network: nn.Module, *, encoded: bool) -> Sample:
    times = [time.perf_counter()]
    frames = loop_frames(case, network, times)
    if encoded:
        write_file(case.clip, case.folder / "loop.mp4", frames, scale=case.scale)
        times[-1] = time.perf_counter()
    else:
        for _ in frames:
            pass
    return Sample(steady(times, min(case.warm, case.loop_frames // 3)), times[1] - times[0])


def encoder_alone(case: Case) -> Sample:
    """Encode the result's own frames, already decoded, or the upscaled
    frames of the clip, with the same encoder."""
    if case.target.exists():
        with av.open(str(case.target)) as box:
            frames = list(islice(box.decode(video=0), min(case.frames, 90)))
    else:
        frames = list(islice(moving(case.width, case.height), min(case.frames, 90)))
    begin = time.perf_counter()
    write_file(case.clip, case.folder / "encoder.mp4", _numbered(frames), scale=case.scale)
    return Sample(len(frames) / (time.perf_counter() - begin))


def _numbered(frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    for number, frame in enumerate(frames):
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        frame.pict_type = 0
        yield frame


# The profiler


def profiled(case: Case, backend: Backend, frames: int) -> str:
    """Profile the process without the encoder after its start: the
    GPU's busy share and its longest kernels."""
    on_card = case.device.type == "cuda"
    activity = ProfilerActivity.CUDA if on_card else ProfilerActivity.CPU
    with opened(case, backend, Meter()) as made:
        for _ in islice(made, case.warm):
            pass
        with profile(activities=[activity]) as found:
            begin = time.perf_counter()
            number = sum(1 for _ in islice(made, frames))
            wall = time.perf_counter() - begin
    rows = found.key_averages()
    kind = DeviceType.CUDA if on_card else DeviceType.CPU  # kernel launches are CPU rows
    times = [r.self_device_time_total if on_card else r.self_cpu_time_total for r in rows]
    timed = [(t, r.count, r.key) for t, r in zip(times, rows, strict=True) if r.device_type == kind]
    timed.sort(reverse=True)
    total = sum(t for t, _, _ in timed) / 1e6
    launches = sum(r.count for r in rows if "Launch" in r.key)
    lines = [
        f"{case.model}, {backend}: {number / wall:.1f} fps under the profiler; kernels and copies"
        f" take {total / wall:.0%} of that time, {launches / max(1, number):.1f} launches a frame",
        "",
        by_kind([(t / 1e3 / number, key) for t, _, key in timed]),
        "",
        "| ms a frame | runs a frame | kernel |",
        "| --- | --- | --- |",
    ]
    for microseconds, count, key in timed[:KERNELS]:
        lines.append(f"| {microseconds / 1e3 / number:.4f} | {count / number:.1f} | `{key[:110]}` |")
    return "\n".join(lines)


def by_kind(timed: list[tuple[float, str]]) -> str:
    """Return the GPU's milliseconds a frame, summed by purpose."""
    sums = dict.fromkeys(("generator", *(kind for kind, _ in KINDS)), 0.0)
    for milliseconds, key in timed:
        words = (kind for kind, names in KINDS if any(name in key for name in names))
        sums[next(words, "generator")] += milliseconds
    return "GPU ms a frame: " + ", ".join(f"{kind} {total:.3f}" for kind, total in sums.items())


# All scopes


def rows_of(case: Case, backends: list[Backend], parts: list[str]) -> dict[str, Callable[[], Sample]]:
    rows: dict[str, Callable[[], Sample]] = {}
    for backend in backends:
        for part, work in (("model", model_only), ("process", process), ("whole", whole)):
            if part in parts:
                rows[f"{part}, vsr {backend}"] = partial(work, case, backend)
    if "loop" in parts:
        network = copy.deepcopy(load_generator(case.model).network).to(case.device)
        for part, encoded in (("process", False), ("whole", True)):
            rows |= {f"{part}, loop": partial(loop, case, network, encoded=encoded)} if part in parts else {}
    return rows | ({"encoder alone": partial(encoder_alone, case)} if "encoder" in parts else {})


def interleaved(rows: dict[str, Callable[[], Sample]], rounds: int, budget: float) -> dict[str, list[Sample]]:
    """Run all rows in turn until the rounds or the time are used up, each at least once."""
    begin = time.perf_counter()
    taken: dict[str, list[Sample]] = {name: [] for name in rows}
    for round_ in range(rounds):
        for name, work in rows.items():
            if round_ and time.perf_counter() - begin > budget:
                return taken
            try:
                taken[name].append(work())
            except Exception as error:  # the other rows are still useful
                traceback.print_exc()
                if device.is_lost(error) and not device.is_out_of_memory(error):
                    raise
    return taken


def table(taken: dict[str, list[Sample]]) -> str:
    lines = [
        "| scope | frames/s | first after, s | ms a frame of each stage |",
        "| --- | --- | --- | --- |",
    ]
    for name, samples in taken.items():
        if not samples:
            lines.append(f"| {name} | failed | | |")
            continue
        fps, last = [s.fps for s in samples], samples[-1]
        spread = f"{statistics.median(fps):.2f} ({min(fps):.2f} to {max(fps):.2f}, {len(fps)})"
        busy = ", ".join(f"{stage} {seconds * 1e3:.2f}" for stage, seconds in last.busy.items())
        lines.append(f"| {name} | {spread} | {samples[0].start:.1f}, then {last.start:.1f} | {busy} |")
    return "\n".join(lines)


def measured(case: Case, given: argparse.Namespace) -> tuple[str, dict[str, object]]:
    if not case.clip.exists():
        write_clip(case.clip, case.width // case.scale, case.height // case.scale, case.frames)
    title = f"{case.model}, {case.clip.stem} -> {case.width}x{case.height}, {case.frames} frames"
    print(f"\n## {title}\n", flush=True)
    taken = interleaved(rows_of(case, given.backends, given.parts), given.rounds, given.seconds)
    text = table(taken)
    print(text, flush=True)
    if "profile" in given.parts:
        for backend in given.backends:
            try:
                found = profiled(case, backend, frames=min(40, case.frames // 2))
            except Exception:  # some drivers do not permit profiling
                found = traceback.format_exc()
            print(f"\n{found}", flush=True)
            text += f"\n\n{found}"
    case.target.unlink(missing_ok=True)
    samples = {name: [asdict(sample) for sample in row] for name, row in taken.items()}
    return f"## {title}\n\n{text}\n", {title: samples}


def case_of(word: str, given: argparse.Namespace, where: torch.device, folder: Path) -> Case:
    model, _, size = word.partition("@")
    width, height = SIZES[size] if size in SIZES else (int(side) for side in size.split("x"))
    return Case(
        model=model,
        width=width,
        height=height,
        frames=given.frames,
        loop_frames=min(given.frames, given.loop_frames),
        warm=min(24, given.frames // 3),
        device=where,
        folder=folder,
        scale=int(load_generator(model).scale),
    )


def main() -> None:
    given = arguments()
    where = device.choose_device(given.device)
    if given.quick:
        given.cases, given.frames, given.loop_frames, given.rounds = ["fast-x2@256x128"], 12, 6, 2
    what = torch.cuda.get_device_name(where) if where.type == "cuda" else "CPU"
    head = (
        f"{what}, torch {torch.__version__}, {torch.get_num_threads()} threads, libx264 {PRESET} CRF {CRF}\n"
    )
    print(head, flush=True)
    texts: list[str] = [head]
    record: dict[str, object] = {}
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for word in given.cases:
            text, samples = measured(case_of(word, given, where, Path(folder)), given)
            texts, record = [*texts, text], record | samples
            (given.out / "gpu-process.md").write_text("\n".join(texts))  # the time may run out
            (given.out / "gpu-process.json").write_text(json.dumps(record, indent=2) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument(
        "--cases", nargs="+", default=list(CASES), metavar="MODEL@SIZE", help="4k, 1080p or WxH"
    )
    parser.add_argument("--backends", nargs="+", default=["auto"])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--loop-frames", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=18, help="time for the rounds of a case")
    parser.add_argument("--quick", action="store_true", help="tiny images, few frames")
    return parser.parse_args()


if __name__ == "__main__":
    main()
