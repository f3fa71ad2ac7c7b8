"""The generator alone, beside other runtimes, with the same weights and threads in one run.

Peers are torch as common scripts use it (fp32, NCHW), ONNX Runtime, ncnn (with its defaults, and
with 16-bit storage), and OpenVINO with the whole network. Each one that is installed is measured.
Rounds go through all rows in turn, so that a change of the machine's speed affects all of them.
All results are compared with a whole-frame fp32 run. The ceilings, measured in the same run, are
large matrix products in both number formats.

    pip install ncnn onnxruntime onnx onnxscript
    python -m benchmarks.speed.peers --out bench            (VSR_MATERIAL: folder with real weights)
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import tables
from vsr.engine import throughput
from vsr.engine.allocator import keep_freed_memory
from vsr.engine.backends.openvino import backend as openvino
from vsr.engine.backends.openvino import model as openvino_model
from vsr.engine.backends.openvino.calibration import images
from vsr.engine.upscaler import Upscaler
from vsr.kernels.amx import backend as amx
from vsr.kernels.winograd import backend as winograd
from vsr.metrics import psnr
from vsr.models.archs.compact import Compact
from vsr.models.archs.rrdb import RRDB, RRDBConfig
from vsr.models.export import to_onnx
from vsr.models.files import write_weights
from vsr.models.load import load_generator

SIZE = (270, 480)
Run = Callable[[Tensor], Tensor]


def ours(network: nn.Module) -> dict[str, Run]:
    kinds = [("fp32", "torch"), ("auto", "torch")]
    if openvino.available():
        kinds += [("fp32", "openvino"), ("auto", "openvino")]
        kinds += [("int8", "openvino")] if isinstance(network, Compact) else []
    kinds += [("auto", "amx")] if amx.available() else []
    kinds += [("auto", "winograd")] if winograd.available() else []
    rows: dict[str, Run] = {}
    for precision, backend in kinds:
        upscaler = Upscaler(network, device_name="cpu", precision=precision, backend=backend)
        rows[f"vsr, {backend}, {upscaler.precision}"] = upscaler
    return rows


def loop(network: nn.Module) -> dict[str, Run]:
    def run(x: Tensor) -> Tensor:
        with torch.no_grad():
            return network(x)

    return {"torch, fp32, NCHW (loop of scripts)": run}


def openvino_whole(network: nn.Module, example: Tensor) -> dict[str, Run]:
    """Run the whole network, traced by OpenVINO's own converter."""
    if not openvino.available():
        return {}
    ov = openvino_model.runtime()

    with torch.no_grad():
        model = ov.convert_model(network, example_input=example, input=[tuple(example.shape)])
    rows: dict[str, Run] = {}
    for hint in ("f32", "bf16"):
        settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        settings["INFERENCE_NUM_THREADS"] = str(torch.get_num_threads())
        request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
        rows[f"OpenVINO {ov.__version__.split('-')[0]}, {hint}"] = lambda x, r=request: torch.from_numpy(
            r.infer({0: x.numpy()}, share_inputs=True)[0].copy()
        )
    return rows


