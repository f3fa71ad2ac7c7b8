"""`vsr models list`, `show`, `interpolate`, `convert`, `export`: what can be loaded, what a file is, one
between two, and networks in other forms."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr.cli import console
from vsr.cli.wording import in_flags
from vsr.errors import ConfigError, ModelError, OutputError
from vsr.writing import check_writable, write_whole

if TYPE_CHECKING:
    from vsr.models.load import Recognised

app = typer.Typer(no_args_is_help=True, help="List, inspect, mix, convert and export generators.")


@app.command("list")
def list_models() -> None:
    """List the models that have a name."""
    from vsr.models.catalog import MODELS

    rows = [_row(entry) for entry in MODELS.values()]
    console.table(("name", "family", "scale", "parameters", "size", "licence", "what it is for"), rows)


@app.command()
def show(model: Annotated[str, typer.Argument(help="A name from the list, or a weight file.")]) -> None:
    """Show what a model or a weight file is."""
    from vsr.models.load import load_generator

    found = load_generator(model)
    facts = [
        ("name", found.name),
        ("family", found.family),
        *((key, str(value)) for key, value in dataclasses.asdict(found.config).items() if key != "scale"),
        ("scale", str(found.scale)),
        ("parameters", f"{found.parameters:,}"),
        ("receptive radius", f"{found.receptive_radius} LR pixels"),
        ("file", str(found.path or "none: computed")),
        ("sha256", found.sha256 or "none"),
        ("weights under", found.wrapper or "no key: they lie open"),
        *((f"metadata: {key}", value) for key, value in sorted(found.metadata.items())),
    ]
    console.table(("what", "value"), facts)


@app.command()
def interpolate(
    first: Annotated[str, typer.Argument(help="Weight file or name; alpha 0 is this one.")],
    second: Annotated[
        str, typer.Argument(help="Weight file or name of the same shape; alpha 1 is this one.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (.safetensors).")],
    alpha: Annotated[float, typer.Option("--alpha", help="Share of the second, 0 to 1.")] = 0.5,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace the output file.")] = False,
) -> None:
    """Write the network between two that were trained from one another."""
    _check_output(output, overwrite=overwrite)
    from vsr.models.catalog import resolve
    from vsr.models.files import read_weights, write_weights
    from vsr.models.load import mix, recognise

    paths = [resolve(name).path for name in (first, second)]
    for name, path in zip((first, second), paths, strict=True):
        if path is None:
            raise ConfigError(f"{name} has no weights to mix; give two networks")
        if path.resolve() == output.resolve():
            raise OutputError(f"{output}: is also an input; choose another output")
    a, b = (recognise(read_weights(path)) for path in paths if path is not None)
    state = mix(a, b, alpha)
    write_weights(output, state, _origin(a, b, alpha))
    console.out(f"{output}: {1 - alpha:g} of {a.file.path.name} and {alpha:g} of {b.file.path.name}")


@app.command()
def convert(
    sources: Annotated[
        list[Path], typer.Argument(help="A weight file (.pth, .safetensors), or ncnn's A.param and A.bin.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (.safetensors).")],
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace the output file.")] = False,
) -> None:
    """Write a network as .safetensors, in fp32, under the names that its layers usually have."""
    _check_output(output, overwrite=overwrite)
    if any(path.resolve() == output.resolve() for path in sources):
        raise OutputError(f"{output}: is also an input; choose another output")
    from vsr.models.files import write_weights

    found = _read(sources)
    origin = {
        "family": found.family.name,
        "source": found.file.path.name,
        "source_sha256": found.file.sha256,
    }
    write_weights(output, found.state, {**found.file.metadata, **origin})
    count = sum(value.numel() for value in found.state.values() if value.is_floating_point())
    console.out(f"{output}: {found.family.name}, {count:,} numbers, from {found.file.path.name}")


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A name from the list, or a weight file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (.onnx).")],
    strength: Annotated[
        float | None, typer.Option("--strength", help="From 0, faithful, to 1, crisp: of a pair.")
    ] = None,
    partner: Annotated[
        str | None, typer.Option("--partner", help="Faithful end for one's own model.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace the output file.")] = False,
) -> None:
    """Write a network as ONNX, for any batch and size, and compare it with ONNX Runtime."""
    _check_output(output, overwrite=overwrite, suffix=".onnx")
    from vsr.models.export import TOLERANCE, largest_difference, to_onnx
    from vsr.models.load import load_generator

    loaded = load_generator(model, strength=strength, partner=partner)
    data = to_onnx(loaded)
    difference = largest_difference(data, loaded)
    if difference is not None and difference > TOLERANCE:
        raise ModelError(
            f"{loaded.name}: exported, it differs by {difference:.2g} of white; nothing is written"
        )
    write_whole(output, data)
    checked = "not compared: no onnxruntime here" if difference is None else f"differs by {difference:.1g}"
    sides = f", sides in multiples of {loaded.multiple}" if loaded.multiple > 1 else ""
    console.out(f"{output}: {loaded.family} x{loaded.scale}{sides}, {len(data) / 1e6:.2f} MB, {checked}")


def _read(sources: Sequence[Path]) -> Recognised:
    """The network in one weight file, or in the two files of an ncnn net; the .bin may be left out."""
    from vsr.models.files import read_weights
    from vsr.models.load import recognise
    from vsr.models.ncnn import is_ncnn, read_ncnn

    nets = [path for path in sources if path.suffix == ".param" or is_ncnn(path)]
    others = [path for path in sources if path not in nets]
    if len(nets) == 1 and len(others) <= 1:
        return read_ncnn(nets[0], others[0] if others else nets[0].with_suffix(".bin"))
    if len(sources) != 1:
        raise ConfigError(
            f"{len(sources)} files; give one weight file, or the .param and .bin of an ncnn net"
        )
    return recognise(read_weights(sources[0]))


def _origin(a: Any, b: Any, alpha: float) -> dict[str, str]:
    """Metadata of a mixture: from what, and how much."""
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
        raise ConfigError(f"{output}: must end in {suffix}")
    check_writable(output, what="", overwrite=True)
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: exists; --overwrite replaces it")


def _row(entry: Any) -> tuple[str, ...]:
    """A line of the list; sizes are read from the file's header, so torch is not needed."""
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
