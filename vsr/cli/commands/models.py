"""`vsr models`: lists, shows, interpolates, converts and exports models."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr.cli import console
from vsr.cli.wording import in_flags
from vsr.errors import ConfigError, ModelError, OutputError
from vsr.system.last_step import last_step
from vsr.writing import check_writable, write_whole

if TYPE_CHECKING:
    from vsr.models.recognise import Recognised

models = typer.Typer(no_args_is_help=True, help="List, show, interpolate, convert and export models.")


@models.command("list")
def list_models() -> None:
    """List the models that have a name."""
    from vsr.models.catalog import MODELS

    rows = [_row(entry) for entry in MODELS.values()]
    console.table(("name", "family", "scale", "parameters", "size", "licence", "what it is for"), rows)


@models.command()
def show(model: Annotated[str, typer.Argument(help="A name from the list, or a weight file.")]) -> None:
    """Show the facts of a model or a weight file."""
    from vsr.models.load import load_generator

    found = load_generator(model)
    facts = [
        ("name", found.name),
        ("family", found.family),
        *((key, str(value)) for key, value in dataclasses.asdict(found.config).items() if key != "scale"),
        ("scale", str(found.scale)),
        ("parameters", f"{found.parameters:,}"),
        ("receptive radius", f"{found.receptive_radius} LR pixels"),
        ("file", str(found.path or "none; a filter is computed")),
        ("sha256", found.sha256 or "none"),
        ("weights under", found.wrapper or "no key; at the top level"),
        *((f"metadata: {key}", value) for key, value in sorted(found.metadata.items())),
    ]
    console.table(("what", "value"), facts)


@models.command()
def interpolate(
    first: Annotated[str, typer.Argument(help="Weight file or name, the result at alpha 0.")],
    second: Annotated[
        str, typer.Argument(help="Weight file or name of the same shape, the result at alpha 1.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (.safetensors).")],
    alpha: Annotated[float, typer.Option("--alpha", help="Weight of the second, 0 to 1.")] = 0.5,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace the output file.")] = False,
) -> None:
    """Interpolate the weights of two networks, one of which was trained from the other."""
    _check_output(output, overwrite=overwrite)
    from vsr.models.catalog import resolve
    from vsr.models.files import read_weights, write_weights
    from vsr.models.recognise import mix, recognise

    paths = [resolve(name).path for name in (first, second)]
    for name, path in zip((first, second), paths, strict=True):
        if path is None:
            raise ConfigError(f"{name} has no weights to interpolate. Give two networks")
        if path.resolve() == output.resolve():
            raise OutputError(f"{output} is also an input. Choose another output")
    a, b = (recognise(read_weights(path)) for path in paths if path is not None)
    state = mix(a, b, alpha)
    with last_step():
        write_weights(output, state, _origin(a, b, alpha))
    console.out(f"{output}: {1 - alpha:g} of {a.file.path.name} and {alpha:g} of {b.file.path.name}")


@models.command()
def convert(
    sources: Annotated[
        list[Path], typer.Argument(help="A weight file (.pth, .safetensors), or ncnn's A.param and A.bin.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (.safetensors).")],
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace the output file.")] = False,
) -> None:
    """Write a network as .safetensors in fp32, with the usual names of its layers."""
    _check_output(output, overwrite=overwrite)
    if any(path.resolve() == output.resolve() for path in sources):
        raise OutputError(f"{output} is also an input. Choose another output")
    from vsr.models.files import write_weights

    found = _read(sources)
    origin = {
        "family": found.family.name,
        "source": found.file.path.name,
        "source_sha256": found.file.sha256,
    }
    with last_step():
        write_weights(output, found.state, {**found.file.metadata, **origin})
    count = sum(value.numel() for value in found.state.values() if value.is_floating_point())
    console.out(f"{output}: {found.family.name}, {count:,} parameters, from {found.file.path.name}")


@models.command()
def export(
    model: Annotated[str, typer.Argument(help="A name from the list, or a weight file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (.onnx).")],
    strength: Annotated[
        float | None, typer.Option("--strength", help="From 0, faithful, to 1, crisp, for a pair of models.")
    ] = None,
    partner: Annotated[
        str | None, typer.Option("--partner", help="Faithful model to interpolate with, for a file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace the output file.")] = False,
) -> None:
    """Write a network as ONNX for any batch and size, and compare it with ONNX Runtime if installed."""
    _check_output(output, overwrite=overwrite, suffix=".onnx")
    from vsr.models.export import TOLERANCE, largest_difference, to_onnx
    from vsr.models.load import load_generator

    loaded = load_generator(model, strength=strength, partner=partner)
    data = to_onnx(loaded)
    difference = largest_difference(data, loaded)
    if difference is not None and difference > TOLERANCE:
        raise ModelError(
            f"{loaded.name}: the exported network differs by {difference:.2g} of white; no file was written"
        )
    with last_step():
        write_whole(output, data)
    checked = (
        "not compared (onnxruntime is not installed)"
        if difference is None
        else f"differs by {difference:.1g}"
    )
    sides = f", sides in multiples of {loaded.multiple}" if loaded.multiple > 1 else ""
    console.out(f"{output}: {loaded.family} x{loaded.scale}{sides}, {len(data) / 1e6:.2f} MB, {checked}")


def _read(sources: Sequence[Path]) -> Recognised:
    """Read the network in one weight file, or in the two files of ncnn, of which the .bin may be omitted."""
    from vsr.models.files import read_weights
    from vsr.models.ncnn import is_ncnn, read_ncnn
    from vsr.models.recognise import recognise

    nets = [path for path in sources if path.suffix == ".param" or is_ncnn(path)]
    others = [path for path in sources if path not in nets]
    if len(nets) == 1 and len(others) <= 1:
        return read_ncnn(nets[0], others[0] if others else nets[0].with_suffix(".bin"))
    if len(sources) != 1:
        raise ConfigError(
            f"{len(sources)} files are not one network. Give one weight file, or the .param and .bin of ncnn"
        )
    return recognise(read_weights(sources[0]))


def _origin(a: Any, b: Any, alpha: float) -> dict[str, str]:
    """Return the metadata of an interpolated network: its two origins and their weights."""
    return {
        "family": a.family.name,
        "alpha": f"{alpha:g}",
        "first": a.file.path.name,
        "first_sha256": a.file.sha256,
        "second": b.file.path.name,
        "second_sha256": b.file.sha256,
    }


def _check_output(output: Path, *, overwrite: bool, suffix: str = ".safetensors") -> None:
    if output.suffix != suffix:
        raise ConfigError(f"{output} must end in {suffix}")
    check_writable(output, what="", overwrite=True)
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists; --overwrite replaces it")


def _row(entry: Any) -> tuple[str, ...]:
    """Return a line of the list; sizes come from the file's header, which does not require torch."""
    from vsr.models.catalog import read_header

    if entry.path is None:
        return entry.name, "filter", "any", "0", "-", entry.licence, in_flags(entry.description)
    header = read_header(entry.path)
    size = f"{header.file_bytes / 1e6:.2f} MB"
    count = f"{header.parameters:,}"
    return (
        entry.name,
        entry.family,
        f"x{entry.scale}",
        count,
        size,
        entry.licence,
        in_flags(entry.description),
    )
