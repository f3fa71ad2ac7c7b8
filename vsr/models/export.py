"""Generators as ONNX, for other runtimes: any batch and size, the weights inside the file.

torch's exporter needs onnx and onnxscript, the check onnxruntime: all three are in the extra `onnx`.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from vsr.errors import ConfigError, ModelError
from vsr.models.load import LoadedModel
from vsr.models.third_party import SpandrelNetwork

OPSET = 18
"""Of the operators: the least that torch's exporter makes, so that most runtimes know it."""
TOLERANCE = 1e-4
"""Of white: fp32 sums in another order differ by 1e-6 to 1e-5; an operator that means something else shows
as 1e-2 or more."""
_PICTURES = ((2, 5, 7), (1, 2, 3), (3, 1, 5))
"""Batch, height and width, in units that every network takes, of the picture that is traced and of those that
are compared; all different, so that the exporter takes none for another or for a constant."""
_LARGEST = 2**31 - 1
"""Bytes: protobuf's limit for one file."""


def to_onnx(model: LoadedModel) -> bytes:
    """Write a generator as an ONNX file.

    Its input `lr` is `(batch, 3, height, width)` float32, R'G'B' in [0, 1]; its output `sr` is `scale` times
    as high and wide, not clipped. Height and width are any numbers, for networks that unshuffle pixels any
    multiples of `model.multiple`: there the file has no padding.

    Returns:
        The file's content, self-contained, with the facts about the network in its metadata.

    Raises:
        ConfigError: it is a filter, or onnx or onnxscript is not installed.
        ModelError: the network cannot be exported.
    """
    if model.path is None:
        raise ConfigError(f"{model.name} is a filter with no weights; runtimes of ONNX have their own")
    if isinstance(model.network, SpandrelNetwork):
        raise ModelError(
            f"{model.name}: {model.family} networks cannot be exported; use spandrel's own network"
        )
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"export needs {' and '.join(missing)}, not installed; pip install 'vsr-pipeline[onnx]' brings it"
        )
    with _quiet():
        try:
            program = _export(model)
        except (Exception, SystemExit) as error:  # the exporter has dozens of kinds, of several lines each
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"{model.name}: torch cannot export a {model.family} network ({reason})"
            ) from error
        program.model.metadata_props.update(_facts(model))
        data: bytes = program.model_proto.SerializeToString()
    if len(data) > _LARGEST:
        raise ModelError(
            f"{model.name}: has {len(data):,} bytes as ONNX; one file holds at most {_LARGEST:,}"
        )
    return data


def _export(model: LoadedModel) -> torch.onnx.ONNXProgram:
    height, width = torch.export.Dim("height"), torch.export.Dim("width")
    if model.multiple > 1:
        height, width = model.multiple * height, model.multiple * width
    program = torch.onnx.export(
        model.network,
        (_pictures(model)[0],),
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=["lr"],
        output_names=["sr"],
        dynamic_shapes=({0: torch.export.Dim("batch"), 2: height, 3: width},),
    )
    assert program is not None
    return program


def _pictures(model: LoadedModel) -> list[Tensor]:
    unit = math.lcm(4, model.multiple)
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(n, 3, h * unit, w * unit, generator=generator) for n, h, w in _PICTURES]


def _facts(model: LoadedModel) -> dict[str, str]:
    return {
        "name": model.name,
        "family": model.family,
        "scale": str(model.scale),
        "multiple": str(model.multiple),
        "receptive_radius": str(model.receptive_radius),
        "sha256": model.sha256 or "none",
    }


def largest_difference(data: bytes, model: LoadedModel) -> float | None:
    """Compare an exported file with its network on pictures of several sizes.

    Returns:
        The largest difference, where white is 1; None where onnxruntime is not installed.

    Raises:
        ModelError: the file does not run, or gives pictures of another size.
    """
    if find_spec("onnxruntime") is None:
        return None
    runtime = import_module("onnxruntime")
    largest = 0.0
    try:
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
        for lr in _pictures(model):
            with torch.inference_mode():
                expected = model.network(lr)
            result = torch.from_numpy(session.run(None, {"lr": lr.numpy()})[0])
            if result.shape != expected.shape:
                raise ModelError(
                    f"{model.name}: exported, it makes {tuple(result.shape)} of {tuple(lr.shape)}"
                )
            largest = max(largest, float((result - expected).abs().max()))
    except ModelError:
        raise
    except (Exception, SystemExit) as error:  # onnxruntime's own kinds have no root but this
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{model.name}: exported, it does not run ({reason})") from error
    return largest


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes about packages that we do not use and about its own code."""
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        noisy.setLevel(level)
