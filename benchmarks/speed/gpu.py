"""The generator alone on a GPU: `vsr`'s backends beside torch's, with the same weights in one run.

Rounds go through all rows in turn. A sample consists of as many runs as take a tenth of a second;
they are launched one after another with one synchronisation at the end, as in a pipeline. The host's
part is the time until the last launch. A slow row leaves the rounds when its time is used up.
Results are compared with a run in true fp32 (torch's own fp32 convolutions use TF32). The ceiling is
a large matrix product in the same number format.

    python -m benchmarks.speed.gpu --out bench                    compact-x4: Compact 64 x 16, x4, 960x540
    python -m benchmarks.speed.gpu --rrdb 23 --out bench          RRDB, x4, any weights
    python -m benchmarks.speed.gpu --device cpu --size 96 64      shows that the script works
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.speed.peers import Run, rrdb_file
from vsr.engine import device, throughput
from vsr.engine.backends import cuda_graphs as graphs
from vsr.engine.backends import select, torch_eager
from vsr.engine.backends.openvino.calibration import images
from vsr.metrics import psnr
from vsr.models.load import load_generator
from vsr.settings.schema import Backend

BACKENDS: tuple[Backend, ...] = ("torch", "cuda")
SAMPLE = 0.1
"""Time in seconds that the runs of a sample take together."""
LEAST = 2
"""Smallest number of samples of a row."""
Made = Callable[[], Run]
"""Places a network on the device; tuning and compiling happen in its first runs."""


@dataclass(slots=True)
class Row:
    """Measurements of one way to run the network; times are seconds for a frame."""

    run: Run
    start: float
    """Seconds until it was ready: copied to the device, compiled, tuned, and run once."""
    quality: float
    """PSNR in dB to the fp32 result."""
    megabytes: float
    """Peak memory of the device in its first runs, including weights."""
    repeats: int
    seconds: list[float] = field(default_factory=list)
    host: list[float] = field(default_factory=list)


def ways(network: nn.Module, where: torch.device) -> dict[str, Made]:
    """Return all rows, the least tested last, because a kernel that fails makes the GPU unusable."""
    half = device.choose_dtype("auto", where)
    kind = str(half)[6:]
    rows: dict[str, Made] = {
        "torch, fp32, NCHW (loop of scripts)": partial(plain, network, where, torch.float32),
        f"torch, {kind}, NCHW": partial(plain, network, where, half),
        "vsr, torch, float32": lambda: ours("torch", network, where, torch.float32),
    }
    if where.type == "cuda":
        rows |= {
            "torch, float16, channels_last, CUDA graph, cudnn.benchmark": partial(expert, network, where),
            f"torch.compile, {kind}, channels_last": partial(compiled, network, where, half),
        }
    rows |= {f"vsr, {name}, {kind}": partial(ours, name, network, where, half) for name in BACKENDS}
    return rows | {"vsr, cuda, float16": lambda: ours("cuda", network, where, torch.float16)}


def ours(backend: Backend, network: nn.Module, where: torch.device, dtype: torch.dtype) -> Run:
    return select.select(network, where, backend=backend, dtype=dtype).compiled()


def plain(network: nn.Module, where: torch.device, dtype: torch.dtype) -> Run:
    """Run the network as common scripts do, or the same in 16 bits."""
    return _called(copy.deepcopy(network).to(where, dtype), dtype)


def compiled(network: nn.Module, where: torch.device, dtype: torch.dtype) -> Run:
    return _called(torch.compile(_nhwc(network, where, dtype)), dtype)


def expert(network: nn.Module, where: torch.device) -> Run:
    """Run torch's fastest way without a compiler: cuDNN's best kernels, found by trial, in a CUDA graph."""
    run = _called(_nhwc(network, where, torch.float16), torch.float16)

    def tried(x: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            return run(x.contiguous(memory_format=torch.channels_last))

    return graphs.replayed(tried)


def _nhwc(network: nn.Module, where: torch.device, dtype: torch.dtype) -> nn.Module:
    return copy.deepcopy(network).to(where, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _called(network: Callable[[Tensor], Tensor], dtype: torch.dtype) -> Run:
    def run(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return network(x.to(dtype)).float()

    return run


def waited(work: Callable[[], object], where: torch.device) -> tuple[float, float]:
    """Return the seconds until `work` is launched, and until the GPU has finished it."""
    begin = time.perf_counter()
    work()
    started = time.perf_counter() - begin
    if where.type == "cuda":
        torch.cuda.synchronize(where)
    return started, time.perf_counter() - begin


def ready(made: Made, x: Tensor, exact: Tensor, where: torch.device) -> Row:
    """Return a row after some runs, with the time that these took."""
    begin = time.perf_counter()
    _clean(where)
    run = made()
    waited(lambda: run(x), where)
    start = time.perf_counter() - begin
    waited(lambda: run(x), where)  # the second run records a graph
    quality = psnr(run(x).clamp(0, 1), exact, border=0)
    peak = torch.cuda.max_memory_allocated(where) / 2**20 if where.type == "cuda" else 0.0
    _, once = waited(lambda: run(x), where)
    return Row(run, start, quality, peak, repeats=max(1, min(50, int(SAMPLE / once))))


def _clean(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(where)


def true_fp32(network: nn.Module, x: Tensor, where: torch.device) -> Tensor:
    return torch_eager.eager(network, device=where, dtype=torch.float32)(x).clamp(0, 1).contiguous()


def prepared(ways_: dict[str, Made], x: Tensor, exact: Tensor, where: torch.device) -> dict[str, Row]:
    """Return all rows that are available here, and print why others are not."""
    rows: dict[str, Row] = {}
    for name, made in ways_.items():
        try:
            rows[name] = ready(made, x, exact, where)
        except Exception as error:  # a failed row must not end the benchmark
            if "--backend" not in str(error):
                traceback.print_exc()
            print(f"skipped: {name}: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
            if device.is_lost(error) and not device.is_out_of_memory(error):
                raise
            continue
        print(f"ready: {name}: {rows[name].start:.1f} s, {rows[name].quality:.1f} dB", flush=True)
    return rows


def measure(rows: dict[str, Row], x: Tensor, where: torch.device, *, rounds: int, budget: float) -> None:
    """Take interleaved samples; a row leaves the rounds after `budget` seconds."""
    for round_ in range(rounds):
        for row in rows.values():
            if round_ >= LEAST and sum(row.seconds) * row.repeats * len(x) > budget:
                continue

            def work(run: Run = row.run, times: int = row.repeats) -> None:
                for _ in range(times):
                    run(x)

            host, seconds = waited(work, where)
            row.host.append(host / row.repeats / len(x))
            row.seconds.append(seconds / row.repeats / len(x))


def table(rows: dict[str, Row], operations: float, ceilings: dict[str, float]) -> str:
    """Return a Markdown table, fastest first; the share is relative to
    the ceiling of the row's number format."""
    head = ["runtime", "ms per image", "fps", "host, ms", "TFLOP/s", "of the peak", "dB to fp32", "MiB"]
    head += ["ready after, s"]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head))]
    for name, row in sorted(rows.items(), key=lambda item: statistics.median(item[1].seconds)):
        middle, host = statistics.median(row.seconds), statistics.median(row.host)
        spread = f"{middle * 1e3:.3f} ({min(row.seconds) * 1e3:.3f} to {max(row.seconds) * 1e3:.3f})"
        share = operations / middle / next((v for k, v in ceilings.items() if k in _long(name)), float("nan"))
        lines.append(
            f"| {name} | {spread} | {1 / middle:.1f} | {host * 1e3:.3f} | {operations / middle / 1e12:.1f}"
            f" | {share:.0%} | {row.quality:.1f} | {row.megabytes:.0f} | {row.start:.1f} |"
        )
    return "\n".join([*lines, "", *(f"Ceiling, {k}: {v / 1e12:.1f} TFLOP/s." for k, v in ceilings.items())])


