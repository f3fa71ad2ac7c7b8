"""The generator alone on a card: `vsr`'s backends beside torch's own ways, with the same weights in one run.

Rounds go through all rows in turn, each waited for; all results are compared with a whole-frame fp32 run. The
ceiling is a large matrix product in the same format, measured in the same run.

    python -m benchmarks.gpu --out bench                    Compact 64 x 16, x4, 960x540
    python -m benchmarks.gpu --rrdb 23 --out bench          RRDB, x4
    python -m benchmarks.gpu --device cpu --size 96 64      shows that the script works
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.peers import Run, material, measured, qualities, rrdb_file, save, table
from vsr.config import Backend
from vsr.engine import choice, device, speed
from vsr.engine.calibration import pictures
from vsr.errors import ConfigError
from vsr.models.load import load_generator

EXACT = "torch, fp32, NCHW (the scripts)"
BACKENDS: tuple[Backend, ...] = ("torch", "cudagraphs", "triton")


def ours(network: nn.Module, where: torch.device, dtype: torch.dtype) -> dict[str, Run]:
    """`vsr`'s backends; those that are not to be had here are said and left out."""
    rows: dict[str, Run] = {}
    for backend in BACKENDS:
        try:
            _, run = choice.choose(backend, network, device=where, dtype=dtype)
        except ConfigError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        rows[f"vsr, {backend}, {str(dtype)[6:]}"] = run
    return rows


def torchs(network: nn.Module, where: torch.device, dtype: torch.dtype) -> dict[str, Run]:
    """As the scripts run it, the same in 16 bits, and compiled."""

    def row(kind: torch.dtype, *, compiled: bool = False) -> Run:
        placed = copy.deepcopy(network).to(where, kind)
        called = torch.compile(placed) if compiled else placed

        def run(x: Tensor) -> Tensor:
            with torch.inference_mode():
                return called(x.to(kind)).float()

        return run

    rows = {EXACT: row(torch.float32), f"torch, {str(dtype)[6:]}, NCHW": row(dtype)}
    return rows | ({"torch.compile": row(dtype, compiled=True)} if where.type == "cuda" else {})


def awaited(run: Run, where: torch.device) -> Run:
    """A run that returns when the card is done."""

    def wait(x: Tensor) -> Tensor:
        result = run(x)
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        return result

    return wait


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, nargs=2, default=(960, 540), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--rrdb", type=int, help="an RRDB of so many blocks, 64 channels, x4, any weights")
    given = parser.parse_args()
    where, (width, height) = device.choose_device(given.device), given.size
    dtype = device.choose_dtype("auto", where)
    with tempfile.TemporaryDirectory() as folder:
        weights = rrdb_file(Path(folder), given.rrdb) if given.rrdb else material()[0]
        network = load_generator(weights).network
    x = nn.functional.interpolate(pictures()[3:4], size=(height, width), mode="bilinear").to(where)
    rows = {
        name: awaited(run, where)
        for name, run in (ours(network, where, dtype) | torchs(network, where, dtype)).items()
    }
    taken = measured(rows, x, given.rounds)
    quality = qualities(rows, x, rows[EXACT](x))
    operations = speed.operations_per_pixel(network) * width * height
    text = table(taken, quality, operations, {str(dtype)[6:]: speed.ceiling(where, dtype)})
    print(f"{Path(weights).stem}, {width}x{height}, {where}\n\n{text}")
    save(given.out / f"gpu-{Path(weights).stem}", text, taken, quality)


if __name__ == "__main__":
    main()
