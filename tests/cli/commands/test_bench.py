"""`vsr bench` measures the generator alone and file to file, and reports both separately."""

from __future__ import annotations

import pytest
import torch

from tests.cli.run_cli import run_cli
from vsr.cli.commands.bench import _advice
from vsr.engine.throughput import ceiling, operations_per_pixel
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.pipeline.bench import Speed

Capture = pytest.CaptureFixture[str]


def test_the_requested_models_are_measured(capfd: Capture) -> None:
    done = run_cli(capfd, "bench", "-m", "fast-x2", "-m", "bicubic", "--size", "64x48", "--device", "cpu")
    assert done.code == 0, done.err
    head, titles, *rows, advice = done.out.splitlines()
    assert "64x48 on cpu," in head
    assert "in float32" in head
    assert titles.split()[:2] == ["model", "result"]
    assert [row.split()[:2] for row in rows] == [["fast-x2", "128x96"], ["bicubic", "128x96"]]
    assert all(float(row.split()[column]) > 0 for row in rows for column in (2, 3))
    assert rows[0].endswith("%")
    assert "25" in advice


@pytest.mark.parametrize(
    ("words", "code"), [(["-m", "nobody"], 5), (["--size", "big"], 2), (["--device", "cuda:9999"], 7)]
)
def test_unusable_arguments_are_one_line(words: list[str], code: int, capfd: Capture) -> None:
    done = run_cli(capfd, "bench", *words)
    assert done.code == code
    assert done.line


def test_operations_follow_the_formula() -> None:
    """SRVGGNetCompact has 9 * (3 * nf + nc * nf^2 + nf * 3 * scale^2) multiplications a pixel."""
    nf, nc, scale = 16, 4, 2
    network = Compact(CompactConfig(nf=nf, nc=nc, scale=scale))
    assert operations_per_pixel(network) == 2 * 9 * (3 * nf + nc * nf**2 + nf * 3 * scale**2)


def test_the_ceiling_is_a_plausible_rate() -> None:
    assert 1e8 < ceiling(torch.device("cpu"), torch.float32) < 1e15


def test_the_advice_names_the_largest_network_that_is_fast_enough() -> None:
    def made(model: str, fps: float, operations: float) -> Speed:
        return Speed(
            model=model,
            height=2,
            width=2,
            model_fps=fps,
            whole_fps=fps,
            backend="torch",
            precision="float32",
            bound="upscale",
            operations=operations * fps,
        )

    some = [made("small", 90, 1e9), made("large", 25, 8e9), made("huge", 24, 9e9), made("filter", 200, 0)]
    assert _advice(some, 2, 2).startswith("large is the largest")
    assert _advice(some[2:], 2, 2).startswith("no network")