def onnx_runtime(network_path: str, folder: Path) -> dict[str, Run]:
    if not all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnx", "onnxscript")):
        return {}
    import onnxruntime

    path = folder / "network.onnx"
    path.write_bytes(to_onnx(load_generator(network_path)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return {
        f"ONNX Runtime {onnxruntime.__version__}, fp32": lambda x: torch.from_numpy(
            session.run(None, {name: x.numpy()})[0]
        )
    }


def ncnn_rows(files: tuple[Path, Path] | None) -> dict[str, Run]:
    """Run ncnn's own files of the same weights; Winograd and 16-bit storage are its defaults."""
    if files is None or not importlib.util.find_spec("ncnn"):
        return {}
    import ncnn

    def row(**options: bool) -> Run:
        net = ncnn.Net()
        net.opt.num_threads = torch.get_num_threads()
        for key, value in options.items():
            setattr(net.opt, key, value)
        net.load_param(str(files[0]))
        net.load_model(str(files[1]))
        inputs, outputs = net.input_names()[0], net.output_names()[0]

        def run(x: Tensor) -> Tensor:
            with net.create_extractor() as extractor:
                extractor.input(inputs, ncnn.Mat(np.ascontiguousarray(x[0].numpy())))
                return torch.from_numpy(np.array(extractor.extract(outputs)[1]))[None]

        return run

    version = ncnn.__version__
    return {f"ncnn {version}": row(), f"ncnn {version}, bf16 storage": row(use_bf16_storage=True)}


def measured(rows: dict[str, Run], x: Tensor, rounds: int) -> dict[str, list[float]]:
    for run in rows.values():
        run(x), run(x)
    taken: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, run in rows.items():
            begin = time.perf_counter()
            run(x)
            taken[name].append(time.perf_counter() - begin)
    return taken


def weights_and_files() -> tuple[str, tuple[Path, Path] | None]:
    """Return real weights and ncnn's own files of them; without these, an included network."""
    root = os.environ.get("VSR_MATERIAL")
    real = Path(root or "", "data", "weights", "realesr-animevideov3-x4.safetensors")
    if root is None or not real.exists():
        return "compact-x4", None
    original = real.parent / "original" / real.stem
    return str(real), (original.with_suffix(".param"), original.with_suffix(".bin"))


def rrdb_file(folder: Path, blocks: int) -> str:
    """Write an RRDB with initial weights whose result lies in the middle of the range."""
    torch.manual_seed(1)
    network = RRDB(RRDBConfig(nb=blocks))
    nn.init.constant_(network.conv_last.bias, 0.5)
    path = folder / f"rrdb-{blocks}-blocks.safetensors"
    write_weights(path, network.state_dict(), {})
    return str(path)


COLUMNS = [
    tables.column("runtime"),
    tables.column("ms per image", tables.spread(0)),
    tables.column("fastest other / this", "{:.2f} x"),
    tables.column("GFLOP/s", "{:.0f}"),
    tables.column("dB to fp32", "{:.1f}"),
]


def rows_of(
    taken: dict[str, list[float]], quality: dict[str, float], operations: float
) -> list[list[tables.Cell]]:
    """A row for each runtime, the fastest first."""
    middles = {name: statistics.median(times) for name, times in taken.items()}
    best = min(middle for name, middle in middles.items() if not name.startswith("vsr"))
    return [
        [
            name,
            tables.summary([seconds * 1e3 for seconds in taken[name]]),
            best / middles[name],
            operations / middles[name] / 1e9,
            quality[name] if math.isfinite(quality[name]) else "inf",
        ]
        for name in sorted(taken, key=lambda name: middles[name])
    ]


def qualities(rows: dict[str, Run], x: Tensor, expected: Tensor) -> dict[str, float]:
    """Return the PSNR of each row's result to the expected one."""
    return {name: psnr(run(x).clamp(0, 1), expected.clamp(0, 1), border=0) for name, run in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", help="model of vsr, without ncnn's own files")
    parser.add_argument(
        "--rrdb", type=int, help="use an RRDB with this number of blocks, 64 channels, x4, any weights"
    )
    args = parser.parse_args()
    keep_freed_memory()
    weights, ncnn_files = (args.model, None) if args.model else weights_and_files()
    x = nn.functional.interpolate(images()[3:4], size=SIZE, mode="bilinear")
    with tempfile.TemporaryDirectory() as folder:
        if args.rrdb:
            weights, ncnn_files = rrdb_file(Path(folder), args.rrdb), None
        network = load_generator(weights).network
        rows = ours(network) | loop(network) | openvino_whole(network, x)
        rows |= onnx_runtime(weights, Path(folder)) | ncnn_rows(ncnn_files)
        taken = measured(rows, x, args.rounds)
    with torch.no_grad():
        quality = qualities(rows, x, network(x))
    operations = throughput.operations_per_pixel(network) * SIZE[0] * SIZE[1]
    cpu = torch.device("cpu")
    ceilings = {str(kind)[6:]: throughput.ceiling(cpu, kind) for kind in (torch.float32, torch.bfloat16)}
    print(f"{Path(weights).stem}, {SIZE[1]}x{SIZE[0]}, {torch.get_num_threads()} threads\n")
    name = f"peers-{Path(weights).stem}"
    print(tables.record(args.out, name, COLUMNS, rows_of(taken, quality, operations)))
    print("\n".join(f"Ceiling, {name}: {value / 1e9:.0f} GFLOP/s." for name, value in ceilings.items()))


if __name__ == "__main__":
    sys.exit(main())