def _long(name: str) -> str:
    return name.replace("fp32, NCHW", "TF32" if torch.cuda.is_available() else "float32")


def ceilings_of(where: torch.device) -> dict[str, float]:
    half = {device.choose_dtype("auto", where)} | ({torch.float16} if where.type == "cuda" else set())
    found = {str(kind)[6:]: throughput.ceiling(where, kind) for kind in (torch.float32, *half)}
    if where.type == "cuda":
        before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, True
        found["TF32"] = throughput.ceiling(where, torch.float32)
        torch.backends.cuda.matmul.allow_tf32 = before
    return found


def network_of(given: argparse.Namespace) -> tuple[str, nn.Module]:
    if not given.rrdb:
        return Path(given.model).stem, load_generator(given.model).network
    with tempfile.TemporaryDirectory() as folder:
        weights = rrdb_file(Path(folder), given.rrdb)
        network = load_generator(weights).network
    with torch.no_grad():  # initial weights: scale the result to the full range, so that PSNR is meaningful
        made = network(images()[3:4, :, :64, :64])
        network.get_parameter("conv_last.weight").mul_(0.2 / made.std())
    return Path(weights).stem, network


def main() -> None:
    given = arguments()
    where, (width, height) = device.choose_device(given.device), given.size
    name, network = network_of(given)
    x = nn.functional.interpolate(images()[3 : 3 + given.batch], size=(height, width), mode="bilinear").to(
        where
    )
    ceilings = ceilings_of(where)
    exact = true_fp32(network, x, where)
    chosen = {
        way: made for way, made in ways(network, where).items() if not any(word in way for word in given.skip)
    }
    rows = prepared(chosen, x, exact, where)
    del exact
    measure(rows, x, where, rounds=given.rounds, budget=given.seconds)
    operations = throughput.operations_per_pixel(network) * width * height
    text = f"{name}, {width}x{height}, batch {given.batch}, {_named(where)}\n\n" + table(
        rows, operations, ceilings
    )
    print(text, flush=True)
    save(given.out, f"gpu-{name}-{width}x{height}-{given.batch}", text, rows, ceilings)


def _named(where: torch.device) -> str:
    what = torch.cuda.get_device_name(where) if where.type == "cuda" else "CPU"
    return f"{what}, torch {torch.__version__}"


def save(folder: Path, stem: str, text: str, rows: dict[str, Row], ceilings: dict[str, float]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.md").write_text(text + "\n")
    found = {
        name: {"seconds": row.seconds, "host": row.host, "dB": row.quality, "MiB": row.megabytes}
        | {"start": row.start}
        for name, row in rows.items()
    }
    (folder / f"{stem}.json").write_text(json.dumps({"rows": found, "ceilings": ceilings}, indent=2) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--model", default="compact-x4", help="model of vsr, or a weight file")
    parser.add_argument("--rrdb", type=int, help="use an RRDB with this number of blocks, 64 channels, x4")
    parser.add_argument("--size", type=int, nargs=2, default=(960, 540), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--batch", type=int, default=1, help="frames in a batch, at most 5")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="time of a row in all rounds")
    parser.add_argument(
        "--skip", nargs="*", default=[], help="words; rows with one in their name are skipped"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
