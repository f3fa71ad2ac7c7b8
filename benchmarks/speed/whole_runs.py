"""Speed and memory of `vsr` beside loops over single frames, in one run.

One loop computes as common scripts do (torch, fp32, NCHW). The other one, if OpenVINO is installed,
uses the fastest runtime (OpenVINO with the whole network, in fp32 or bf16, whichever is faster
here). There are three separate scopes: the generator alone; the process without the encoder; and
file to file. Clip, weights, libx264 settings and threads are the same. Rounds are interleaved A B A
B, and the table has medians with their spread. The scripts' loop processes a fifth of the frames: it
takes the same time for each, while `vsr` first opens and checks files. All results are compared with
a whole-frame fp32 run, so that a wrong result cannot count as fast. The same run measures the
machine's ceiling, a large matrix product in both number formats.

    python -m benchmarks.speed.whole_runs --out bench    (VSR_MATERIAL: folder with real clips and weights)
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import av
import torch
from torch import Tensor, nn

from benchmarks import tables
from vsr.engine.allocator import keep_freed_memory
from vsr.engine.backends.openvino import backend as openvino
from vsr.engine.backends.openvino import model as openvino_model
from vsr.engine.upscaler import Upscaler
from vsr.media.decode.source import open_video
from vsr.metrics import psnr
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.models.files import write_weights
from vsr.models.load import load_generator
from vsr.pipeline.flow.graph import open_frames
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.preparation import prepare
from vsr.pipeline.run import upscale
from vsr.settings.schema import EncoderSettings, UpscaleSettings

PRESET, CRF = "veryfast", 18


@dataclass(frozen=True, slots=True)
class Row:
    scope: str
    peer: str
    ours: list[float]
    theirs: list[float]
    unit: str = "s/frame"

    @property
    def ratios(self) -> list[float]:
        """Time of the loop / time of vsr, pair by pair, which is robust
        against changes of the machine's speed."""
        return [b / a for a, b in zip(self.ours, self.theirs, strict=True)]

    def cells(self) -> list[tables.Cell]:
        times = [tables.summary(values) for values in (self.ours, self.theirs, self.ratios)]
        return [self.scope, self.peer, *times]


COLUMNS = [
    tables.column("scope"),
    tables.column("loop"),
    tables.column("vsr, s/frame", tables.spread(3)),
    tables.column("loop, s/frame", tables.spread(3)),
    tables.column("ratio", tables.spread(2, " x")),
]


