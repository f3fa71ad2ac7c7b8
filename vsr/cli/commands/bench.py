"""`vsr bench`: measures the speed of this machine, and finds the largest model that runs in real time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vsr.cli import console
from vsr.cli.flags import common_flags, parse
from vsr.settings.schema import UpscaleSettings

if TYPE_CHECKING:
    from vsr.pipeline.bench import Machine, Speed


_TITLES = (
    f"{'model':<14}{'result':>12}{'model fps':>11}{'whole fps':>11}  "
    f"{'bound':<9}{'backend':<10}{'precision':<10}{'ceiling':>8}"
)


def bench(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Name or weight file; repeatable. Default: all included models."),
    ] = None,
    size: Annotated[str, typer.Option("--size", help="Size of the source, WIDTHxHEIGHT.")] = "640x360",
    device: Annotated[str, common_flags.DEVICE] = "auto",
    precision: Annotated[str, common_flags.PRECISION] = "auto",
    backend: Annotated[
        str, typer.Option("--backend", help="auto, torch, winograd, openvino, amx, cuda.")
    ] = "auto",
) -> None:
    """Measure each model on a generated clip: the generator alone, and from file to file."""
    from typing import get_args

    from vsr.models.catalog import MODELS
    from vsr.pipeline.bench import machine, measure
    from vsr.settings.schema import Backend, Precision

    width, height = parse.size(size)
    common = UpscaleSettings(
        device=device,
        precision=parse.one_of(precision, get_args(Precision), option="--precision"),
        backend=parse.one_of(backend, get_args(Backend), option="--backend"),
    )
    found = machine(common)
    console.out(_machine_line(found, width, height))
    console.out(_TITLES)
    made = []
    for name in model or list(MODELS):
        made.append(measure(_with_model(common, name), height=height, width=width))
        console.out(_row(made[-1], found), flush=True)
    console.out(_advice(made, width, height))


def _with_model(common: UpscaleSettings, name: str) -> UpscaleSettings:
    from dataclasses import replace

    return replace(common, model=name, reuse=False)


def _machine_line(found: Machine, width: int, height: int) -> str:
    ceilings = ", ".join(f"{rate / 1e9:,.0f} in {precision}" for precision, rate in found.ceilings.items())
    return (
        f"{width}x{height} on {found.device}, {found.threads} threads; "
        f"ceiling (a large matrix product), GFLOP/s: {ceilings}"
    )


def _row(made: Speed, found: Machine) -> str:
    ceiling = found.ceilings.get(made.precision)
    share = f"{made.operations / ceiling:.0%}" if made.operations and ceiling else "-"
    result = f"{made.width}x{made.height}"
    return (
        f"{made.model:<14}{result:>12}{made.model_fps:>11.2f}{made.whole_fps:>11.2f}  "
        f"{made.bound:<9}{made.backend:<10}{made.precision:<10}{share:>8}"
    )


def _advice(made: list[Speed], width: int, height: int) -> str:
    from vsr.pipeline.bench import RATE

    able = [one for one in made if one.real_time and one.operations]
    if not able:
        return (
            f"no network reaches {RATE} frames a second from file to file at {width}x{height} on this machine"
        )
    largest = max(able, key=lambda one: one.operations / one.model_fps)
    return f"{largest.model} is the largest model that reaches {RATE} frames a second from file to file"