def interleaved(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> tuple[list[float], list[float]]:
    """Run both in turn after one warm-up each; each returns its own seconds."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def share(part: Callable[[], float], all_: Callable[[], float], rounds: int) -> float:
    """Return the time of a part / that of the whole, run in turn: the median of the pairs."""
    return statistics.median(a / b for a, b in zip(*interleaved(part, all_, rounds), strict=True))


# The peer: one frame at a time, 8-bit R'G'B' from the decoder, NCHW, and back.

Runtime = Callable[[Tensor], Tensor]
"""Maps LR `(1, 3, H, W)` float32 in [0, 1] to SR, not clipped."""


def scripts(network: nn.Module) -> Runtime:
    def run(lr: Tensor) -> Tensor:
        with torch.no_grad():
            return network(lr)

    return run


def openvino_whole(network: nn.Module, example: Tensor) -> Runtime:
    """Return the whole network, traced by OpenVINO's own converter, in the faster number format.

    By default OpenVINO uses bf16 on each CPU that has instructions for it, however slow they are.
    """
    ov = openvino_model.runtime()

    with torch.no_grad():
        model = ov.convert_model(network, example_input=example, input=[tuple(example.shape)])
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(torch.get_num_threads())}

    def run_in(precision: str) -> Runtime:
        hints = settings | {"INFERENCE_PRECISION_HINT": precision}
        request = ov.Core().compile_model(model, "CPU", hints).create_infer_request()
        return lambda lr: torch.from_numpy(request.infer({0: lr.numpy()}, share_inputs=True)[0])

    runs = [run_in(precision) for precision in ("f32", "bf16")]
    return min(runs, key=lambda run: min(timed(partial(run, example)) for _ in range(3)))


def peer_frames(clip: Path, run: Runtime, frames: int) -> Iterator[av.VideoFrame]:
    with av.open(str(clip)) as box:
        for frame in islice(box.decode(video=0), frames):
            array = torch.from_numpy(frame.reformat(format="rgb24", threads=1).to_ndarray())
            sr = run(array.permute(2, 0, 1)[None].float().div(255).contiguous())
            out = sr[0].clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
            made = av.VideoFrame.from_ndarray(out, format="rgb24")
            made.pts, made.time_base = frame.pts, frame.time_base
            yield made


def drain(clip: Path, run: Runtime, frames: int) -> None:
    for _ in peer_frames(clip, run, frames):
        pass


def peer_file(clip: Path, target: Path, run: Runtime, frames: int) -> None:
    write_file(clip, target, peer_frames(clip, run, frames), scale=4)


def write_file(clip: Path, target: Path, frames: Iterator[av.VideoFrame], *, scale: int) -> None:
    """Write the loop's frames as H.264, with the clip's rate and times."""
    with av.open(str(clip)) as source:
        rate, base = source.streams.video[0].average_rate, source.streams.video[0].time_base
        width, height = source.streams.video[0].width, source.streams.video[0].height
    with av.open(str(target), "w") as box:
        stream = box.add_stream("libx264", rate=rate, options={"preset": PRESET, "crf": str(CRF)})
        stream.width, stream.height, stream.pix_fmt = width * scale, height * scale, "yuv420p"
        stream.codec_context.time_base = base
        stream.codec_context.thread_type = "AUTO"  # as in ffmpeg's command line, and in vsr
        for frame in frames:
            box.mux(stream.encode(frame.reformat(format="yuv420p", threads=1)))
        box.mux(stream.encode())


# vsr


def settings(weights: Path, end: Fraction) -> UpscaleSettings:
    encoder = EncoderSettings(preset=PRESET, crf=CRF)
    return UpscaleSettings(model=str(weights), scale=Fraction(4), encoder=encoder, end=end)


def our_frames(clip: Path, target: Path, wish: UpscaleSettings) -> int:
    """Run everything except encoding and muxing."""
    with prepare(clip, target, wish, overwrite=True) as job, open_frames(job, Meter()) as frames:
        return sum(1 for _ in frames)


def clip_of(folder: Path, frames: int) -> Path:
    """Return a clip with 480x270 pixels, H.264: a real one if there is one, otherwise generated."""
    target = folder / "clip.mp4"
    material = os.environ.get("VSR_MATERIAL")
    source = Path(material, "data", "clips", "nasa_13013.mp4") if material else None
    with av.open(str(target), "w") as box:
        stream = box.add_stream("libx264", rate=25, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 480, 270, "yuv420p"
        pictures = _real(source) if source and source.exists() else _rendered()
        for index, frame in enumerate(islice(pictures, frames)):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            box.mux(stream.encode(frame))
        box.mux(stream.encode())
    return target


def _real(source: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(source)) as box:
        stream = next(s for s in box.streams.video if s.width == 480)
        for frame in box.decode(stream):
            yield frame.reformat(format="yuv420p", threads=1)


def _rendered() -> Iterator[av.VideoFrame]:
    graph = av.filter.Graph()
    chain = [
        graph.add("testsrc2", "size=480x270:rate=25"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ]
    chain[0].link_to(chain[1])
    chain[1].link_to(chain[2])
    graph.configure()
    while True:
        yield graph.vpull()


def weights_of(folder: Path) -> Path:
    """Return realesr-animevideov3-x4 if available, otherwise random weights of the same shape and cost."""
    material = os.environ.get("VSR_MATERIAL")
    real = Path(material, "data", "weights", "realesr-animevideov3-x4.safetensors") if material else None
    if real is not None and real.exists():
        return real
    torch.manual_seed(0)
    path = folder / "random-64x16-x4.safetensors"
    write_weights(path, Compact(CompactConfig(nf=64, nc=16, scale=4)).state_dict(), {})
    return path


def ceiling(dtype: torch.dtype) -> float:
    """Return GFLOP/s of a 2048 matrix product, the best of five."""
    a = torch.randn(2048, 2048).to(dtype)
    return max(2 * 2048**3 / timed(lambda: a @ a) / 1e9 for _ in range(6))


def quality(upscaler: Upscaler, network: nn.Module, lr: Tensor) -> float:
    with torch.inference_mode():
        return psnr(upscaler(lr).clamp(0, 1), network(lr).clamp(0, 1), border=0)


def peak_megabytes(clip: Path, weights: Path, target: Path, precision: str) -> float:
    """Return the peak resident memory of a `vsr upscale` process in MB; only on Linux."""
    words = ["upscale", str(clip), str(target), "-m", str(weights), "-s", "4", "-y", "-q"]
    words += ["--preset", PRESET, "--precision", precision]
    # Not ru_maxrss, which starts with the value of the parent process.
    program = (
        "from pathlib import Path\nfrom vsr.__main__ import main\ntry:\n    main()\nexcept SystemExit:\n"
        "    status = Path('/proc/self/status').read_text()\n"
        "    print(int(status.split('VmHWM:')[1].split()[0]) / 1024)\n    raise"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def speed_rows(folder: Path, weights: Path, frames: int, rounds: int) -> tuple[list[Row], dict[str, float]]:
    clip = clip_of(folder, frames)
    network = load_generator(weights).network
    upscaler = Upscaler(network)
    with open_video(clip) as video:
        first = next(video.frames())
    from vsr.color.convert import to_rgb

    lr = to_rgb(first.planes, first.color, first.layout)[None]
    wish = settings(weights, Fraction(frames, 25))

    def ours_model() -> float:
        return timed(lambda: upscaler(lr))

    peers = {"torch, fp32, NCHW": (scripts(network), max(5, frames // 5))}
    if openvino.available():
        peers["OpenVINO"] = (openvino_whole(network, lr), frames)

    def per_frame(work: Callable[[], object], number: int) -> Callable[[], float]:
        return lambda: timed(work) / number

    process = per_frame(lambda: our_frames(clip, folder / "a.mp4", wish), frames)
    whole = per_frame(lambda: upscale(clip, folder / "a.mp4", wish, overwrite=True), frames)
    rows = []
    for peer, (run, number) in peers.items():
        scopes = {
            "model only": (ours_model, partial(timed, partial(run, lr))),
            "process, no encoder": (
                process,
                per_frame(partial(drain, clip, run, number), number),
            ),
            "whole, file to file": (
                whole,
                per_frame(partial(peer_file, clip, folder / "b.mp4", run, number), number),
            ),
        }
        rows += [Row(scope, peer, *interleaved(a, b, rounds)) for scope, (a, b) in scopes.items()]
    flop = 2 * 619200 * lr.shape[-1] * lr.shape[-2]  # MACs per LR pixel of 64 channels, 16 convolutions, x4
    model = statistics.median(rows[0].ours)

    def some_models() -> float:
        return statistics.median(ours_model() for _ in range(10))

    facts = {
        "ceiling fp32 GFLOP/s": ceiling(torch.float32),
        "ceiling bf16 GFLOP/s": ceiling(torch.bfloat16),
        "model GFLOP/s": flop / model / 1e9,
        "PSNR to fp32, dB": quality(upscaler, network, lr),
        "process / model-only speed": share(some_models, process, rounds),
        "whole / model-only speed": share(some_models, whole, rounds),
        "frames": frames,
        "rounds": rounds,
        "torch threads": torch.get_num_threads(),
    }
    return rows, facts


def memory_facts(folder: Path, weights: Path, lengths: tuple[int, int]) -> dict[str, float]:
    facts = {}
    for frames in lengths:
        clip = clip_of(folder, frames)
        facts[f"peak MB, {frames} frames"] = peak_megabytes(clip, weights, folder / "m.mp4", "auto")
    return facts


def save(folder: Path, rows: list[Row], facts: dict[str, float]) -> str:
    """Record what is known so far; returns the tables."""
    figures: list[list[tables.Cell]] = [[name, value] for name, value in facts.items()]
    columns = [tables.column("figure"), tables.column("value", "{:.4g}")]
    both = tables.record(folder, "speed", COLUMNS, [row.cells() for row in rows])
    return f"{both}\n{tables.record(folder, 'speed-figures', columns, figures)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--memory", type=int, nargs=2, default=[100, 1000], help="frames of the two memory runs"
    )
    args = parser.parse_args()
    keep_freed_memory()  # as the command line does; it applies to the peer too
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = weights_of(folder)
        rows, facts = speed_rows(folder, weights, args.frames, args.rounds)
        print(save(args.out, rows, facts), flush=True)
        facts |= memory_facts(folder, weights, tuple(args.memory))
    print(f"\n{save(args.out, rows, facts)}\nweights: {weights.name}, 480x270 to 1920x1080")


if __name__ == "__main__":
    main()
